"""Tests of experiments.pipeline.workdir: markers, clocks, and whose folder it is."""

import pytest

from experiments.pipeline.workdir import enclosing_run, open_workdir

CONFIG = {"seed": 0, "tasks": (5, 7), "rl": {"groups": 3}}


def test_phases_are_marked_and_found_again(tmp_path):
    workdir = open_workdir(tmp_path / "run", CONFIG, resume=False)
    assert workdir.result("before") is None
    workdir.save_result("before", {"success": 0.25})
    again = open_workdir(tmp_path / "run", CONFIG, resume=True)
    assert again.result("before") == {"success": 0.25}


def test_time_adds_up_over_interruptions(tmp_path):
    workdir = open_workdir(tmp_path, CONFIG, resume=False)
    with pytest.raises(KeyboardInterrupt), workdir.timer("online"):
        raise KeyboardInterrupt
    first = workdir.wall_seconds()["online"]
    with workdir.timer("online"), workdir.timer("inner"):
        pass
    assert workdir.wall_seconds()["online"] > first > 0
    assert set(workdir.wall_seconds()) == {"online", "inner"}


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
    workdir.save_result("before", {})
    (tmp_path / "phases" / "before.json").write_text("{")
    with pytest.raises(ValueError, match="move it away to redo"):
        workdir.result("before")


def test_a_folder_inside_a_run_is_refused(tmp_path):
    run = open_workdir(tmp_path / "run", CONFIG, resume=False)
    step = run.checkpoints("online") / "step-00000001"
    step.mkdir(parents=True)
    for resume in (False, True):
        for path in (step, step.parent, step.parent.parent, run.path / "phases"):
            with pytest.raises(ValueError, match=f"give --workdir={run.path}\\.$"):
                open_workdir(path, CONFIG, resume=resume)
    assert enclosing_run(step) == enclosing_run(run.path) == run.path
    assert enclosing_run(tmp_path) is None
    beside = run.path / "notes"  # nothing of ours: a place like any other
    assert open_workdir(beside, CONFIG, resume=False).path == beside


@pytest.mark.parametrize("resume", [False, True])
def test_folders_without_a_run_are_described(tmp_path, resume):
    for name in ("first", "second"):
        open_workdir(tmp_path / "runs" / name, CONFIG, resume=False)
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text('{"model_type": "paligemma"}')
    for name, words in {
        "runs": "runs of their own, first, second: choose one of them or another",
        "model": "holds no run of this job but config.json: choose another",
    }.items():
        with pytest.raises(ValueError, match=words) as error:
            open_workdir(tmp_path / name, CONFIG, resume=resume)
        assert "delete" not in str(error.value) and "empty it" not in str(error.value)


def test_a_damaged_config_is_to_be_restored(tmp_path):
    open_workdir(tmp_path, CONFIG, resume=False)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ValueError, match="put it back as it was"):
        open_workdir(tmp_path, CONFIG, resume=True)
