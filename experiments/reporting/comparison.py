"""The table of methods that were tuned alike: success, steps and time of each.

Intervals are over seeds and episodes together (`intervals.py`); the last column is the
best method's lead, under the same seeds. Steps are those that the simulator executed
until the exploring policy's smoothed success reached `REACHED`.
"""

import statistics
from typing import Any, Sequence

import numpy as np

from experiments.reporting import curves, intervals
from experiments.reporting.records import Run

REACHED = 0.7  # success of the exploring policy whose steps are counted
UNREACHED = "not reached"


def table(runs: Sequence[Run], variants: Sequence[str]) -> str:
    """The comparison in Markdown, a row a variant.

    Args:
      runs: of every variant under the same seeds.
      variants: their names, in this order.

    Raises:
      ValueError: a variant has other seeds than the first.
    """
    by_variant = {
        name: sorted((r for r in runs if r.variant == name), key=lambda run: run.seed)
        for name in variants
    }
    seeds = {name: [run.seed for run in of] for name, of in by_variant.items()}
    unequal = [name for name in variants if seeds[name] != seeds[variants[0]]]
    if unequal:
        raise ValueError(
            f"{unequal[0]!r} has seeds {seeds[unequal[0]]} and {variants[0]!r} has "
            f"{seeds[variants[0]]}: finish the comparison first."
        )
    best = max(by_variant.values(), key=lambda of: statistics.fmean(_success(of)))
    lines = [
        "| method | success (95 % interval over seeds and episodes) | by seed "
        f"| half way | steps until {REACHED:.0%} | online minutes "
        "| million parameters | ms a chunk | the best leads by |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [_row(name, of, best) for name, of in by_variant.items()]
    return "\n".join(lines)


def steps_until(run: Run, reached: float = REACHED) -> float | None:
    """Simulated control steps until the smoothed success is reached; None: never.

    Args:
      run: with a history of `success` and `simulated_steps`.
      reached: success of the exploring policy.
    """
    success = curves.smooth(np.array([row["success"] for row in run.history]))
    steps = np.cumsum([row["simulated_steps"] for row in run.history])
    there = np.flatnonzero(success >= reached)
    return float(steps[there[0]]) if len(there) else None


def _row(name: str, runs: Sequence[Run], best: Sequence[Run]) -> str:
    success, episodes = _success(runs), [run.final["episodes"] for run in runs]
    halves = [run.evaluations.get("half") for run in runs]
    cells = [
        name,
        f"{statistics.fmean(success):.1%} "
        + _interval(intervals.of_success(success, episodes)),
        ", ".join(f"{share:.0%}" for share in success),
        (
            f"{statistics.fmean(half['success'] for half in halves if half):.1%}"
            if all(halves)
            else ""
        ),
        _steps(runs),
        _mean([run.wall_seconds.get("online") for run in runs], 60),
        _mean([run.evaluations.get("cost", {}).get("parameters") for run in runs], 1e6),
        _mean([run.evaluations.get("cost", {}).get("latency_ms") for run in runs], 1),
        (
            ""
            if runs is best
            else _interval(intervals.of_difference(_success(best), success, episodes))
        ),
    ]
    return f"| {' | '.join(cells)} |"


def _success(runs: Sequence[Run]) -> list[float]:
    return [run.final["success"] for run in runs]


def _interval(interval: tuple[float, float]) -> str:
    low, high = interval
    return f"({low:.1%} to {high:.1%})"


def _steps(runs: Sequence[Run]) -> str:
    """The median over the seeds; a seed that did not get there counts as infinite."""
    if not all(run.history for run in runs):
        return ""
    counts: list[Any] = [steps_until(run) or np.inf for run in runs]
    median = statistics.median(counts)
    return UNREACHED if np.isinf(median) else f"{median / 1000:.0f}k"


def _mean(values: Sequence[float | None], unit: float) -> str:
    """The mean of those that were measured, in `unit`; nothing where none was."""
    known = [value for value in values if value is not None]
    if not known:
        return ""
    mean = statistics.fmean(known) / unit
    return f"{mean:.0f}" if mean >= 10 or mean == round(mean) else f"{mean:.1f}"
