"""Tests of experiments.train on the debug config: stages apart, and what is refused."""

import json

import pytest

from tests.helpers import launchers

CONFIG = "--config=experiments/configs/quickstart.py:debug"
SMALL = ("--config.evaluation.recorded=0", "--config.tasks=1,7")


def launch(workdir, *arguments):
    command = ("experiments.train", CONFIG, *SMALL, f"--workdir={workdir}")
    return launchers.run(*command, *arguments)


@pytest.mark.slow
def test_online_training_starts_from_another_run(tmp_path):
    sft, online = tmp_path / "sft", tmp_path / "online"
    done = launch(sft, "--config.stages=sft", "--config.data.streaming=True")
    assert done.returncode == 0 and done.stderr == "", done.stderr
    results = json.loads((sft / "results.json").read_text())
    assert results["before"] is None and results["time_split"] is None
    assert not (sft / "online.csv").exists()
    done = launch(online, "--config.stages=online", f"--config.init_checkpoint={sft}")
    assert done.returncode == 0 and done.stderr == "", done.stderr
    assert (
        not (online / "sft.csv").exists() and not (online / "demonstrations").exists()
    )
    later = json.loads((online / "results.json").read_text())
    # The online stage starts from the policy that the first run ended with.
    assert later["before"] == results["after"]
    assert (online / "report.html").stat().st_size > 1000


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["--config.stages=online,sft"], "stages=online,sft must name stages once"),
        (["--config.stages=online"], "give --config.init_checkpoint=FOLDER"),
        (["--config.init_checkpoint=none"], "none holds no run and lies in none"),
    ],
)
def test_a_wrong_start_is_one_clear_line(tmp_path, arguments, words):
    done = launch(tmp_path / "run", *arguments)
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1, done.stderr
    assert words in done.stderr
