"""Tests of experiments.pipeline.results: the table in the terminal."""

from experiments.pipeline import results


def estimate(success):
    return {"success": success, "interval": [success / 2, (1 + success) / 2]}


def test_the_table_holds_every_number_in_columns():
    columns = {
        name: estimate(share)
        | {"diverged": round(10 * share)}
        | {"per_task": {"turn on the stove": estimate(share), "push": estimate(0.0)}}
        for name, share in [
            ("before", 0.4),
            ("after", 0.8),
            ("swapped_instructions", 0.1),
        ]
    }
    extra = {
        "time_split": {"physics": 2.0, "update": 1.5},
        "episodes": 210,
        "wall_seconds": {"total": 125.0},
    }
    lines = results.table(columns | extra).splitlines()
    assert lines[2].split()[:6] == ["turn", "on", "the", "stove", "40%", "(20%"]
    assert lines[-3].startswith("all 210 episodes") and "80% (40% to 90%)" in lines[-3]
    assert lines[-2].endswith("failures: 4 before, 8 after, 1 swapped words.")
    assert len({line.index("%") for line in lines[2:4]}) == 1, "aligned"
    assert "physics 2.0 s, update 1.5 s" in lines[-1] and "2 min 05 s" in lines[-1]


def test_a_phase_that_was_skipped_says_so():
    task = estimate(0.5) | {"per_task": {"turn on the stove": estimate(0.5)}}
    found = {
        "before": task,
        "after": task,
        "swapped_instructions": {"skipped": "there is only one instruction"},
        "time_split": {"update": 1.5},
        "episodes": 6,
        "wall_seconds": {"total": 125.0},
    }
    lines = results.table(found).splitlines()
    assert lines[2].endswith("skipped") and lines[4].endswith("skipped")
    assert lines[-3] == "Swapped words: skipped, there is only one instruction."
    assert lines[-2].endswith("failures: ? before, ? after.")
