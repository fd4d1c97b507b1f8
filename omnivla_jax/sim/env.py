"""The environment: reset, restore and step, pure functions on a batch of episodes.

No auto-reset: an episode that succeeded or diverged stays as it is, as fixed-length
scans and grouped rollouts need. One out of time is truncated and continues.
Diverged are episodes whose physics left its bounds, that got an action which is not
finite, or whose task number, traced, names no task of the scene.
Axes: B environments, F fixtures.
"""

import dataclasses
from typing import Mapping, Sequence

import chex
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from omnivla_jax.core.types import TimeStep
from omnivla_jax.sim.engines import registry as engines
from omnivla_jax.sim.goals import predicates, task_ids
from omnivla_jax.sim.resets import recorded_states, region_sampler
from omnivla_jax.sim.state import EnvState, PhysicsState, Scene, choose

Pose = tuple[ArrayLike, ArrayLike]  # position [B, 3], quaternion wxyz [B, 4]
Tasks = Sequence[int] | np.ndarray | jax.Array  # integers [B]
ACTION_SIZE = 7
WAIT_STEPS = 10  # evaluators let the objects fall and settle first
WAIT_ACTION = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, -1.0)
POSITION_BOUND, VELOCITY_BOUND = 1e2, 1e3  # m or rad, per s: beyond is divergence


def reset(scene: Scene, task: Tasks, keys: jax.Array) -> EnvState:
    """Fresh episodes: sampled layout, settled objects, the policy's turn.

    Args:
      scene, task, keys: as of `place`.

    Returns:
      B episodes at step 0.

    Raises:
      ValueError: as `place`.
    """
    return settle(scene, place(scene, task, keys))


def place(
    scene: Scene,
    task: Tasks,
    keys: jax.Array,
    change: region_sampler.LayoutChange | None = None,
) -> EnvState:
    """Fresh episodes with a sampled layout, before their objects settle.

    Where robosuite would raise, because an object found no free place in many tries,
    `placement_failures` counts it and the episode has `diverged` from the start.

    Args:
      scene: the static tables.
      task: int32 [B] or a list, rows of the suite's task table that the scene holds.
      keys: typed keys [B]; consumed.
      change: of the layouts; None: none.

    Returns:
      B episodes at step 0.

    Raises:
      ValueError: naming tasks that the scene does not hold, and those it does. Traced
        numbers cannot be refused: those episodes are `diverged` from the start.
    """
    task = task_ids.check(scene, task)
    chex.assert_equal_shape([task, keys])
    rows = task_ids.rows(scene, task)
    qpos, fixture_pos, fixture_quat, failures = region_sampler.sample(
        scene, rows, keys, change
    )
    qvel = jnp.zeros((qpos.shape[0], scene.model.nv))
    start = engines.init_state(scene, rows, qpos, qvel, fixture_pos, fixture_quat)
    unusable = ~task_ids.is_held(scene, task) | (failures > 0)
    return _episode(start, task, unusable, failures)


def restore(
    scene: Scene,
    task: Tasks,
    qpos: jax.Array,
    qvel: jax.Array,
    *,
    fixtures: Mapping[str, Pose] | None = None,
) -> EnvState:
    """Episodes at recorded states, as LIBERO's `set_init_state`; nothing settles.

    Args:
      scene: the static tables.
      task: int32 [B] or a list, as in `reset`.
      qpos: [B, nq] and qvel: [B, nv], of this scene or as LIBERO orders them in its
        model of the task, which lacks what this scene holds for other tasks.
      fixtures: name -> (position [B, 3] in m, quaternion wxyz [B, 4]); those not named
        stand at the centre of their region.

    Returns:
      B episodes at step 0.

    Raises:
      ValueError: on a fixture or tasks that the scene does not have, or on another
        width of `qpos` than the tasks'. As in `reset`, traced tasks are not refused.
    """
    task = task_ids.check(scene, task)
    chex.assert_equal_shape_prefix([task, qpos, qvel], 1)
    chex.assert_rank([qpos, qvel], 2)
    known = recorded_states.fits(scene, task, qpos.shape[1])
    rows = task_ids.rows(scene, task)
    qpos, qvel = recorded_states.to_scene(
        scene, rows, jnp.asarray(qpos), jnp.asarray(qvel)
    )
    positions, quaternions = _fixture_poses(scene, rows, fixtures or {})
    start = engines.init_state(scene, rows, qpos, qvel, positions, quaternions)
    return _episode(start, task, ~known, jnp.zeros(task.shape[0], jnp.int32))


def settle(scene: Scene, state: EnvState) -> EnvState:
    """LIBERO's ten waiting steps; a success during them does not count."""
    action = jnp.tile(jnp.array(WAIT_ACTION), (state.task.shape[0], 1))
    waited, _ = jax.lax.scan(
        lambda current, _: (_advance(scene, current, action), None),
        state,
        length=WAIT_STEPS,
    )
    return waited


def step(scene: Scene, state: EnvState, action: jax.Array) -> tuple[EnvState, TimeStep]:
    """One 20 Hz control step.

    Args:
      scene: the static tables.
      state: the batch; episodes that succeeded or diverged keep their state.
      action: float32 [B, 7]: OSC_POSE translation, rotation, gripper in [-1, 1];
        beyond it is clipped. NaN or infinity in any entry is divergence.

    Returns:
      The next state and the outcome; the reward is 1 on the first control step on
      which the goal holds, 0 otherwise.
    """
    chex.assert_shape(action, (state.task.shape[0], ACTION_SIZE))
    moved = _advance(scene, state, action)
    reached = predicates.success(scene, moved.physics, state.task)
    success = state.success | (reached & ~moved.diverged)
    after = dataclasses.replace(
        moved, steps=state.steps + (~state.frozen).astype(jnp.int32), success=success
    )
    out_of_time = after.steps >= scene.suite.horizon
    return after, TimeStep(
        reward=(success & ~state.success).astype(jnp.float32),
        terminated=success,
        truncated=~success & (moved.diverged | out_of_time),
    )


def _fixture_poses(
    scene: Scene,
    task: jax.Array,
    given: Mapping[str, Pose],
) -> tuple[jax.Array, jax.Array]:
    """Positions [B, F, 3] and quaternions [B, F, 4]: those given, or the centres."""
    unknown = sorted(set(given) - set(scene.posed_bodies))
    if unknown:
        known = list(scene.posed_bodies)
        raise ValueError(f"Unknown fixtures {unknown}: this scene has {known}.")
    positions, quaternions = region_sampler.centers(scene, task)
    for name, (position, quaternion) in given.items():
        index = scene.posed_bodies.index(name)
        positions = positions.at[:, index].set(jnp.asarray(position))
        quaternions = quaternions.at[:, index].set(jnp.asarray(quaternion))
    return positions, quaternions


def _episode(
    start: PhysicsState, task: jax.Array, diverged: jax.Array, failures: jax.Array
) -> EnvState:
    batch = task.shape[0]
    return EnvState(
        physics=start,
        task=task,
        steps=jnp.zeros(batch, jnp.int32),
        success=jnp.zeros(batch, bool),
        diverged=diverged,
        placement_failures=failures,
    )


def _advance(scene: Scene, state: EnvState, action: jax.Array) -> EnvState:
    """Step the physics; an environment that diverges keeps its last state."""
    finite = jnp.all(jnp.isfinite(action), axis=-1)
    active = ~state.frozen & finite & task_ids.is_held(scene, state.task)
    task = task_ids.rows(scene, state.task)
    command = jnp.where(finite[:, None], action, 0.0)
    after = engines.control_step(scene, state.physics, task, command, active)
    if len(scene.task_ids) > 1 or scene.extras:
        # Objects that a task lacks return to their parking: in 50 ms they fall 1 cm.
        qpos, absent = region_sampler.reset_inactive(scene, task, after.qpos)
        still = recorded_states.velocity_rows(scene, absent)
        qvel = jnp.where(still, 0.0, after.qvel)
        after = dataclasses.replace(after, qpos=qpos, qvel=qvel)
    # A comparison with NaN is False, so this also catches what is not finite.
    sane = jnp.all(jnp.abs(after.qpos) < POSITION_BOUND, axis=-1)
    sane &= jnp.all(jnp.abs(after.qvel) < VELOCITY_BOUND, axis=-1)
    moved = active & sane
    return dataclasses.replace(
        state,
        physics=choose(moved, after, state.physics),
        diverged=state.diverged | ~(state.frozen | moved),
    )
