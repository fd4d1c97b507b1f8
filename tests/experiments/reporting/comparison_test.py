"""Tests of experiments.reporting.comparison: its rows, by hand."""

import pytest

from experiments.reporting import comparison
from experiments.reporting.records import Run


def run(variant, seed, success, *, curve=()):
    evaluation = {"success": success, "episodes": 100}
    history = [
        {"update": n + 1.0, "success": value, "simulated_steps": 1000.0}
        for n, value in enumerate(curve)
    ]
    phases = {"after": evaluation, "half": {"success": success / 2}}
    if not curve:
        phases = {"before": evaluation}
    elif variant == "A":
        phases["cost"] = {"parameters": 1_500_000 + seed * 200_000, "latency_ms": 20.0}
    return Run(variant, seed, {}, phases, history, {"online": 120.0} if curve else {})


RUNS = [
    run("SFT", 0, 0.3),
    run("SFT", 1, 0.3),
    run("A", 0, 0.9, curve=(0.8, 0.9)),
    run("A", 1, 0.9, curve=(0.2, 0.95, 0.95, 0.99)),
    run("B", 1, 0.5, curve=(0.1, 0.2)),
    run("B", 0, 0.5, curve=(0.1, 0.8)),
]


def test_rows_by_hand():
    table = comparison.table(RUNS, ["SFT", "A", "B"]).splitlines()
    rows = {line.split(" | ")[0].strip("| "): line for line in table[2:]}
    assert "| 90%, 90% | 45.0% |" in rows["A"] and rows["A"].endswith(
        "| 2 | 1.6 | 20 |  |"
    )
    assert "| 50%, 50% | 25.0% | not reached | 2 |  |  | (" in rows["B"]
    assert "| 30%, 30% |  |  |  |  |" in rows["SFT"]
    assert "(5" in rows["SFT"].split(" | ")[-1], "the best leads it by 60 points"


def test_steps_count_until_the_smoothed_curve_is_there():
    assert comparison.steps_until(RUNS[2]) == 1000
    assert comparison.steps_until(RUNS[3]) in (3000, 4000)
    assert comparison.steps_until(RUNS[4]) is None


def test_unfinished_comparisons_are_named():
    with pytest.raises(ValueError, match=r"'B' has seeds \[1\] and 'A' has \[0, 1\]"):
        comparison.table(RUNS[:5], ["A", "B"])
