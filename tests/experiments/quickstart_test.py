"""Tests of experiments.quickstart through its real entry point, on the debug config."""

import csv
import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from omnivla_jax.train import checkpoints

ROOT = Path(__file__).parents[2]
CONFIG = "--config=experiments/configs/quickstart.py:debug"
LONGER = (
    "--config.action.steps=6",
    "--config.rl.updates=6",
    "--config.evaluate_every=2",
)
STAGES = ("flow_matching", "flow_gspo")
# What a run in the middle of flow matching has not written yet.
LATER = ("step-00000006", "flow_gspo*", "after*", "swapped*", "results.json", "*.html")
PHASES = ("before", "after", "swapped_instructions")


def command(workdir, *arguments):
    launcher = [sys.executable, "-m", "experiments.quickstart", CONFIG, *LONGER]
    return [*launcher, f"--workdir={workdir}", *arguments]


def launch(workdir, *arguments):
    return subprocess.run(
        command(workdir, *arguments),
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
    """Six steps of both stages, uninterrupted."""
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
        assert results[name]["diverged"] == 0
    assert results["demonstrations"]["diverged"] == 0
    assert "failures: 0 before, 0 after, 0 swapped words." in done.stdout
    with (workdir / "flow_gspo.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["diverged"] for row in rows} == {"0.0"}
    assert {row["unknown_task"] for row in rows} == {"0.0"}
    assert set(results["time_split"]) == {"physics", "rendering", "policy", "update"}
    seconds = dict(results["wall_seconds"])
    assert seconds.pop("total") == pytest.approx(sum(seconds.values()))
    assert {"seed", "versions", "device", "episodes"} <= set(results)


def same_outcome(whole, workdir):
    """Parameters, metrics and evaluations of two runs are the same bit for bit."""
    for stage in (*STAGES, "flow_gspo_best"):
        folders = [folder / "checkpoints" / stage for folder in (whole, workdir)]
        newest = [checkpoints.latest(folder) for folder in folders]
        assert newest[0] and newest[1] and newest[0].name == newest[1].name
        for ours, theirs in zip(*map(arrays, newest), strict=True):
            np.testing.assert_array_equal(ours, theirs)
    for name, rows in (*zip(STAGES, (6, 6)), ("flow_gspo_validation", 3)):
        tables = [(f / f"{name}.csv").read_text() for f in (whole, workdir)]
        assert tables[0] == tables[1]
        assert len(list(csv.reader(tables[0].splitlines()))) == 1 + rows
    results = [json.loads((f / "results.json").read_text()) for f in (whole, workdir)]
    for phase in PHASES:
        assert results[0][phase] == results[1][phase]


def test_a_run_killed_at_a_random_moment_ends_as_if_it_had_not_been(finished, tmp_path):
    """Taken up in the middle of flow matching, and killed a while into Flow-GSPO.

    Bit for bit, though every process compiles or loads its programs anew.
    """
    whole, _ = finished
    workdir = tmp_path / "killed"
    shutil.copytree(whole, workdir, ignore=shutil.ignore_patterns(*LATER))
    seconds = np.random.default_rng().uniform(0.0, 0.6)
    print(f"killed {seconds:.3f} s into Flow-GSPO")  # shown where the test fails
    kill(workdir, "flow_gspo.csv", seconds)
    assert not (workdir / "phases" / "after.json").exists()
    done = launch(workdir, "--resume")
    assert done.returncode == 0 and done.stderr == "", done.stderr
    same_outcome(whole, workdir)


def kill(workdir, event, seconds):
    """Resume and kill the launcher outright `seconds` after a file has appeared."""
    with subprocess.Popen(
        command(workdir, "--resume"), cwd=ROOT, stdout=subprocess.DEVNULL
    ) as process:
        while not (workdir / event).exists():
            assert process.poll() is None, "it ended before it could be killed"
            time.sleep(0.005)
        time.sleep(seconds)
        process.kill()
    assert process.returncode == -signal.SIGKILL, "it ended before it was killed"


def test_an_unreadable_checkpoint_is_one_clear_line(finished, tmp_path):
    whole, _ = finished
    workdir = tmp_path / "damaged"
    shutil.copytree(whole, workdir)
    newest = checkpoints.latest(workdir / "checkpoints" / "flow_matching")
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
    ],
)
def test_each_mistake_is_one_clear_line(tmp_path, arguments, code, words):
    one_line(launch(tmp_path / "run", *arguments), code, *words)


def test_a_folder_in_use_needs_resume(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    one_line(launch(tmp_path), 1, "not empty", "--resume")
