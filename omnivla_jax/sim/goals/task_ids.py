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
    """`task` as int32; traced numbers pass, see `is_held`.

    Args:
      scene: the static tables.
      task: rows of the suite's task table: a list or an array of integers [B].

    Raises:
      ValueError: naming the numbers that this scene does not hold, and those it does.
    """
    wrong = indices.unknown(task, scene.task_ids, name="task number")
    if wrong:
        held = f"this scene of {scene.name} holds {indices.listed(scene.task_ids)}"
        left_out = any(row in range(scene.num_tasks) for row in wrong)
        remedy = "; `scene.make(..., tasks=...)` chooses" if left_out else ""
        raise ValueError(f"Unknown tasks {wrong}: {held}{remedy}.")
    given = jnp.asarray(task)
    if given.dtype.itemsize >= 4 and given.dtype != jnp.int32:  # no wrapping around
        limits = np.iinfo(given.dtype)
        low, high = max(limits.min, _INT32.min), min(limits.max, _INT32.max)
        given = jnp.clip(given, int(low), int(high))
    return given.astype(jnp.int32)


def is_held(scene: Scene, task: jax.Array) -> jax.Array:
    """bool like `task`: whether this scene holds what the numbers name."""
    rows = np.array(scene.task_ids, np.int32)
    return jnp.any(jnp.asarray(task)[..., None] == rows, axis=-1)


def rows(scene: Scene, task: jax.Array) -> jax.Array:
    """int32 like `task`, safe to gather by: unknown numbers become the first held."""
    return jnp.where(is_held(scene, task), task, scene.task_ids[0]).astype(jnp.int32)
