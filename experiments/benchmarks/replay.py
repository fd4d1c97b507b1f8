"""Recorded LIBERO episodes replayed open loop: same verdict, and how much earlier.

Run: `python -m experiments.benchmarks.replay`, with `--physics_preset=faithful` or
`--engine=mjx`.
Prints one JSON object; `--folder` takes other recordings in the same format, `--mixed`
plays them in the scene of the whole suite instead of one of their own task.
"""

import itertools
from pathlib import Path
from typing import NamedTuple, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags

from experiments.benchmarks.lib import libero_recordings
from experiments.benchmarks.lib.flags import make_scene, print_report
from omnivla_jax.core import compile as compilation
from omnivla_jax.sim import env
from omnivla_jax.sim.scene import Scene

_FOLDER = flags.DEFINE_string("folder", "", "Recordings; empty: those committed.")
_MIXED = flags.DEFINE_bool("mixed", False, "In the scene of all the suite's tasks.")
NEVER = -1


class Replayed(NamedTuple):
    """What became of one episode here."""

    step: int  # the first control step after which its goal held, or -1
    diverged: bool  # within its length


def replay(scene: Scene, group: Sequence[libero_recordings.Episode]) -> list[Replayed]:
    """What becomes of each episode under its recorded actions."""
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
    played = compilation.jit(run)(qpos, jnp.asarray(actions))
    lengths = np.array([len(episode.actions) for episode in group])
    within = np.arange(longest)[:, None] < lengths
    success, diverged = (np.asarray(column) & within for column in played)
    return [
        Replayed(int(won.argmax()) + 1 if won.any() else NEVER, bool(broke.any()))
        for won, broke in zip(success.T, diverged.T)
    ]


def main(argv: Sequence[str]) -> None:
    """Replay every episode; print verdicts and the share that agrees."""
    del argv
    shipped = libero_recordings.FOLDER / "trajectories"
    folder = Path(_FOLDER.value) if _FOLDER.value else shipped
    rows = []
    episodes = libero_recordings.episodes(folder)
    recorded = itertools.groupby(episodes, lambda one: (one.suite, one.task))
    for (suite, task), same in recorded:
        group = list(same)
        scene = make_scene(suite, None if _MIXED.value else (task,))
        for episode, here in zip(group, replay(scene, group)):
            rows.append((f"{suite}/{task}", episode.trial, episode.success_step, here))
    agree = [(there == NEVER) == (here.step == NEVER) for _, _, there, here in rows]
    print_report(
        "replay",
        scene.engine,
        mixed=_MIXED.value,
        episodes=len(rows),
        agree=float(np.mean(agree)),
        diverged=sum(here.diverged for *_, here in rows),
        steps=[
            {"task": task, "trial": trial, "recorded": there, "here": here.step}
            for task, trial, there, here in rows
        ],
    )


if __name__ == "__main__":
    app.run(main)
