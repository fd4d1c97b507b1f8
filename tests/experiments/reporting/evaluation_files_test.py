"""Tests of the files of an evaluation."""

import json

from experiments.reporting import evaluation_files

SUMMARY = {
    "success": 0.5,
    "interval": [0.25, 0.75],
    "per_task": {
        "turn on the stove": {"success": 1.0, "interval": [0.5, 1.0], "episodes": 2},
        "push the plate": {"success": 0.0, "interval": [0.0, 0.5], "episodes": 2},
    },
    "episodes": 4,
    "diverged": 1,
}


def test_table_has_a_row_a_task_and_all():
    lines = evaluation_files.success_table(SUMMARY).splitlines()
    assert lines[2] == "| turn on the stove | 100.0% (50.0% to 100.0%) | 2 |"
    assert lines[4] == "| all | 50.0% (25.0% to 75.0%) | 4 |"
    assert lines[-1].endswith("failures: 1.")


def test_writes_json_and_table(tmp_path):
    evaluation_files.write(tmp_path / "out", SUMMARY)
    assert json.loads((tmp_path / "out" / "evaluation.json").read_text()) == SUMMARY
    table = (tmp_path / "out" / "evaluation.md").read_text()
    assert table == evaluation_files.success_table(SUMMARY) + "\n"
