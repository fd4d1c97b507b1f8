"""A policy in closed loop on both sides, from the same states, with our pictures."""

import contextlib
import functools
import re
import subprocess
import sys
import tempfile
from typing import Any, Callable, Iterable, Iterator, Sequence

import numpy as np

from experiments.benchmarks.lib.real_libero.recordings import Recorder
from experiments.benchmarks.lib.real_libero.simulated import SimulatedLibero
from experiments.real_libero import episodes
from experiments.real_libero.episodes import EpisodeResult, PicturesFn, Simulator
from experiments.real_libero.policy_client import PolicyClient
from omnivla_jax.sim.libero.task_types import Suite
from omnivla_jax.sim.state import Scene
from omnivla_jax.train.evaluate import wilson_interval

ADDRESS = re.compile(r"ws://\S+")
SIZE = 224  # pixels, where the server does not say


@contextlib.contextmanager
def serving(checkpoint: str) -> Iterator[str]:
    """Serve a checkpoint by a process of its own: the address.

    Raises:
      ValueError: it ends without serving, with its last words.
    """
    command = [sys.executable, "-m", "experiments.serve", f"--checkpoint={checkpoint}"]
    with tempfile.TemporaryFile() as words:  # a pipe without a reader would fill
        process = subprocess.Popen(
            [*command, "--port=0"], stdout=subprocess.PIPE, stderr=words
        )
        try:
            assert process.stdout is not None
            match = ADDRESS.search(process.stdout.readline().decode())
            if match is None:
                process.wait()
                words.seek(0)
                lines = words.read().decode(errors="replace").strip().splitlines()
                raise ValueError(
                    f"experiments.serve ended: {(lines or ['silently'])[-1]}"
                )
            yield match.group()
        finally:
            process.terminate()
            process.wait()


def measure(
    recorder: Recorder,
    suite: Suite,
    tasks: Iterable[int],
    make_scene: Callable[[str, tuple[int, ...]], Scene],
    *,
    server: str,
    count: int,
    replan_steps: int,
    max_steps: int,
) -> list[dict[str, Any]]:
    """Play each initial state on both sides.

    Args:
      recorder: of the real simulator.
      suite: the task table.
      tasks: its rows.
      make_scene: of one task.
      server: ws://HOST:PORT of openpi's protocol.
      count: initial states a task.
      replan_steps: actions of a chunk to execute.
      max_steps: of the policy, control steps.

    Returns:
      A row an episode.
    """
    rows = []
    for task in tasks:
        row = suite.tasks[task]
        starts = recorder.starts(suite.name, task, row, count)
        scene = make_scene(suite.name, (task,))
        ours, real = SimulatedLibero(scene, task), recorder.open(suite.name, row)
        with PolicyClient(server) as client:
            size = client.metadata.get("image_size", SIZE)
        run = functools.partial(
            play_episode,
            prompt=row.instruction,
            server=server,
            pictures=episodes.make_renderer(scene, task, size=size),
            replan_steps=replan_steps,
            max_steps=max_steps,
        )
        for number, state in enumerate(starts.states):
            real.seed(episodes.SEED + number)
            ours.fixtures = {
                n: (p[number], q[number]) for n, (p, q) in starts.fixtures.items()
            }
            here, there = run(ours, state), run(real, state)
            rows.append(
                {
                    "task": f"{suite.name}/{task}",
                    "state": number,
                    "here": here.success,
                    "there": there.success,
                    "steps": [here.steps, there.steps],
                }
            )
    return rows


def play_episode(
    simulator: Simulator,
    state: np.ndarray,
    *,
    prompt: str,
    server: str,
    pictures: PicturesFn,
    replan_steps: int,
    max_steps: int,
) -> EpisodeResult:
    """Play one episode over a connection of its own.

    The noise of a chunk depends on its number on the connection: both sides get the
    same as long as they show the same.
    """
    with PolicyClient(server) as client:
        return episodes.run_episode(
            simulator,
            state,
            prompt,
            client.infer,
            pictures,
            max_steps=max_steps,
            replan_steps=replan_steps,
        )


def summarise(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Success on both sides with Wilson intervals, by task and of all."""
    tasks: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        tasks.setdefault(row["task"], []).append(row)
    return {
        "all": _summary(rows),
        "tasks": {name: _summary(part) for name, part in tasks.items()},
        "episodes": list(rows),
    }


def table(summary: dict[str, Any]) -> str:
    """Success by task, in Markdown."""
    lines = ["| | here | there | same verdict |", "|---|---|---|---|"]
    for name, part in (summary["tasks"] | {"all": summary["all"]}).items():
        cells = [
            f"{part[side]['success']:.1%} ({low:.1%} to {high:.1%})"
            for side in ("here", "there")
            for low, high in [part[side]["interval"]]
        ]
        lines.append(f"| {name} | {' | '.join(cells)} | {part['agree']:.1%} |")
    return "\n".join(lines)


def _summary(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    summary: dict[str, Any] = {"episodes": len(rows)}
    for side in ("here", "there"):
        won = sum(row[side] for row in rows)
        summary[side] = {
            "success": won / len(rows),
            "interval": list(wilson_interval(won, len(rows))),
        }
    summary["agree"] = sum(row["here"] == row["there"] for row in rows) / len(rows)
    return summary
