"""The whole job in two processes: killed, preempted, resumed, and the same as in one.

The reference is one process with two devices. Both split every batch over two devices,
so that all numbers are the same bit for bit.
"""

import csv
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import chex
import pytest

from experiments.pipeline import policy_checkpoint
from omnivla_jax.core import exits
from omnivla_jax.train import checkpoints

ROOT = Path(__file__).parents[2]
UPDATES = 16  # SIGTERM is agreed on some steps later
SFT_STEPS = 30
SAVE_EVERY = 5  # steps and updates
SETTINGS = (
    "--config=experiments/configs/quickstart.py:debug",
    "--config.tasks=1,7",
    "--config.policy.spatial=False",  # a third less to compile, in seven processes
    f"--config.sft.steps={SFT_STEPS}",
    f"--config.rl.updates={UPDATES}",
    f"--config.save_every={SAVE_EVERY}",
    "--config.evaluation.recorded=0",
)
TIMEOUT = 840  # seconds, of which a quiet machine takes a tenth
PHASES = ("before", "after", "swapped_instructions")


def start(workdir, *arguments, devices=1):
    """Start the launcher as one process."""
    flags = os.environ.get("XLA_FLAGS", "")
    flags += f" --xla_force_host_platform_device_count={devices}"
    launcher = [sys.executable, "-m", "experiments.quickstart", *SETTINGS]
    return subprocess.Popen(
        [*launcher, f"--workdir={workdir}", "--resume", *arguments],
        cwd=ROOT,
        env=os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def start_pair(workdir):
    """Start two processes of one run."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    joint = (f"--coordinator={address}", "--processes=2")
    return [start(workdir, *joint, f"--process={number}") for number in range(2)]


def finish(processes):
    """Exit codes, outputs and error outputs of processes that end by themselves."""
    done = [(*process.communicate(timeout=TIMEOUT), process) for process in processes]
    out, err, ended = zip(*done)
    return [process.returncode for process in ended], out, err


def wait_for(path, processes):
    """Wait until a file or folder is there."""
    while not path.exists():
        assert all(process.poll() is None for process in processes), finish(processes)
        time.sleep(0.01)


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The run of one process, up to its last evaluation."""
    workdir = tmp_path_factory.mktemp("alone") / "run"
    process = start(workdir, "--data=2", devices=2)
    wait_for(workdir / "phases" / f"{PHASES[-1]}.json", [process])
    process.kill()
    process.communicate()
    return workdir


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """The run of two, in three attempts; the checkpoint that a SIGTERM has left."""
    workdir = tmp_path_factory.mktemp("pair") / "run"
    processes = start_pair(workdir)
    wait_for(workdir / "checkpoints" / "sft" / f"step-{SFT_STEPS:08d}", processes)
    time.sleep(1)  # alone at a barrier of saving the other one would wait 100 seconds
    processes[1].kill()
    codes, _, err = finish(processes)
    assert codes[1] == -signal.SIGKILL and codes[0] == exits.PEER_LOST, err
    assert "start all processes again with --resume" in err[0]

    processes = start_pair(workdir)
    wait_for(workdir / "phases" / "before.json", processes)
    processes[1].send_signal(signal.SIGTERM)  # while online training compiles
    codes, _, err = finish(processes)
    assert codes == [exits.PREEMPTED] * 2, err
    saved = checkpoints.latest(workdir / "checkpoints" / "online")
    assert saved is not None
    updates = int(saved.name.removeprefix("step-"))
    assert all(f"The checkpoint of update {updates} is saved" in text for text in err)

    codes, out, err = finish(start_pair(workdir))
    assert codes == [0, 0] and err == ("", ""), err
    assert ["Success (95 % interval)" in text for text in out] == [True, False]
    return workdir, updates


@pytest.mark.slow
def test_sigterm_left_a_checkpoint_of_its_own(pair):
    _, updates = pair
    assert updates < UPDATES


@pytest.mark.slow
def test_two_processes_end_as_one_with_two_devices(alone, pair):
    workdir, _ = pair
    for stage, rows in (("sft", SFT_STEPS), ("online", UPDATES)):
        tables = [(folder / f"{stage}.csv").read_text() for folder in (alone, workdir)]
        assert tables[0] == tables[1], stage
        assert len(list(csv.reader(tables[0].splitlines()))) == 1 + rows
        states = [policy_checkpoint.restore(f, stage).state for f in (alone, workdir)]
        chex.assert_trees_all_equal(*states)
    for phase in (*PHASES, "demonstrations"):
        files = [f / "phases" / f"{phase}.json" for f in (alone, workdir)]
        assert files[0].read_text() == files[1].read_text()
    assert json.loads((workdir / "results.json").read_text())["time_split"] is None
    assert (workdir / "report.html").stat().st_size > 1000
