"""Tests of the tables of verdicts, rest poses and travels, without a simulator."""

import numpy as np
import pytest

from experiments.benchmarks.lib.libero_recordings import NEVER
from experiments.benchmarks.lib.real_libero import (
    actions,
    policy,
    rest,
    speed,
    travel,
)
from omnivla_jax.sim import scene as scenes


def verdict(task, here, there, **more):
    return {
        "task": task,
        "here": here,
        "there": there,
        "arm": [],
        "palm": [],
        "diverged": False,
    } | more


def test_verdicts_by_suite_and_task():
    rows = [
        verdict("libero_goal/0", 50, 54, palm=["12 soup_1_main"]),
        verdict("libero_goal/0", 50, 44),
        verdict("libero_goal/1", NEVER, NEVER),
        verdict("libero_10/3", 90, NEVER, first_difference=None, arm=["3 a b"]),
        verdict("libero_90/3", 90, 101, first_difference=None),
    ]
    summary = actions.summarise(rows)
    goal, long = summary["suites"]["libero_goal"], summary["suites"]["libero_10"]
    assert (goal["here"], goal["there"], goal["agree"], goal["episodes"]) == (
        2,
        2,
        3,
        3,
    )
    assert goal["median"] == -1.0 and goal["p90"] == pytest.approx(5.8)
    assert long["median"] is None and (long["agree"], long["arm"]) == (0, 1)
    assert summary["tasks"]["libero_goal/0"]["agree"] == 2
    assert (goal["palm"], long["palm"]) == (1, 0)
    assert summary["all"]["episodes"] == 5
    assert summary["disagreements"] == rows[3:4] and summary["late"] == rows[4:]
    table = actions.table(summary)
    assert "| libero_10/3 | 1 of 1 | 0 of 1 | 0 of 1 |" in table
    assert "libero_goal/0" not in table  # perfect


def lying(name, z=0.0, state=0):
    errors = {"z_mm": z, "xy_mm": 1.0, "tilt_deg": 1.0}
    return {"object": name, "state": state, "neighbours": ("plate_1_main",)} | errors


def test_rest_poses_outside_are_listed_worst_first():
    rows = [lying("libero_10/4/mug_1", z) for z in (0.0, 4.1, 30.0)]
    rows += [lying("libero_goal/0/bowl_1", 3.9), lying("libero_goal/0/bowl_1", np.nan)]
    summary = rest.summarise(rows)
    assert summary["suites"] == {"libero_10": pytest.approx(1 / 3), "libero_goal": 0.5}
    assert summary["within"] == pytest.approx(2 / 5)
    assert summary["offenders"] == {"libero_10/4/mug_1": 2, "libero_goal/0/bowl_1": 1}
    assert "| libero_10/4/mug_1 | 2 |" in rest.table(summary)


@pytest.fixture(scope="module")
def scene():
    return scenes.make("libero_goal", tasks=(0,), engine="mujoco")


def swing(angles):
    """A turn of the arm's first joint, [T + 1, 9]."""
    qpos = np.zeros((len(angles), 9))
    qpos[:, :7] = [0.0, -0.16, 0.0, -2.44, 0.0, 2.23, 0.79]
    qpos[:, 0] = angles
    return qpos


def test_travel_compares_distances(scene):
    move = travel.MOVES[0]
    ends = np.linspace(0, 0.3, move.steps + travel.REST + 1)
    same = travel.compare(scene, move, swing(ends), swing(ends))
    assert same["still"]["further_percent"] == 0.0 and same["still"]["apart_mm"] == 0.0
    further = travel.compare(scene, move, swing(1.01 * ends), swing(ends))
    # Chords of a circle: sin(0.1515) / sin(0.15).
    expected = 100 * (np.sin(0.1515) / np.sin(0.15) - 1)
    assert further["still"]["further_percent"] == pytest.approx(expected, abs=1e-2)
    assert further["still"]["mm"] > 50


def test_moves_that_touched_are_left_out():
    def row(suite, percent, touched):
        numbers = {"mm": 100.0, "further_percent": percent, "apart_mm": abs(percent)}
        return {
            "suite": suite,
            "move": "+x",
            "moving": numbers,
            "still": numbers,
            "touched": touched,
        }

    rows = [row("a", 1.0, False), row("a", -3.0, False), row("b", 0.5, False)]
    summary = travel.summarise([*rows, row("a", 50.0, True)])
    assert summary["suites"]["a"]["moving"] == {
        "mean_percent": -1.0,
        "largest_percent": -3.0,
        "apart_mm": 3.0,
    }
    assert summary["touched"] == ["a +x"]
    assert "| b | +0.50 % | +0.50 % | 0.5 |" in travel.table(summary)


def test_commands_last_as_long_as_their_moves():
    for move, actions_of in zip(travel.MOVES, travel.commands()):
        assert len(actions_of) == move.steps + travel.REST
        np.testing.assert_array_equal(actions_of[move.steps - 1, :3], move.command)
        assert not actions_of[move.steps :, :6].any()
        assert (actions_of[:, 6] == -1).all()


def test_policy_table_counts_both_sides():
    rows = [
        {"task": "libero_goal/7", "here": True, "there": k < 2, "steps": [3, 4]}
        for k in range(4)
    ]
    summary = policy.summarise(rows)
    assert summary["all"]["here"]["success"] == 1.0
    assert summary["all"]["there"]["success"] == 0.5
    assert summary["all"]["agree"] == 0.5
    low, high = summary["all"]["there"]["interval"]
    assert 0.1 < low < 0.5 < high < 0.9
    assert "| libero_goal/7 | 100.0 % (" in policy.table(summary).replace("%", " %")


def test_speed_table_says_what_cannot_draw():
    rate = {"per_second": 10.0, "per_cpu_second": 5.0}
    row = {"suite": "libero_goal", "here": rate}
    rows = [
        row | {"cameras": False, "there": rate, "times_as_fast": 1.0},
        row | {"cameras": True, "there": {"failed": "no library"}},
    ]
    table = speed.table(speed.summarise(rows))
    assert "| libero_goal | none | 5.0 | 5.0 | 1.0 |" in table
    assert "| libero_goal | 2 x 128x128 | 5.0 | cannot draw |" in table
