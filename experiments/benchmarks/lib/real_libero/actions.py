"""The expert's actions of our simulator, replayed open loop in the real one."""

from typing import Any, Callable, Iterable, Sequence

import numpy as np

from experiments.benchmarks.lib.libero_recordings import NEVER
from experiments.benchmarks.lib.real_libero import differences, ours
from experiments.benchmarks.lib.real_libero.ours import OurEpisode
from experiments.benchmarks.lib.real_libero.recordings import Recorder, Trajectory
from omnivla_jax.sim.libero.task_types import Suite
from omnivla_jax.sim.state import Scene
from omnivla_jax.world import expert

LATE = 10  # control steps by which first successes may differ unexplained
MakeScene = Callable[[str, tuple[int, ...]], Scene]


def measure(
    recorder: Recorder,
    suite: Suite,
    tasks: Iterable[int],
    make_scene: MakeScene,
    *,
    count: int,
    name: str,
    cached: bool,
) -> list[dict[str, Any]]:
    """Play both sides.

    Args:
      recorder: of the real simulator.
      suite: the task table.
      tasks: its rows.
      make_scene: of one task.
      count: initial states a task.
      name: folder of the recordings.
      cached: play the recorded actions in our simulator instead of the expert.

    Returns:
      A row an episode.
    """
    rows = []
    for task in tasks:
        starts = recorder.starts(suite.name, task, suite.tasks[task], count)
        scene = make_scene(suite.name, (task,))
        if cached:
            theirs = recorder.recorded(suite.name, task, name=name)[:count]
            starts = starts.first(len(theirs))
            sequences = [episode.actions for episode in theirs]
            mine = ours.play_actions(scene, task, starts, sequences)
        else:
            expert.require_skills(scene, scene.task_ids)
            mine = ours.play_expert(scene, task, starts)
            theirs = recorder.episodes(
                suite.name,
                task,
                suite.tasks[task],
                starts,
                [episode.actions for episode in mine],
                name=name,
            )
        for number, pair in enumerate(zip(mine, theirs)):
            rows.append(compare(scene, task, *pair) | {"state": number})
    return rows


def compare(
    scene: Scene, task: int, mine: OurEpisode, theirs: Trajectory
) -> dict[str, Any]:
    """One episode on both sides; why it ended differently, or at another time.

    Returns:
      "here" and "there": the first control step at which the goal held; "arm": what the
      arm's links touched there, with the first step; "palm": what the palm touched,
      with the number of steps. Where the verdicts or, by more than `LATE`, the steps
      differ: "first_difference", the first pose that does, and "hand_mm", how far the
      hands are apart then.
    """
    row: dict[str, Any] = {
        "task": f"{scene.name}/{task}",
        "here": mine.success_step,
        "there": theirs.success_step,
        "diverged": mine.diverged,
        "arm": [" ".join(map(str, t)) for t in differences.arm_touches(theirs.touches)],
        "palm": [
            " ".join(map(str, t)) for t in differences.palm_touches(theirs.touches)
        ],
    }
    if is_same(row) and abs(mine.success_step - theirs.success_step) <= LATE:
        return row
    table = differences.joints(scene, task)
    difference = differences.first_difference(
        table, mine.qpos, theirs.qpos, theirs.touches
    )
    length = min(len(mine.qpos), len(theirs.qpos))
    step = length - 1 if difference is None else difference.step
    arms = np.stack([mine.qpos[step, :7], theirs.qpos[step, :7]])
    hands = differences.hand_positions(scene, arms)
    row["hand_mm"] = round(1e3 * float(np.linalg.norm(hands[0] - hands[1])), 1)
    row["first_difference"] = None if difference is None else difference._asdict()
    return row


def summarise(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Verdicts and first-success differences by suite, by task and of all.

    Returns:
      The three tables, and the rows of the episodes whose verdicts or times differ.
    """
    by_suite: dict[str, list[dict[str, Any]]] = {}
    by_task: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        by_suite.setdefault(row["task"].split("/")[0], []).append(row)
        by_task.setdefault(row["task"], []).append(row)
    return {
        "all": _summary(rows),
        "suites": {name: _summary(part) for name, part in by_suite.items()},
        "tasks": {name: _summary(part) for name, part in by_task.items()},
        "disagreements": [row for row in rows if not is_same(row)],
        "late": [r for r in rows if is_same(r) and "first_difference" in r],
    }


def is_same(row: dict[str, Any]) -> bool:
    """Whether both sides succeeded or neither."""
    return (row["here"] == NEVER) == (row["there"] == NEVER)


def table(summary: dict[str, Any]) -> str:
    """The suites and the tasks that are not perfect, in Markdown.

    "arm" and "palm" count episodes in which links or palm touched something there.
    """
    lines = [
        "| | here | there | same verdict | median | 90 % | arm | palm | diverged |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    shown = summary["suites"] | {
        name: part
        for name, part in summary["tasks"].items()
        if min(part["agree"], part["there"]) < part["episodes"]
    }
    for name, part in (shown | {"all": summary["all"]}).items():
        cells = [f"{part[k]} of {part['episodes']}" for k in ("here", "there", "agree")]
        cells += [str(part[k]) for k in ("median", "p90", "arm", "palm", "diverged")]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _summary(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Counts of successes; steps by which the success there comes later than here."""
    won = [[row[side] != NEVER for row in rows] for side in ("here", "there")]
    here, there = np.array(won)
    late = np.array([row["there"] - row["here"] for row in rows])[here & there]
    return {
        "episodes": len(rows),
        "here": int(here.sum()),
        "there": int(there.sum()),
        "agree": int((here == there).sum()),
        "median": float(np.median(late)) if len(late) else None,
        "p90": round(np.percentile(np.abs(late), 90), 1) if len(late) else None,
        "arm": sum(bool(row["arm"]) for row in rows),
        "palm": sum(bool(row["palm"]) for row in rows),
        "diverged": sum(row["diverged"] for row in rows),
    }
