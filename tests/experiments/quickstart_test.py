"""Tests of experiments.quickstart through its real entry point, on the debug config."""

import csv
import json
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from omnivla_jax.sim.libero import files
from omnivla_jax.train import checkpoints
from tests.helpers import launchers

ROOT = Path(__file__).parents[2]
CONFIG = "--config=experiments/configs/quickstart.py:debug"
LONGER = (
    "--config.sft.steps=6",
    "--config.rl.updates=6",
    "--config.evaluate_every=2",
    "--config.profile_update=True",
)
STAGES = ("sft", "online")
# What a run in the middle of flow matching has not written yet.
LATER = ("step-00000006", "online*", "after*", "swapped*", "results.json", "*.html")
PHASES = ("before", "after", "swapped_instructions")


def command(workdir, *arguments):
    launcher = ["experiments.quickstart", CONFIG, *LONGER]
    return [*launcher, f"--workdir={workdir}", *arguments]


def launch(workdir, *arguments):
    return launchers.run(*command(workdir, *arguments))


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

    items = ("params", "normalizer", "train_state")
    with ocp.StandardCheckpointer() as checkpointer:
        return jax.tree.leaves([checkpointer.restore(path / name) for name in items])


@pytest.mark.slow
def test_it_runs_from_end_to_end_without_noise(finished):
    workdir, done = finished
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "Success (95 % interval)" in done.stdout
    pages = ("report.html", "episodes.html")
    for name in ("curve.png", "before.mp4", "after.mp4", *pages):
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
    with (workdir / "online.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["diverged"] for row in rows} == {"0.0"}
    assert {row["unknown_task"] for row in rows} == {"0.0"}
    assert set(results["time_split"]) == {"physics", "rendering", "policy", "update"}
    seconds = dict(results["wall_seconds"])
    assert seconds.pop("total") == pytest.approx(sum(seconds.values()))
    assert {"seed", "versions", "device", "episodes"} <= set(results)


def same_outcome(whole, workdir):
    """Parameters, metrics and evaluations of two runs are the same bit for bit."""
    for stage in (*STAGES, "online_best"):
        folders = [folder / "checkpoints" / stage for folder in (whole, workdir)]
        newest = [checkpoints.latest(folder) for folder in folders]
        assert newest[0] and newest[1] and newest[0].name == newest[1].name
        for ours, theirs in zip(*map(arrays, newest), strict=True):
            np.testing.assert_array_equal(ours, theirs)
    for name, rows in (*zip(STAGES, (6, 6)), ("online_validation", 3)):
        tables = [(f / f"{name}.csv").read_text() for f in (whole, workdir)]
        assert tables[0] == tables[1]
        assert len(list(csv.reader(tables[0].splitlines()))) == 1 + rows
    results = [json.loads((f / "results.json").read_text()) for f in (whole, workdir)]
    for phase in PHASES:
        assert results[0][phase] == results[1][phase]


@pytest.mark.slow
def test_a_killed_run_resumes_bit_for_bit(finished, tmp_path):
    """Taken up in the middle of flow matching, and killed a while into Flow-GSPO.

    Bit for bit, though every process compiles or loads its programs anew.
    """
    whole, _ = finished
    workdir = tmp_path / "killed"
    shutil.copytree(whole, workdir, ignore=shutil.ignore_patterns(*LATER))
    seconds = np.random.default_rng().uniform(0.0, 0.6)
    print(f"killed {seconds:.3f} s into Flow-GSPO")  # shown where the test fails
    kill(workdir, "online.csv", seconds)
    assert not (workdir / "phases" / "after.json").exists()
    done = launch(workdir, "--resume")
    assert done.returncode == 0 and done.stderr == "", done.stderr
    same_outcome(whole, workdir)


def kill(workdir, event, seconds):
    """Resume and kill the launcher outright `seconds` after a file has appeared."""
    resuming = [sys.executable, "-m", *command(workdir, "--resume")]
    with subprocess.Popen(resuming, cwd=ROOT, stdout=subprocess.DEVNULL) as process:
        while not (workdir / event).exists():
            assert process.poll() is None, "it ended before it could be killed"
            time.sleep(0.005)
        time.sleep(seconds)
        process.kill()
    assert process.returncode == -signal.SIGKILL, "it ended before it was killed"


@pytest.mark.slow
def test_an_unreadable_checkpoint_is_one_clear_line(finished, tmp_path):
    whole, _ = finished
    workdir = tmp_path / "damaged"
    shutil.copytree(whole, workdir)
    newest = checkpoints.latest(workdir / "checkpoints" / "sft")
    assert newest is not None
    for file in (newest / "params").rglob("*"):
        if file.is_file():
            file.write_bytes(file.read_bytes()[:7])
    done = launch(workdir, "--resume")
    one_line(done, 1, str(newest), "move that folder away")


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


def test_a_folder_of_something_else_is_no_workdir(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    one_line(launch(tmp_path), 1, "no run", "notes.txt", "another --workdir")


@pytest.fixture
def user_file(tmp_path):
    """A known goal in a user's own words."""
    words = "set the dark bowl down"
    text = files.suite_files("libero_goal").paths[8].read_text()
    text = re.sub(r"\(:language .*\)", f"(:language {words})", text)
    path = tmp_path / f"{words.replace(' ', '_')}.bddl"
    path.write_text(text)
    return path


def test_a_users_file_says_which_tasks_to_give(user_file, tmp_path):
    done = launch(tmp_path / "run", f"--config.suite={user_file}")
    one_line(done, 1, f"{user_file} has 1 task, add --config.tasks=0, to the command")


def test_an_unscripted_task_is_one_clear_line(user_file, tmp_path):
    goal = "(On akita_black_bowl_1 plate_1)"
    user_file.write_text(user_file.read_text().replace(goal, "(Up plate_1)"))
    flags = (f"--config.suite={user_file}", "--config.tasks=0,")
    done = launch(tmp_path / "run", *flags)
    words = "no skill for 'set the dark bowl down' (Up plate_1)"
    one_line(done, 1, words, "data.path=")
    collect = ("--suite", user_file, f"--out={tmp_path / 'demos'}")
    done = launchers.run("experiments.collect_demos", *collect)
    one_line(done, 1, "no skill for 'set the dark bowl down' (Up plate_1)", "policy")


@pytest.mark.slow
def test_a_users_file_is_learned_and_evaluated(user_file, tmp_path):
    """One task in words of its own; no second one to swap its instruction with."""
    run = tmp_path / "run"
    changes = ("demonstrations.episodes=4", "evaluation.recorded=0", "stages=sft")
    flags = [f"--config.{change}" for change in changes]
    done = launch(run, f"--config.suite={user_file}", "--config.tasks=0,", *flags)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    assert "Swapped words: skipped, there is only one instruction." in done.stdout
    results = json.loads((run / "results.json").read_text())
    assert list(results["after"]["per_task"]) == ["set the dark bowl down"]
    assert results["demonstrations"]["episodes"] == 4
    assert set(results["swapped_instructions"]) == {"skipped"}
