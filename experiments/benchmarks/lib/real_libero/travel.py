"""How far the hand travels in free space under the same commands, on both sides.

Axes: M moves, T control steps, nq' entries of LIBERO's `qpos`.
"""

from typing import Any, Callable, NamedTuple, Sequence

import numpy as np

from experiments.benchmarks.lib.real_libero import differences, ours
from experiments.benchmarks.lib.real_libero.differences import ROBOT
from experiments.benchmarks.lib.real_libero.recordings import Recorder, Starts
from experiments.real_libero import episodes
from omnivla_jax.sim import env
from omnivla_jax.sim.assets import panda
from omnivla_jax.sim.libero.task_types import Suite
from omnivla_jax.sim.state import Scene

REST = 15  # control steps of zeros after a move, in which the hand comes to rest
TASK = 0  # of each suite, from its first initial state


class Move(NamedTuple):
    """A constant command and how many control steps it lasts."""

    name: str
    command: tuple[float, float, float]  # of the translation, in [-1, 1]
    steps: int


MOVES = (
    Move("+x", (1, 0, 0), 18),
    Move("-x", (-1, 0, 0), 8),
    Move("+y", (0, 1, 0), 18),
    Move("-y", (0, -1, 0), 18),
    Move("+z", (0, 0, 1), 10),
    Move("-z", (0, 0, -1), 8),
    Move("+x+y", (1, 1, 0), 15),
    Move("+x-y", (1, -1, 0), 15),
    Move("+x+z", (1, 0, 1), 12),
    Move("+y half", (0, 0.5, 0), 30),
    Move("-y half", (0, -0.5, 0), 30),
    Move("+x half", (0.5, 0, 0), 30),
)


def commands() -> list[np.ndarray]:
    """float32 [T, 7] of each move, the fingers open."""
    sequences = []
    for move in MOVES:
        actions = np.zeros((move.steps + REST, env.ACTION_SIZE), np.float32)
        actions[: move.steps, :3] = move.command
        actions[:, 6] = -1.0
        sequences.append(actions)
    return sequences


def measure(
    recorder: Recorder, suite: Suite, make_scene: Callable[..., Scene]
) -> list[dict[str, Any]]:
    """A row for each move from the first initial state of the suite's first task."""
    task = suite.tasks[TASK]
    starts = recorder.starts(suite.name, TASK, task, 1)
    theirs = recorder.cached(
        f"travel/{suite.name}_{TASK}.npz",
        lambda: _move_theirs(recorder, suite, starts),
    )
    scene = make_scene(suite.name, (TASK,))
    count = len(MOVES)
    repeated = Starts(
        np.repeat(starts.states[:1], count, 0),
        {
            name: (np.repeat(p[:1], count, 0), np.repeat(q[:1], count, 0))
            for name, (p, q) in starts.fixtures.items()
        },
        np.repeat(starts.rest[:1], count, 0),
        starts.touches[:1] * count,
    )
    mine = ours.play_actions(scene, TASK, repeated, commands())
    return [
        compare(scene, move, episode.qpos, theirs[f"{n}_qpos"])
        | {"suite": suite.name, "touched": bool(theirs[f"{n}_touched"])}
        for n, (move, episode) in enumerate(zip(MOVES, mine))
    ]


def compare(
    scene: Scene, move: Move, mine: np.ndarray, theirs: np.ndarray
) -> dict[str, Any]:
    """How far both hands got, [T + 1, nq'] each.

    Returns:
      At the end of the command ("moving") and after the rest ("still"): the real
      distance in mm, ours beyond it in per cent, and the hands' distance in mm.
    """
    hands = [
        differences.hand_positions(scene, qpos[:, : panda.NUM_JOINTS])
        for qpos in (mine, theirs)
    ]
    row: dict[str, Any] = {"move": move.name}
    for when, step in (("moving", move.steps), ("still", move.steps + REST)):
        travels = [np.linalg.norm(hand[step] - hand[0]) for hand in hands]
        apart = (hands[0][step] - hands[0][0]) - (hands[1][step] - hands[1][0])
        row[when] = {
            "mm": round(1e3 * float(travels[1]), 2),
            "further_percent": round(100 * float(travels[0] / travels[1] - 1), 3),
            "apart_mm": round(1e3 * float(np.linalg.norm(apart)), 2),
        }
    return row


def summarise(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Mean and largest excess by suite, in per cent, of the moves without a touch."""
    suites: dict[str, Any] = {}
    for row in rows:
        suites.setdefault(row["suite"], []).append(row)
    return {
        "suites": {name: _summary(part) for name, part in suites.items()},
        "all": _summary(rows),
        "touched": [f"{r['suite']} {r['move']}" for r in rows if r["touched"]],
        "moves": list(rows),
    }


def table(summary: dict[str, Any]) -> str:
    """The excess by suite, in Markdown."""
    lines = [
        "| | moving: mean | largest | apart, mm | still: mean | largest | apart, mm |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, part in (summary["suites"] | {"all": summary["all"]}).items():
        cells = [part[when][key] for when in part for key in part[when]]
        texts = (
            f"{x:+.2f} %" if n % 3 < 2 else f"{x:.1f}" for n, x in enumerate(cells)
        )
        lines.append(f"| {name} | {' | '.join(texts)} |")
    return "\n".join(lines)


def _summary(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    free = [row for row in rows if not row["touched"]]
    summary = {}
    for when in ("moving", "still"):
        excess = np.array([row[when]["further_percent"] for row in free])
        summary[when] = {
            "mean_percent": round(float(excess.mean()), 3),
            "largest_percent": float(excess[np.abs(excess).argmax()]),
            "apart_mm": max(row[when]["apart_mm"] for row in free),
        }
    return summary


def _move_theirs(
    recorder: Recorder, suite: Suite, starts: Starts
) -> dict[str, np.ndarray]:
    """Make the moves in the real simulator; note where the robot touched something."""
    real = recorder.open(suite.name, suite.tasks[TASK])
    arrays: dict[str, np.ndarray] = {}
    for n, actions in enumerate(commands()):
        real.seed(episodes.SEED)
        real.reset(starts.states[0])
        for _ in range(episodes.WAIT_STEPS):
            observation = real.step(episodes.WAIT_ACTION)
        qpos, touched = [observation.qpos], False
        for action in actions:
            qpos.append(real.step(action).qpos)
            for pair in real.contacts():
                robots = [body.startswith(ROBOT) for body in pair]
                touched |= any(robots) and not all(robots)
        arrays |= {f"{n}_qpos": np.stack(qpos), f"{n}_touched": np.array(touched)}
    return arrays
