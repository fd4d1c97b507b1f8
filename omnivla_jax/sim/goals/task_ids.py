"""Checks task numbers: those a scene does not hold are refused, or cannot succeed.

Known numbers are refused at `env.reset` and `env.restore`. Traced ones cannot be: such
an episode is `diverged` from its start, and gathers take the row of a held task.
Axes: B environments.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from omnivla_jax.core import indices
from omnivla_jax.sim.state import Scene

_INT32 = np.iinfo(np.int32)


def check(scene: Scene, task: Any) -> jax.Array:
    """Refuse known task numbers that the scene does not hold; traced ones pass.

    Args:
      scene: the static tables.
      task: rows of the suite's task table: a list or an array of integers [B].

    Returns:
      int32 [B]; what is traced is to be judged by `is_held`.

    Raises:
      ValueError: naming the numbers that this scene does not hold, and those it does.
    """
    wrong = indices.unknown(task, scene.task_ids, name="task number")
    if wrong:
        held = f"this scene of {scene.name} holds {indices.listed(scene.task_ids)}"
        left_out = any(row in range(len(scene.tasks)) for row in wrong)
        remedy = "; `scene.make(..., tasks=...)` chooses" if left_out else ""
        raise ValueError(f"Unknown tasks {wrong}: {held}{remedy}.")
    given = jnp.asarray(task)
    if given.dtype.itemsize >= 4 and given.dtype != jnp.int32:  # no wrapping around
        limits = np.iinfo(given.dtype)
        low, high = max(limits.min, _INT32.min), min(limits.max, _INT32.max)
        given = jnp.clip(given, int(low), int(high))
    return given.astype(jnp.int32)


def is_held(scene: Scene, task: jax.Array) -> jax.Array:
    """Whether this scene holds what the numbers name.

    Args:
      scene: the static tables.
      task: integers [...].

    Returns:
      bool [...].
    """
    rows = np.array(scene.task_ids, np.int32)
    return jnp.any(jnp.asarray(task)[..., None] == rows, axis=-1)


def rows(scene: Scene, task: jax.Array) -> jax.Array:
    """Task numbers that are safe to gather by: unknown ones become the first held.

    Args:
      scene: the static tables.
      task: integers [...].

    Returns:
      int32 [...].
    """
    return jnp.where(is_held(scene, task), task, scene.task_ids[0]).astype(jnp.int32)
