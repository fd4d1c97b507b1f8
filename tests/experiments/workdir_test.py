"""Tests of experiments.workdir: markers, clocks, and whose folder it is."""

import pytest

from experiments.workdir import open_workdir

CONFIG = {"seed": 0, "tasks": (5, 7), "rl": {"groups": 3}}


def test_phases_are_marked_and_found_again(tmp_path):
    workdir = open_workdir(tmp_path / "run", CONFIG, resume=False)
    assert workdir.result("before") is None
    workdir.finish("before", {"success": 0.25})
    again = open_workdir(tmp_path / "run", CONFIG, resume=True)
    assert again.result("before") == {"success": 0.25}


def test_time_adds_up_over_interruptions(tmp_path):
    workdir = open_workdir(tmp_path, CONFIG, resume=False)
    with pytest.raises(KeyboardInterrupt), workdir.clock("online"):
        raise KeyboardInterrupt
    first = workdir.seconds()["online"]
    with workdir.clock("online"), workdir.clock("inner"):
        pass
    assert workdir.seconds()["online"] > first > 0
    assert set(workdir.seconds()) == {"online", "inner"}


def test_resuming_into_nothing_starts_a_run(tmp_path):
    open_workdir(tmp_path / "new", CONFIG, resume=True)
    assert (tmp_path / "new" / "config.json").exists()


def test_other_folders_and_settings_are_refused(tmp_path):
    open_workdir(tmp_path / "run", CONFIG, resume=False)
    with pytest.raises(ValueError, match="add --resume"):
        open_workdir(tmp_path / "run", CONFIG, resume=False)
    changed = {**CONFIG, "rl": {"groups": 4}}
    with pytest.raises(ValueError, match=r"\(rl.groups\)"):
        open_workdir(tmp_path / "run", changed, resume=True)
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="is a file"):
        open_workdir(tmp_path / "file", CONFIG, resume=False)


def test_a_damaged_marker_is_one_clear_line(tmp_path):
    workdir = open_workdir(tmp_path, CONFIG, resume=False)
    workdir.finish("before", {})
    (tmp_path / "phases" / "before.json").write_text("{")
    with pytest.raises(ValueError, match="move it away to redo"):
        workdir.result("before")
