"""Tests of stage II fed from files: killed and resumed, and what it reports."""

import signal
import subprocess
import sys
from pathlib import Path

import chex
import jax
import pytest

from data_pipelines import rlds
from omnivla_jax.train import checkpoints, csv_log
from tests.helpers import reaching, streamed_run

ROOT = Path(__file__).parents[3]
KILLED_AFTER = 8  # calls of 8 frames, where an epoch has 60 frames


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    rlds.write(folder, reaching.demonstrations(), name="reaching")
    return folder


@pytest.fixture(scope="module")
def uninterrupted(data, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("whole")
    return workdir, *streamed_run.train(streamed_run.make_context(workdir), data)


@pytest.mark.slow
def test_a_killed_run_goes_on_bit_for_bit(data, uninterrupted, tmp_path):
    _, state, digests = uninterrupted
    command = [sys.executable, "-m", "tests.helpers.streamed_run"]
    done = subprocess.run(
        [*command, str(tmp_path), str(data), str(KILLED_AFTER)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    newest = checkpoints.latest(tmp_path / "checkpoints" / "sft")
    assert newest is not None
    saved = len(checkpoints.history(newest))
    assert saved * 8 % 60  # in the middle of an epoch
    again, resumed = streamed_run.train(streamed_run.make_context(tmp_path), data)
    assert resumed == digests[saved:] and len(resumed) >= 100
    assert len(set(digests)) == len(digests)
    chex.assert_trees_all_equal(jax.device_get(again), jax.device_get(state))


@pytest.mark.slow
def test_batches_as_drawn_in_memory_give_equal_parameters(data, tmp_path_factory):
    changes = {"sft.steps": 24, "sft.batch_size": 16, "data.padding": "clamp"}
    states = []
    for streaming in (False, True):
        context = streamed_run.make_context(
            tmp_path_factory.mktemp("run"),
            **changes,
            **{"data.streaming": streaming, "data.streaming_order": "in_memory"},
        )
        states.append(jax.device_get(streamed_run.train(context, data)[0]))
    chex.assert_trees_all_equal(*states)


@pytest.mark.slow
def test_waiting_for_data_is_a_metric(uninterrupted):
    workdir, _, digests = uninterrupted
    rows = csv_log.load(workdir / "sft.csv")
    assert len(rows) == len(digests) == streamed_run.CALLS
    assert all(0 <= row["input_bound"] <= 1 for row in rows)
    assert rows[0]["input_bound"] > 0  # nothing was fetched before it
    assert rows[-1]["loss"] < rows[0]["loss"]
