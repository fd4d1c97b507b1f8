"""Takes LIBERO's recorded `qpos` and `qvel` into a scene that holds more than its task.

Axes: B environments, T tasks, nq and nv of the scene.
"""

import jax
import jax.numpy as jnp
import numpy as np

from omnivla_jax.core import indices
from omnivla_jax.sim import placement, task_ids
from omnivla_jax.sim.layout import recorded_rows
from omnivla_jax.sim.scene import Scene

_FREE_VELOCITY = 6  # degrees of freedom of a free joint


def fits(scene: Scene, task: jax.Array, width: int) -> jax.Array:
    """bool [B]: whether a `qpos` of `width` entries is of these tasks, and they held.

    Raises:
      ValueError: naming the tasks, unless traced, of which LIBERO's `qpos` is another.
    """
    held = task_ids.is_held(scene, task)
    if width == scene.model.nq:
        return held
    own = np.any(recorded_rows(scene, width) >= 0, axis=1)  # [T]
    wrong = indices.unknown(task, np.flatnonzero(own), name="task number")
    if wrong:
        theirs = indices.listed(np.flatnonzero(own))
        raise ValueError(
            f"qpos has {width} entries, which is not LIBERO's of tasks {wrong}, but of "
            f"{theirs}: restore states under the task that they were recorded in."
        )
    return held & jnp.asarray(own)[task_ids.rows(scene, task)]


def to_scene(
    scene: Scene, task: jax.Array, qpos: jax.Array, qvel: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """`qpos` [B, nq] and `qvel` [B, nv] of the scene; what the task lacks is parked.

    Args:
      scene: the static tables.
      task: int32 [B].
      qpos: in the scene's layout (which passes through) or in LIBERO's of the task.
      qvel: in the same layout.

    Raises:
      ValueError: naming the widths that fit.
    """
    model = scene.model
    if qpos.shape[1] != model.nq:
        rows = jnp.asarray(recorded_rows(scene, qpos.shape[1]))[task]
        speeds = _velocity_gather(scene, qpos.shape[1])
        theirs = sorted({int(row.max()) + 1 for row in speeds} - {0})
        if qvel.shape[1] not in (*theirs, model.nv):
            raise ValueError(
                f"qvel has {qvel.shape[1]} entries: expected {model.nv}, or LIBERO's "
                f"{theirs} beside a qpos of {qpos.shape[1]}."
            )
        qpos = _take(qpos, rows)
        if qvel.shape[1] != model.nv:
            qvel = _take(qvel, jnp.asarray(speeds)[task])
    if qvel.shape[1] != model.nv:
        raise ValueError(f"qvel has {qvel.shape[1]} entries: expected {model.nv}.")
    qpos, absent = placement.park(scene, task, qpos)
    return qpos, jnp.where(velocity_rows(scene, absent), 0.0, qvel)


def velocity_rows(scene: Scene, positions: jax.Array) -> jax.Array:
    """bool [B, nv]: the velocities of the free joints marked in `positions` [B, nq]."""
    source = np.zeros(scene.model.nv, int)  # the robot's first joint is never marked
    for name in scene.stock.movables:
        qpos, dof = scene.joints[f"{name}_joint0"]
        source[dof : dof + _FREE_VELOCITY] = qpos
    return positions[:, source]


def _take(values: jax.Array, rows: jax.Array) -> jax.Array:
    taken = jnp.take_along_axis(values, jnp.maximum(rows, 0), axis=1)
    return jnp.where(rows >= 0, taken, 0.0)


def _velocity_gather(scene: Scene, width: int) -> np.ndarray:
    """As `recorded_rows`, for `qvel`, whose free joints are one entry shorter."""
    positions = recorded_rows(scene, width)
    table = np.full((positions.shape[0], scene.model.nv), -1)
    free = {scene.joints[f"{name}_joint0"] for name in scene.stock.movables}
    for row, source in enumerate(positions):
        starts = sorted(int(source[q]) for q, _ in free if source[q] >= 0)
        for qpos, dof in scene.joints.values():
            if source[qpos] < 0:
                continue
            before = sum(start < source[qpos] for start in starts)
            size = _FREE_VELOCITY if (qpos, dof) in free else 1
            first = int(source[qpos]) - before
            table[row, dof : dof + size] = np.arange(first, first + size)
    return table
