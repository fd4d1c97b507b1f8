"""Episodes of the scripted expert, from sampled or LIBERO's recorded initial states.

Axes: B episodes.
"""

from typing import Callable, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from omnivla_jax.core import compile as compilation
from omnivla_jax.sim import env
from omnivla_jax.sim.libero import files
from omnivla_jax.sim.scene import Scene
from omnivla_jax.world import demos, expert

ResetFn = Callable[[jax.Array], env.EnvState]  # key -> states after waiting steps


class ExpertResult(NamedTuple):
    """Results of B episodes."""

    task: np.ndarray  # int [B]
    success: np.ndarray  # bool [B]
    steps: np.ndarray  # int [B]: control steps until the success
    overflow: np.ndarray  # int [B]: contacts beyond the budget
    unplaced: np.ndarray  # int [B]: objects without a free place at reset
    diverged: np.ndarray  # bool [B]


def sampled_reset(scene: Scene, num_states: int) -> ResetFn:
    """Reset `num_states` episodes of every task with the region sampler."""
    task = jnp.repeat(jnp.array(scene.task_ids), num_states)

    return lambda key: env.reset(scene, task, jax.random.split(key, len(task)))


def recorded_reset(scene: Scene, num_states: int) -> ResetFn:
    """Start `num_states` episodes of every task from LIBERO's recorded states.

    The files hold no fixture poses: LIBERO samples those at every reset. Here fixtures
    stand at the centres of their regions.

    Raises:
      ValueError: LIBERO recorded fewer states of a task.
    """
    states = {}
    for task in scene.task_ids:
        table = files.initial_states(scene.name, scene.suite.tasks[task].name)
        if num_states > len(table):
            raise ValueError(
                f"{num_states=}: LIBERO recorded {len(table)} of task {task}."
            )
        # Its own widths: a free joint has 7 positions and 6 velocities.
        free_joints = len(scene.tasks[task].objects)
        width = (table.shape[1] - 1 + free_joints) // 2
        rows = jnp.asarray(table[:num_states, 1:])
        states[task] = rows[:, :width], rows[:, width:]

    def reset(key: jax.Array) -> env.EnvState:
        del key
        starts = [
            env.restore(scene, jnp.full(num_states, task), qpos, qvel)
            for task, (qpos, qvel) in states.items()
        ]
        joined = jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *starts)
        return env.settle(scene, joined)

    return reset


def run_episodes(
    scene: Scene, reset: ResetFn, *, noise: float, seed: int
) -> ExpertResult:
    """Run the expert for the suite's horizon in one program.

    Args:
      scene: whose tasks are performed.
      reset: makes the initial states of B episodes.
      noise: standard deviation of Gaussian noise on the arm's commands.
      seed: of the initial states and the noise.
    """

    def run(key: jax.Array) -> tuple[jax.Array, env.EnvState]:
        reset_key, noise_key = jax.random.split(key)
        first = reset(reset_key)

        def control(
            carry: tuple[env.EnvState, expert.ExpertState], step_key: jax.Array
        ) -> tuple[tuple[env.EnvState, expert.ExpertState], jax.Array]:
            state, memory = carry
            action, memory = expert.act(scene, state, memory)
            state, _ = env.step(
                scene, state, demos.add_action_noise(step_key, action, noise)
            )
            return (state, memory), state.success

        keys = jax.random.split(noise_key, scene.suite.horizon)
        start = (first, expert.init(first))
        (last, _), success = jax.lax.scan(control, start, keys)
        return success, last

    by_step, last = compilation.jit(run)(jax.random.key(seed))
    success = np.asarray(by_step)  # [T, B]
    counters = (last.physics.overflow, last.placement_failures, last.diverged)
    steps = success.argmax(axis=0) + 1
    return ExpertResult(
        np.asarray(last.task), success[-1], steps, *map(np.asarray, counters)
    )
