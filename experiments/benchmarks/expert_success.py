"""Success rate of the scripted expert on each task, from sampled initial states.

Run: `python -m experiments.benchmarks.expert_success [--suite=libero_goal]
[--tasks=0,3]`. With `--recorded` the states are LIBERO's own, read from the installed
hf-libero. Prints one JSON object. One program runs all tasks of a suite at once.
"""

from typing import Any, Callable, NamedTuple, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags

from experiments.benchmarks.lib.flags import make_scene, print_report
from omnivla_jax.core import compile as compilation
from omnivla_jax.sim import env
from omnivla_jax.sim.libero import files
from omnivla_jax.sim.scene import Scene
from omnivla_jax.world import demos, expert

_SUITES = flags.DEFINE_list("suite", list(files.SUITE_NAMES), "Which suites.")
_TASKS = flags.DEFINE_list("tasks", [], "Rows of each suite; empty: all.")
_NUM_STATES = flags.DEFINE_integer("num_states", 50, "Initial states per task.")
_SEED = flags.DEFINE_integer("seed", 0, "Of the initial states and the noise.")
_NOISE = flags.DEFINE_float("noise", 0.0, "Standard deviation of noise on the arm.")
_RECORDED = flags.DEFINE_bool("recorded", False, "Start from LIBERO's own states.")
GOOD, FAIR = 0.9, 0.5  # success rates
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


def measure(scene: Scene) -> list[dict[str, Any]]:
    """One row of the report for every task that `scene` holds."""
    expert.require_skills(scene, scene.task_ids)
    make_reset = recorded_reset if _RECORDED.value else sampled_reset
    reset = make_reset(scene, _NUM_STATES.value)
    result = run_episodes(scene, reset, noise=_NOISE.value, seed=_SEED.value)
    rows = []
    for task in scene.task_ids:
        of_task = ExpertResult(*(leaf[result.task == task] for leaf in result))
        steps = of_task.steps[of_task.success]
        rows.append(
            {
                "task": f"{scene.name}/{task}",
                "success": round(float(of_task.success.mean()), 3),
                "steps": round(float(steps.mean()), 1) if len(steps) else None,
                "contact_overflow": int(of_task.overflow.sum()),
                "placement_failures": int(of_task.unplaced.sum()),
                "diverged": int(of_task.diverged.sum()),
            }
        )
    return rows


def main(argv: Sequence[str]) -> None:
    """Run every task; print success, mean steps and the number of good tasks."""
    del argv
    chosen = [int(task) for task in _TASKS.value] or None
    rows = []
    for suite in _SUITES.value:
        scene = make_scene(suite, chosen)
        rows += measure(scene)
    rates = np.array([row["success"] for row in rows])
    print_report(
        "expert_success",
        scene.engine,
        states=_NUM_STATES.value,
        recorded=_RECORDED.value,
        noise=_NOISE.value,
        seed=_SEED.value,
        good=int((rates >= GOOD).sum()),
        fair=int((rates >= FAIR).sum()),
        tasks=rows,
    )


if __name__ == "__main__":
    app.run(main)
