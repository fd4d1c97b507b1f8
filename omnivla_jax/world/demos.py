"""Demonstrations of the scripted expert: run in batches, successes cut to episodes.

Axes: B environments, T control steps, V camera views, S image side.
"""

from typing import Callable, Iterator, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np

from omnivla_jax.core import compile
from omnivla_jax.core.types import Demonstration
from omnivla_jax.sim import env
from omnivla_jax.sim.assets import panda
from omnivla_jax.sim.resets import recorded_states
from omnivla_jax.sim.state import EnvState, Scene
from omnivla_jax.world import expert, proprioception
from omnivla_jax.world.perturbations import language, perturbation, training_draws
from omnivla_jax.world.perturbations.training_draws import PerturbConfig
from omnivla_jax.world.visual_scene import VisualScene

ACTION_LIMIT = 1.0
CONTROL_RATE = 20  # Hz


class ExpertTrajectory(NamedTuple):
    """A batch of expert episodes, time first."""

    images: jax.Array  # uint8 [T, B, V, S, S, 3]
    state: jax.Array  # float32 [T, B, 8]
    joint_state: jax.Array  # float32 [T, B, 7], of the arm, rad
    action: jax.Array  # float32 [T, B, 7]
    success: jax.Array  # bool [T, B]: the goal holds after action t
    diverged: jax.Array  # bool [T, B]: the episode broke off at action t or before
    joints: tuple[jax.Array, jax.Array] | None  # qpos [T, B, nq], qvel [T, B, nv]
    # int32 [T, B], of `language.phrases`; None: the tasks' own instructions
    phrase: jax.Array | None = None


class ExpertRollout(NamedTuple):
    """Expert episodes that go on."""

    state: EnvState
    expert: expert.ExpertState


class ExpertRunner(NamedTuple):
    """Compiled functions that start episodes of the expert and go on with them."""

    reset: Callable[[jax.Array, jax.Array], ExpertRollout]  # (task int32 [B], key)
    # (rollout, key) -> the rollout T steps later and those steps
    advance: Callable[
        [ExpertRollout, jax.Array], tuple[ExpertRollout, ExpertTrajectory]
    ]


def make_runner(
    scene: Scene, visuals: VisualScene, *, steps: int, size: int, action_noise: float
) -> ExpertRunner:
    """Compile segments of the expert, for episodes that may end before the last one.

    Their steps hold the simulator's joints.

    Args:
      scene: the static tables.
      visuals: shapes, materials, lights and cameras.
      steps: control steps T of a segment.
      size: image side, pixels.
      action_noise: standard deviation of Gaussian noise on the commanded translation
        and rotation, which makes the expert show how it recovers (DART).

    Returns:
      The compiled functions.
    """
    runner = _runner(
        scene, visuals, steps=steps, size=size, action_noise=action_noise, joints=True
    )
    return ExpertRunner(compile.jit(runner.reset), compile.jit(runner.advance))


def make_recorder(
    scene: Scene,
    visuals: VisualScene,
    *,
    steps: int,
    size: int,
    action_noise: float,
    perturb: PerturbConfig | None = None,
) -> Callable[[jax.Array, jax.Array], ExpertTrajectory]:
    """Compile whole episodes of the expert.

    Args:
      scene: the static tables.
      visuals: shapes, materials, lights and cameras.
      steps: control steps T of an episode.
      size: image side, pixels.
      action_noise: see `make_runner`.
      perturb: what episodes are perturbed by; None: nothing.

    Returns:
      (task int32 [B], key) -> T control steps of B episodes; the key is consumed.
    """
    runner = _runner(
        scene,
        visuals,
        steps=steps,
        size=size,
        action_noise=action_noise,
        joints=False,
        perturb=perturb,
    )

    def record(task: jax.Array, key: jax.Array) -> ExpertTrajectory:
        reset_key, noise_key = jax.random.split(key)
        return runner.advance(runner.reset(task, reset_key), noise_key)[1]

    return compile.jit(record)


def _runner(
    scene: Scene,
    visuals: VisualScene,
    *,
    steps: int,
    size: int,
    action_noise: float,
    joints: bool,
    perturb: PerturbConfig | None = None,
) -> ExpertRunner:
    def reset(task: jax.Array, key: jax.Array) -> ExpertRollout:
        chex.assert_rank(task, 1)
        keys = jax.random.split(key, task.shape[0])
        if perturb is None:
            state = env.reset(scene, task, keys)
        else:
            state = _perturbed_reset(scene, task, keys, perturb)
        return ExpertRollout(state, expert.init(state))

    def advance(
        rollout: ExpertRollout, key: jax.Array
    ) -> tuple[ExpertRollout, ExpertTrajectory]:
        def step(
            rollout: ExpertRollout, key: jax.Array
        ) -> tuple[ExpertRollout, ExpertTrajectory]:
            state = rollout.state
            action, expert_state = expert.act(scene, state, rollout.expert)
            action = add_action_noise(key, action, action_noise)
            new_state, _ = env.step(scene, state, action)
            record = ExpertTrajectory(
                perturbation.pictures(scene, visuals, state, size=size),
                proprioception.policy_state(scene, state),
                state.physics.qpos[:, : panda.NUM_JOINTS],
                action,
                new_state.success,
                new_state.diverged,
                (state.physics.qpos, state.physics.qvel) if joints else None,
                None if perturb is None else state.perturbation.phrase,
            )
            return ExpertRollout(new_state, expert_state), record

        return jax.lax.scan(step, rollout, jax.random.split(key, steps))

    return ExpertRunner(reset, advance)


def _perturbed_reset(
    scene: Scene, task: jax.Array, keys: jax.Array, config: PerturbConfig
) -> EnvState:
    """Fresh episodes, each with a perturbation of its own."""
    reset_keys, change_keys = jnp.moveaxis(jax.vmap(jax.random.split)(keys), 1, 0)
    change = training_draws.draw(scene, change_keys, jnp.ones(len(keys)), config=config)
    placed = env.place(scene, task, reset_keys, change.layout.change)
    return perturbation.begin(scene, placed, change)


def add_action_noise(key: jax.Array, action: jax.Array, std: float) -> jax.Array:
    """Add Gaussian noise to translation and rotation; the gripper keeps its command.

    Args:
      key: consumed.
      action: float32 [B, 7].
      std: standard deviation; the result stays within +-ACTION_LIMIT.

    Returns:
      float32 [B, 7].
    """
    chex.assert_shape([action], (None, 7))
    noise = std * jax.random.normal(key, action[:, :6].shape)
    arm = jnp.clip(action[:, :6] + noise, -ACTION_LIMIT, ACTION_LIMIT)
    return jnp.concatenate([arm, action[:, 6:]], axis=-1)


def successful_episodes(
    scene: Scene, task: jax.Array, trajectory: ExpertTrajectory
) -> Iterator[Demonstration]:
    """Cut the episodes that reached their goal in time after the step that did.

    Args:
      scene: the static tables.
      task: int32 [B], rows of the suite.
      trajectory: T steps of B episodes.

    Returns:
      An iterator over these episodes, in the batch's order.
    """
    tasks, horizon = np.asarray(task), scene.suite.horizon
    arrays = jax.tree.map(lambda leaf: np.asarray(leaf)[:horizon], trajectory)
    for index in np.flatnonzero(arrays.success[-1]):
        length = int(arrays.success[:, index].argmax()) + 1
        row, simulator_state = int(tasks[index]), None
        if arrays.joints is not None:
            qpos, qvel = (part[:length, index] for part in arrays.joints)
            own = recorded_states.from_scene(scene, row, qpos, qvel)
            seconds = np.arange(length)[:, None] / CONTROL_RATE
            simulator_state = np.concatenate([seconds, *own], axis=1, dtype=np.float64)
        instruction = scene.tasks[row].instruction
        if arrays.phrase is not None and arrays.phrase[0, index]:
            instruction = language.phrases(instruction)[arrays.phrase[0, index] - 1]
        yield Demonstration(
            images=arrays.images[:length, index].copy(),
            state=arrays.state[:length, index].copy(),
            joint_state=arrays.joint_state[:length, index].copy(),
            action=arrays.action[:length, index].copy(),
            instruction=instruction,
            task=row,
            simulator_state=simulator_state,
        )
