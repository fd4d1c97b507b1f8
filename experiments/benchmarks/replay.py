"""Recorded LIBERO episodes replayed open loop: same outcome, and at which step.

Run: `python -m experiments.benchmarks.replay`, with `--physics_preset=faithful` or
`--engine=mjx`. Prints one JSON object; `--folder` takes other recordings in the same
format, `--mixed` runs them in the scene of the whole suite instead of their own task.
"""

import itertools
from typing import NamedTuple, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags

from experiments.benchmarks.lib import libero_recordings, recordings_folder
from experiments.benchmarks.lib.flags import make_scene, print_report
from experiments.benchmarks.lib.libero_recordings import NEVER
from omnivla_jax.core import compile as compilation
from omnivla_jax.sim import env
from omnivla_jax.sim.scene import Scene

_MIXED = flags.DEFINE_bool(
    "mixed", False, "Run in the scene of all tasks of the suite."
)


class ReplayResult(NamedTuple):
    """Result of one episode."""

    step: int  # the first control step after which its goal held, or NEVER
    diverged: bool  # within its length


def replay(
    scene: Scene, group: Sequence[libero_recordings.Episode]
) -> list[ReplayResult]:
    """Run the recorded actions of several episodes of one task, open loop."""
    longest = max(len(episode.actions) for episode in group)
    actions = np.zeros((longest, len(group), env.ACTION_SIZE), np.float32)
    for row, episode in enumerate(group):
        actions[: len(episode.actions), row] = episode.actions
    fixtures = {
        name: (
            jnp.array([episode.fixtures[name][0] for episode in group]),
            jnp.array([episode.fixtures[name][1] for episode in group]),
        )
        for name in group[0].fixtures
    }

    def run(qpos: jax.Array, actions: jax.Array) -> tuple[jax.Array, jax.Array]:
        task = jnp.full(len(group), group[0].task)
        still = jnp.zeros((len(group), scene.model.nv))
        start = env.restore(scene, task, qpos, still, fixtures=fixtures)

        def one(state: env.EnvState, action: jax.Array) -> tuple:
            state, _ = env.step(scene, state, action)
            return state, (state.success, state.diverged)

        return jax.lax.scan(one, start, actions)[1]

    qpos = jnp.array([episode.qpos for episode in group])
    by_step = compilation.jit(run)(qpos, jnp.asarray(actions))
    lengths = np.array([len(episode.actions) for episode in group])
    within = np.arange(longest)[:, None] < lengths
    success, diverged = (np.asarray(column) & within for column in by_step)
    return [
        ReplayResult(int(s.argmax()) + 1 if s.any() else NEVER, bool(d.any()))
        for s, d in zip(success.T, diverged.T)
    ]


def main(argv: Sequence[str]) -> None:
    """Replay every episode; print outcomes and the share that agrees."""
    del argv
    folder = recordings_folder.chosen(libero_recordings.FOLDER / "trajectories")
    steps, agree, diverged = [], [], 0
    episodes = libero_recordings.episodes(folder)
    by_task = itertools.groupby(episodes, lambda episode: (episode.suite, episode.task))
    for (suite, task), of_task in by_task:
        group = list(of_task)
        scene = make_scene(suite, None if _MIXED.value else (task,))
        for episode, result in zip(group, replay(scene, group)):
            diverged += result.diverged
            agree.append((episode.success_step == NEVER) == (result.step == NEVER))
            steps.append(
                {
                    "task": f"{suite}/{task}",
                    "trial": episode.trial,
                    "recorded": episode.success_step,
                    "here": result.step,
                }
            )
    print_report(
        "replay",
        scene.engine,
        mixed=_MIXED.value,
        episodes=len(steps),
        agree=float(np.mean(agree)),
        diverged=diverged,
        steps=steps,
    )


if __name__ == "__main__":
    app.run(main)
