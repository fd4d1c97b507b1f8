"""A policy in closed loop on both sides, from the same states, with our pictures."""

import contextlib
import re
import subprocess
import sys
from typing import Any, Callable, Iterable, Iterator, Sequence

from experiments.benchmarks.lib.real_libero.recordings import Recorder
from experiments.benchmarks.lib.real_libero.simulated import SimulatedLibero
from experiments.real_libero import episodes
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
    process = subprocess.Popen(
        [*command, "--port=0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None and process.stderr is not None
        found = ADDRESS.search(process.stdout.readline())
        if found is None:
            words = process.stderr.read().strip().splitlines() or ["without a word"]
            raise ValueError(f"experiments.serve ended: {words[-1]}")
        yield found.group()
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
        with PolicyClient(server) as client:
            size = client.metadata.get("image_size", SIZE)
        pictures = episodes.make_renderer(scene, task, size=size)
        ours, real = SimulatedLibero(scene, task), recorder.open(suite.name, row)
        for number, state in enumerate(starts.states):
            real.seed(episodes.SEED + number)
            ours.place(
                {n: (p[number], q[number]) for n, (p, q) in starts.fixtures.items()}
            )
            results = []
            for simulator in (ours, real):
                # The noise of a chunk depends on its number on the connection.
                with PolicyClient(server) as client:
                    results.append(
                        episodes.run_episode(
                            simulator,
                            state,
                            row.instruction,
                            client.infer,
                            pictures,
                            max_steps=max_steps,
                            replan_steps=replan_steps,
                        )
                    )
            rows.append(
                {
                    "task": f"{suite.name}/{task}",
                    "state": number,
                    "here": results[0].success,
                    "there": results[1].success,
                    "steps": [result.steps for result in results],
                }
            )
    return rows


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
