"""How often the scripted expert solves each task, from sampled initial states.

Run: `python -m experiments.benchmarks.experts [--suite=libero_goal] [--tasks=0,3]`.
With `--recorded` the states are LIBERO's own, read from the installed hf-libero. Prints
one JSON object. The tasks of a suite are played at once, mixed, by one program.
"""

from typing import Any, Callable, NamedTuple, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags

from experiments.benchmarks.lib import flags as options
from omnivla_jax.core import compile as compilation
from omnivla_jax.sim import env
from omnivla_jax.sim.libero import files
from omnivla_jax.sim.scene import Scene
from omnivla_jax.world import demos, expert

_SUITES = flags.DEFINE_list("suite", list(files.suite_names()), "Which suites.")
_TASKS = flags.DEFINE_list("tasks", [], "Rows of each suite; empty: all.")
_NUM_STATES = flags.DEFINE_integer("num_states", 50, "Initial states per task.")
_SEED = flags.DEFINE_integer("seed", 0, "Of the initial states and the noise.")
_NOISE = flags.DEFINE_float("noise", 0.0, "Deviation of noise on the arm's commands.")
_RECORDED = flags.DEFINE_bool("recorded", False, "Start from LIBERO's own states.")
GOOD, FAIR = 0.9, 0.5
Begin = Callable[[jax.Array], env.EnvState]  # episodes after their waiting steps


class Played(NamedTuple):
    """Of B episodes."""

    task: np.ndarray  # int [B]
    success: np.ndarray  # bool [B]
    steps: np.ndarray  # int [B]: control steps until the success
    overflow: np.ndarray  # int [B]: contacts that found no place
    unplaced: np.ndarray  # int [B]: objects that found no place at reset
    diverged: np.ndarray  # bool [B]


def sampled(scene: Scene, num_states: int) -> Begin:
    """Episodes of every task from the built-in placement sampler."""
    task = jnp.repeat(jnp.array(scene.playable), num_states)

    def begin(key: jax.Array) -> env.EnvState:
        return env.reset(scene, task, jax.random.split(key, len(task)))

    return begin


def recorded(scene: Scene, num_states: int) -> Begin:
    """Episodes of every task from LIBERO's recorded states.

    The files hold no fixture poses: LIBERO samples those at every reset. Here fixtures
    stand at the centres of their regions.
    """
    states = {task: _states(scene, task, num_states) for task in scene.playable}

    def begin(key: jax.Array) -> env.EnvState:
        del key
        starts = [
            env.restore(scene, jnp.full(num_states, task), qpos, qvel)
            for task, (qpos, qvel) in states.items()
        ]
        joined = jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *starts)
        return env.settle(scene, joined)

    return begin


def play(scene: Scene, begin: Begin, *, noise: float, seed: int) -> Played:
    """Episodes of the suite's horizon."""

    def run(key: jax.Array) -> tuple[jax.Array, env.EnvState]:
        reset_key, noise_key = jax.random.split(key)
        first = begin(reset_key)

        def control(
            carry: tuple[env.EnvState, expert.Memory], step_key: jax.Array
        ) -> tuple[tuple[env.EnvState, expert.Memory], jax.Array]:
            state, memory = carry
            action, memory = expert.act(scene, state, memory)
            state, _ = env.step(scene, state, demos.disturb(step_key, action, noise))
            return (state, memory), state.success

        keys = jax.random.split(noise_key, scene.suite.horizon)
        start = (first, expert.start(first))
        (last, _), success = jax.lax.scan(control, start, keys)
        return success, last

    success, last = compilation.jit(run)(jax.random.key(seed))
    won = np.asarray(success)
    counted = (last.task, last.physics.overflow, last.placement_failures, last.diverged)
    task, overflow, unplaced, diverged = map(np.asarray, counted)
    steps = won.argmax(axis=0) + 1
    return Played(task, won[-1], steps, overflow, unplaced, diverged)


def measure(scene: Scene) -> list[dict[str, Any]]:
    """One row of the report for every task that `scene` holds."""
    expert.require_scripts(scene, scene.playable)
    starts = recorded if _RECORDED.value else sampled
    begin = starts(scene, _NUM_STATES.value)
    played = play(scene, begin, noise=_NOISE.value, seed=_SEED.value)
    return [_row(scene.name, task, played) for task in scene.playable]


def main(argv: Sequence[str]) -> None:
    """Play every task; print success, mean steps and how many tasks do well."""
    del argv
    chosen = [int(task) for task in _TASKS.value] or None
    rows = []
    for suite in _SUITES.value:
        scene = options.scene(suite, chosen)
        rows += measure(scene)
    rates = np.array([row["success"] for row in rows])
    options.report(
        "experts",
        scene.engine,
        states=_NUM_STATES.value,
        recorded=_RECORDED.value,
        noise=_NOISE.value,
        seed=_SEED.value,
        good=int((rates >= GOOD).sum()),
        fair=int((rates >= FAIR).sum()),
        tasks=rows,
    )


def _states(scene: Scene, task: int, num_states: int) -> tuple[jax.Array, jax.Array]:
    """LIBERO's `qpos` and `qvel` of the first states of a task, in its own widths."""
    table = files.initial_states(scene.name, scene.suite.tasks[task].name)
    if num_states > len(table):
        raise ValueError(f"{num_states=}: LIBERO recorded {len(table)} of task {task}.")
    free = len(scene.tasks[task].movables)  # a free joint: 7 positions, 6 velocities
    width = (table.shape[1] - 1 + free) // 2
    rows = jnp.asarray(table[:num_states, 1:])
    return rows[:, :width], rows[:, width:]


def _row(suite: str, task: int, played: Played) -> dict[str, Any]:
    of_task = played.task == task
    success = played.success[of_task]
    steps = played.steps[of_task][success]
    return {
        "task": f"{suite}/{task}",
        "success": round(float(success.mean()), 3),
        "steps": round(float(steps.mean()), 1) if success.any() else None,
        "contact_overflow": int(played.overflow[of_task].sum()),
        "placement_failures": int(played.unplaced[of_task].sum()),
        "diverged": int(played.diverged[of_task].sum()),
    }


if __name__ == "__main__":
    app.run(main)
