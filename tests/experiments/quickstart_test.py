"""Tests of experiments.quickstart through its real entry point, on the debug config."""

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from omnivla_jax.train import checkpoints

ROOT = Path(__file__).parents[2]
CONFIG = "--config=experiments/configs/quickstart.py:debug"
STAGES = ("flow_matching", "flow_gspo")
PHASES = ("before", "after", "swapped_instructions")


def launch(workdir, *arguments, config=CONFIG):
    command = [sys.executable, "-m", "experiments.quickstart", config]
    return subprocess.run(
        [*command, f"--workdir={workdir}", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=840,
    )


def one_line(done, code, *words):
    """The launcher failed with `code` and one line on stderr that holds `words`."""
    assert done.returncode == code, done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr
    for word in words:
        assert word in done.stderr


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Two steps of both stages, uninterrupted."""
    workdir = tmp_path_factory.mktemp("quickstart") / "whole"
    return workdir, launch(workdir)


def arrays(path):
    """Every array of a checkpoint, as numpy, in a fixed order."""
    import jax
    import orbax.checkpoint as ocp

    with ocp.StandardCheckpointer() as checkpointer:
        return jax.tree.leaves(checkpointer.restore(path / checkpoints.TREE))


def test_it_runs_from_end_to_end_and_prints_no_noise(finished):
    workdir, done = finished
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "Success (95 % interval)" in done.stdout
    for name in ("curve.png", "before.mp4", "after.mp4", "report.html"):
        assert (workdir / name).stat().st_size > 1000, name
    results = json.loads((workdir / "results.json").read_text())
    for name in PHASES:
        assert 0 <= results[name]["success"] <= 1
        low, high = results[name]["interval"]
        assert low <= results[name]["success"] <= high
        assert len(results[name]["per_task"]) == 3
    assert set(results["time_split"]) == {"physics", "rendering", "policy", "update"}
    seconds = dict(results["wall_seconds"])
    assert seconds.pop("total") == pytest.approx(sum(seconds.values()))
    assert {"seed", "versions", "device", "episodes"} <= set(results)


def test_a_resumed_run_matches_bit_for_bit(finished, tmp_path):
    """Both stages go on from their first step, as after an interruption."""
    whole, _ = finished
    workdir = tmp_path / "resumed"
    shutil.copytree(whole, workdir)
    for stage in STAGES:
        shutil.rmtree(workdir / "checkpoints" / stage / "step-00000002")
    for name in ("after.mp4", "results.json", "phases/after.json"):
        (workdir / name).unlink()
    done = launch(workdir, "--resume")
    assert done.returncode == 0, done.stderr
    for stage in STAGES:
        steps = [folder / "checkpoints" / stage / "step-00000002"
                 for folder in (whole, workdir)]
        for ours, theirs in zip(*map(arrays, steps), strict=True):
            np.testing.assert_array_equal(ours, theirs)
        tables = [(f / f"{stage}.csv").read_text() for f in (whole, workdir)]
        assert tables[0] == tables[1]
        assert len(list(csv.reader(tables[0].splitlines()))) == 3
    results = [json.loads((f / "results.json").read_text()) for f in (whole, workdir)]
    assert results[0]["after"] == results[1]["after"]


@pytest.mark.parametrize("name", ["flow_matching", "flow_gspo"])
def test_an_unreadable_checkpoint_is_one_clear_line(finished, tmp_path, name):
    whole, _ = finished
    workdir = tmp_path / "damaged"
    shutil.copytree(whole, workdir)
    newest = checkpoints.latest(workdir / "checkpoints" / name)
    assert newest is not None
    for file in (newest / checkpoints.TREE).rglob("*"):
        if file.is_file():
            file.write_bytes(file.read_bytes()[:7])
    done = launch(workdir, "--resume")
    one_line(done, 1, str(newest), "delete that folder")


@pytest.mark.parametrize(
    "arguments, code, words",
    [
        (["--config.rl.grup_size=3"], 2, ["grup_size"]),
        (["--resum"], 2, ["resum"]),
        (["--config.tasks=(5, 11)"], 1, ["[11]", "0 to 9"]),
        (["--config.suite=libero_goat"], 1, ["libero_goat", "libero_goal"]),
        (["--config.sampler.drift=odd"], 1, ["'odd'", "corrected"]),
    ],
)
def test_each_mistake_is_one_clear_line(tmp_path, arguments, code, words):
    one_line(launch(tmp_path / "run", *arguments), code, *words)


def test_a_folder_in_use_needs_resume(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    one_line(launch(tmp_path), 1, "not empty", "--resume")
    one_line(launch(tmp_path, "--resume"), 1, "no run of this job")


def test_resuming_with_other_settings_is_refused(finished):
    whole, _ = finished
    done = launch(whole, "--resume", "--config.seed=3")
    one_line(done, 1, "other settings", "seed")
