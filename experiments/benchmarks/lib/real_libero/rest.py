"""Rest poses after the ten waiting steps, against the real LIBERO's from same states.

Axes: N initial states.
"""

from typing import Any, Callable, Iterable, Sequence

import numpy as np

from experiments.benchmarks.lib.real_libero import differences, ours
from experiments.benchmarks.lib.real_libero.recordings import Recorder, Starts
from omnivla_jax.sim.libero.task_types import Suite
from omnivla_jax.sim.state import Scene

SHOWN = 30  # objects outside, worst first


def measure(
    recorder: Recorder,
    suite: Suite,
    tasks: Iterable[int],
    make_scene: Callable[[str, tuple[int, ...]], Scene],
    *,
    count: int,
) -> list[dict[str, Any]]:
    """A row for each object of each of `count` initial states of each task."""
    rows = []
    for task in tasks:
        starts = recorder.starts(suite.name, task, suite.tasks[task], count)
        scene = make_scene(suite.name, (task,))
        state = ours.settled(scene, task, starts)
        rest = np.asarray(ours.recorded_qpos(scene, task, state))
        rows += compare(scene, task, rest, starts)
    return rows


def compare(
    scene: Scene, task: int, rest: np.ndarray, starts: Starts
) -> list[dict[str, Any]]:
    """Rows of the objects of one task; `rest` is ours, [N, nq']."""
    rows = []
    for joint in differences.joints(scene, task):
        if joint.size < differences.FREE:
            continue
        place = slice(joint.start, joint.start + 3)
        turn = slice(joint.start + 3, joint.start + differences.FREE)
        errors = differences.rest_errors(
            rest[:, place], rest[:, turn], starts.rest[:, place], starts.rest[:, turn]
        )
        for number, pairs in enumerate(starts.touches):
            spans = {pair: [(0, 0)] for pair in pairs}
            rows.append(
                {
                    "object": f"{scene.name}/{task}/{joint.name}",
                    "state": number,
                    **{name: float(column[number]) for name, column in errors.items()},
                    "neighbours": differences.touching(
                        joint.name, spans, first=0, last=0
                    ),
                }
            )
    return rows


def summarise(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The share within the limits of all and by suite, and the worst outside.

    Returns:
      "offenders" counts the outside by object; "worst" lists the farthest.
    """
    outside = [row for row in rows if excess(row) > 1]
    suites: dict[str, list[bool]] = {}
    for row in rows:
        name = row["object"].split("/")[0]
        suites.setdefault(name, []).append(excess(row) <= 1)
    offenders: dict[str, int] = {}
    for row in outside:
        offenders[row["object"]] = offenders.get(row["object"], 0) + 1
    outside.sort(key=excess, reverse=True)
    return {
        "objects": len(rows),
        "within": 1 - len(outside) / len(rows),
        "suites": {name: float(np.mean(inside)) for name, inside in suites.items()},
        "offenders": dict(sorted(offenders.items(), key=lambda item: -item[1])),
        "worst": [
            row | {name: round(row[name], 2) for name in differences.REST_LIMITS}
            for row in outside[:SHOWN]
        ],
    }


def excess(row: dict[str, Any]) -> float:
    """By how many times the worst of an object's errors exceeds its limit."""
    ratios = [row[name] / most for name, most in differences.REST_LIMITS.items()]
    return float(np.max(np.nan_to_num(ratios, nan=np.inf)))


def table(summary: dict[str, Any]) -> str:
    """The shares by suite and the objects outside, in Markdown."""
    lines = ["| | within |", "|---|---|"]
    shares = summary["suites"] | {"all": summary["within"]}
    lines += [f"| {name} | {share:.2%} |" for name, share in shares.items()]
    lines += ["", "| object | outside |", "|---|---|"]
    lines += [f"| {name} | {n} |" for name, n in summary["offenders"].items()]
    return "\n".join(lines)
