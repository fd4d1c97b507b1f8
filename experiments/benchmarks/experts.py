"""How often the scripted expert solves each task, from sampled initial states.

Run: `python -m experiments.benchmarks.experts [--suite=libero_goal] [--tasks=0,3]`.
With `--recorded` the states are LIBERO's own, read from the installed hf-libero. Prints
one JSON object; the forty tasks take eleven minutes on two cores.
"""

import itertools
from typing import Any, Callable, NamedTuple, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags

from experiments.benchmarks import options
from omnivla_jax.core import compile as compilation
from omnivla_jax.sim import env, libero_files
from omnivla_jax.sim.scene import Scene
from omnivla_jax.world import demos, expert

_SUITES = flags.DEFINE_list("suite", list(libero_files.suite_names()), "Which suites.")
_TASKS = flags.DEFINE_list("tasks", [], "Rows of each suite; empty: all.")
_NUM_STATES = flags.DEFINE_integer("num_states", 50, "Initial states per task.")
_SEED = flags.DEFINE_integer("seed", 0, "Of the initial states and the noise.")
_NOISE = flags.DEFINE_float("noise", 0.0, "Deviation of noise on the arm's commands.")
_RECORDED = flags.DEFINE_bool("recorded", False, "Start from LIBERO's own states.")
GOOD, FAIR = 0.9, 0.5
Begin = Callable[[jax.Array], env.EnvState]  # episodes after their waiting steps


class Played(NamedTuple):
    """Of B episodes."""

    success: np.ndarray  # bool [B]
    steps: np.ndarray  # int [B]: control steps until the success
    overflow: np.ndarray  # int [B]: contacts that found no place


def sampled(scene: Scene, task: int, num_states: int) -> Begin:
    """Episodes from the built-in placement sampler."""

    def begin(key: jax.Array) -> env.EnvState:
        keys = jax.random.split(key, num_states)
        return env.reset(scene, jnp.full(num_states, task), keys)

    return begin


def recorded(scene: Scene, task: int, num_states: int) -> Begin:
    """Episodes from LIBERO's recorded states, fixtures at the centres of their regions.

    The files hold no fixture poses: LIBERO samples those at every reset.
    """
    table = libero_files.initial_states(scene.name, scene.suite.tasks[task].name)
    if num_states > len(table):
        raise ValueError(f"{num_states=}: LIBERO recorded {len(table)} of task {task}.")
    width = scene.model.nq
    qpos, qvel = table[:num_states, 1 : 1 + width], table[:num_states, 1 + width :]

    def begin(key: jax.Array) -> env.EnvState:
        del key
        rows = jnp.full(num_states, task)
        start = env.restore(scene, rows, jnp.asarray(qpos), jnp.asarray(qvel))
        return env.settle(scene, start)

    return begin


def play(scene: Scene, begin: Begin, *, noise: float, seed: int) -> Played:
    """Episodes of the suite's horizon."""

    def run(key: jax.Array) -> tuple[jax.Array, jax.Array]:
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
        return success, last.physics.overflow

    found = compilation.jit(run)(jax.random.key(seed))
    success, overflow = map(np.asarray, found)
    return Played(success[-1], success.argmax(axis=0) + 1, overflow)


def measure(scene: Scene) -> dict[str, Any]:
    """One row of the report, for the one task that `scene` holds."""
    (task,) = scene.playable
    expert.require_scripts(scene, (task,))
    starts = recorded if _RECORDED.value else sampled
    begin = starts(scene, task, _NUM_STATES.value)
    played = play(scene, begin, noise=_NOISE.value, seed=_SEED.value)
    success = played.success
    steps = played.steps[success]
    return {
        "task": f"{scene.name}/{task}",
        "success": round(float(success.mean()), 3),
        "steps": round(float(steps.mean()), 1) if success.any() else None,
        "contact_overflow": int(played.overflow.sum()),
    }


def main(argv: Sequence[str]) -> None:
    """Play every task; print success, mean steps and how many tasks do well."""
    del argv
    chosen = [int(task) for task in _TASKS.value] or list(range(10))
    rows = []
    for suite, task in itertools.product(_SUITES.value, chosen):
        scene = options.scene(suite, (task,))
        rows.append(measure(scene))
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


if __name__ == "__main__":
    app.run(main)
