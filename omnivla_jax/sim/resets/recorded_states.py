"""Takes LIBERO's recorded `qpos` and `qvel` into a scene that holds more than its task.

And back: rows as LIBERO's initial-state files hold them, [time, qpos, qvel], in the
order of LIBERO's model of the task. `libero.state_files` reads and writes these files.
Axes: B environments, T tasks, nq and nv of the scene, nq' and nv' of LIBERO's model.
"""

import chex
import jax
import jax.numpy as jnp
import numpy as np

from omnivla_jax.core import indices
from omnivla_jax.sim.assets.objects import CATEGORIES
from omnivla_jax.sim.goals import task_ids
from omnivla_jax.sim.libero.tasks import Task
from omnivla_jax.sim.resets import region_sampler
from omnivla_jax.sim.state import EnvState, Scene

_FREE_VELOCITY = 6  # degrees of freedom of a free joint
_ROBOT = 9  # entries of the arm and the fingers


def fits(scene: Scene, task: jax.Array, width: int) -> jax.Array:
    """Whether a `qpos` of some width is LIBERO's of each task, or the scene's.

    Args:
      scene: the static tables.
      task: int32 [B].
      width: how many entries the `qpos` has.

    Returns:
      bool [B]; False, too, for tasks that the scene does not hold.

    Raises:
      ValueError: naming the tasks, unless traced, of which LIBERO's `qpos` is another.
    """
    held = task_ids.is_held(scene, task)
    if width == scene.model.nq:
        return held
    matching = np.any(recorded_rows(scene, width) >= 0, axis=1)  # [T]
    wrong = indices.unknown(task, np.flatnonzero(matching), name="task number")
    if wrong:
        theirs = indices.listed(np.flatnonzero(matching))
        raise ValueError(
            f"qpos has {width} entries, which is not LIBERO's of tasks {wrong}, but of "
            f"{theirs}: restore states under the task that they were recorded in."
        )
    return held & jnp.asarray(matching)[task_ids.rows(scene, task)]


def to_scene(
    scene: Scene, task: jax.Array, qpos: jax.Array, qvel: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Lay recorded states out as the scene does; what the task lacks is parked.

    Tasks that are traced cannot be checked: where LIBERO's model of one has another
    width than `qpos`, its environments get NaN, which the first step calls diverged.

    Args:
      scene: the static tables.
      task: int32 [B].
      qpos: [B, nq], in the scene's layout (which passes through), or [B, nq'], in
        LIBERO's of the task.
      qvel: [B, nv] or [B, nv'], in the same layout.

    Returns:
      `qpos` [B, nq] and `qvel` [B, nv] of the scene.

    Raises:
      ValueError: naming the widths that fit, or the tasks that have another one.
    """
    chex.assert_rank([task, qpos, qvel], [1, 2, 2])
    chex.assert_equal_shape_prefix([task, qpos, qvel], 1)
    model = scene.model
    if qpos.shape[1] != model.nq:
        fits(scene, task, qpos.shape[1])
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
    qpos, absent = region_sampler.reset_inactive(scene, task, qpos)
    return qpos, jnp.where(velocity_rows(scene, absent), 0.0, qvel)


def from_scene(
    scene: Scene, task: int, qpos: jax.Array, qvel: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Lay states out as LIBERO's model of one task does.

    The inverse of `to_scene`: what the task lacks is left out.

    Args:
      scene: the static tables.
      task: one row of the suite for the whole batch, as widths differ between tasks.
      qpos: [B, nq] of the scene.
      qvel: [B, nv] of the scene.

    Returns:
      `qpos` [B, nq'] and `qvel` [B, nv'].

    Raises:
      ValueError: on a task that the scene does not hold, and on other widths.
    """
    positions, velocities = _recorded_entries(scene, task)
    widths, expected = (qpos.shape[1], qvel.shape[1]), (scene.model.nq, scene.model.nv)
    if widths != expected:
        raise ValueError(f"qpos and qvel have {widths} entries: expected {expected}.")
    return qpos[:, positions], qvel[:, velocities]


def to_rows(scene: Scene, task: int, state: EnvState) -> np.ndarray:
    """What LIBERO's `set_init_state` takes, at time 0.

    Rows hold joints alone, as LIBERO's do: where fixtures stand, the controller's goal
    and the step are not in them. `split_rows` and `env.restore` are the way back.

    Args:
      scene: the static tables.
      task: the one task of the batch.
      state: episodes of that task.

    Returns:
      float64 [B, 1 + nq' + nv'].

    Raises:
      ValueError: on a task that the scene does not hold or that is not the batch's.
    """
    others = sorted(set(np.asarray(state.task).tolist()) - {task})
    if others:
        raise ValueError(f"The batch holds tasks {others} beside {task}: split it.")
    qpos, qvel = from_scene(scene, task, state.physics.qpos, state.physics.qvel)
    time = np.zeros((qpos.shape[0], 1))
    return np.concatenate([time, qpos, qvel], axis=1, dtype=np.float64)


def split_rows(
    scene: Scene, task: int, rows: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Positions and velocities in rows of a state file of one task.

    Args:
      scene: the static tables.
      task: one row of the suite.
      rows: [B, 1 + nq' + nv'].

    Returns:
      `qpos` [B, nq'] and `qvel` [B, nv'].

    Raises:
      ValueError: on a task that the scene does not hold, and on another width.
    """
    positions, velocities = (len(entries) for entries in _recorded_entries(scene, task))
    width = 1 + positions + velocities
    if rows.ndim != 2 or rows.shape[1] != width:
        raise ValueError(
            f"States of shape {rows.shape} are not those of task {task} of "
            f"{scene.name}, {scene.tasks[task].name!r}, which have {width} entries: "
            f"time, {positions} positions and {velocities} velocities."
        )
    return rows[:, 1 : 1 + positions], rows[:, 1 + positions :]


def velocity_rows(scene: Scene, positions: jax.Array) -> jax.Array:
    """Mark the velocities of free joints whose positions are marked.

    Args:
      scene: the static tables.
      positions: bool [B, nq].

    Returns:
      bool [B, nv].
    """
    chex.assert_shape(positions, (None, scene.model.nq))
    source = np.zeros(scene.model.nv, int)  # the robot's first joint is never marked
    for name in scene.assets.objects:
        qpos, dof = scene.joints[f"{name}_joint0"]
        source[dof : dof + _FREE_VELOCITY] = qpos
    return positions[:, source]


def recorded_rows(scene: Scene, width: int) -> np.ndarray:
    """Which entry of LIBERO's `qpos` of each task is the scene's.

    Args:
      scene: the static tables.
      width: of LIBERO's `qpos`; tasks of another width get rows of -1.

    Returns:
      int [T, nq]: indices, -1 where LIBERO's has no such entry.

    Raises:
      ValueError: naming the widths that the scene's tasks have.
    """
    joints = {row: recorded_joints(scene.tasks[row]) for row in scene.task_ids}
    known = sorted({_ROBOT + sum(sizes.values()) for sizes in joints.values()})
    if width not in known:
        raise ValueError(
            f"qpos has {width} entries: this scene takes {scene.model.nq}, or "
            f"LIBERO's {known} for its tasks."
        )
    table = np.full((len(scene.tasks), scene.model.nq), -1)
    for row, sizes in joints.items():
        if _ROBOT + sum(sizes.values()) != width:
            continue
        table[row, :_ROBOT] = np.arange(_ROBOT)
        source = _ROBOT
        for name, size in sizes.items():
            start = scene.joints[name][0]
            table[row, start : start + size] = np.arange(source, source + size)
            source += size
    return table


def recorded_joints(task: Task) -> dict[str, int]:
    """The joints after the robot's in LIBERO's order: name -> entries of `qpos`."""
    sizes = {f"{start.name}_joint0": 7 for start in task.objects}
    for start in task.fixtures:
        parts = CATEGORIES[start.category].parts
        sizes |= {f"{start.name}_{part.name}": 1 for part in parts if part.joint}
    return sizes


def _take(values: jax.Array, rows: jax.Array) -> jax.Array:
    taken = jnp.take_along_axis(values, jnp.maximum(rows, 0), axis=1)
    known = jnp.any(rows >= 0, axis=1, keepdims=True)
    return jnp.where(rows >= 0, taken, jnp.where(known, 0.0, jnp.nan))


def _recorded_entries(scene: Scene, task: int) -> tuple[np.ndarray, np.ndarray]:
    """int [nq'] and [nv']: which of the scene's entries are LIBERO's, in its order."""
    if task not in scene.task_ids:
        raise ValueError(
            f"Task {task} is not in this scene of {scene.name}, which holds "
            f"{list(scene.task_ids)}: make one with it."
        )
    width = _ROBOT + sum(recorded_joints(scene.tasks[task]).values())
    entries = []
    for table in (recorded_rows(scene, width), _velocity_gather(scene, width)):
        known = np.flatnonzero(table[task] >= 0)
        entries.append(known[np.argsort(table[task, known])])
    return entries[0], entries[1]


def _velocity_gather(scene: Scene, width: int) -> np.ndarray:
    """As `recorded_rows`, for `qvel`, whose free joints are one entry shorter."""
    positions = recorded_rows(scene, width)
    table = np.full((positions.shape[0], scene.model.nv), -1)
    free = {scene.joints[f"{name}_joint0"] for name in scene.assets.objects}
    for row, source in enumerate(positions):
        inits = sorted(int(source[q]) for q, _ in free if source[q] >= 0)
        for qpos, dof in scene.joints.values():
            if source[qpos] < 0:
                continue
            before = sum(start < source[qpos] for start in inits)
            size = _FREE_VELOCITY if (qpos, dof) in free else 1
            first = int(source[qpos]) - before
            table[row, dof : dof + size] = np.arange(first, first + size)
    return table
