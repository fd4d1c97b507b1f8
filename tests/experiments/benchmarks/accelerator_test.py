"""Tests of experiments.benchmarks.accelerator: its training row, without training."""

import ast
import signal
import subprocess

import pytest

from experiments.configs import quickstart
from experiments.configs.schema import from_config
from experiments.pipeline.workdir import Workdir
from omnivla_jax.train import csv_log
from tests.helpers import launchers

accelerator = launchers.imported("experiments.benchmarks.accelerator")


def test_what_is_trained_is_a_config():
    tasks = ast.literal_eval(str(accelerator.TRAINED["tasks"]))
    config = quickstart.get_config()
    config.update_from_flattened_dict(accelerator.TRAINED | {"tasks": tasks})
    experiment = from_config(config)
    assert experiment.tasks == tuple(range(10))
    assert experiment.policy.vision.image_size == experiment.image_size == 128


@pytest.mark.parametrize("deaf", [False, True])
def test_training_ends_with_its_time(tmp_path, monkeypatch, deaf):
    """It is asked to save, then killed; the row tells how far it came."""
    received: list[int] = []

    class Training:
        """An endless run of two steps, which obeys SIGTERM unless it is deaf."""

        def __init__(self, command, **_):
            assert "--resume" in command
            file = Workdir(tmp_path / accelerator.TRAINING).metrics_file("sft")
            file.parent.mkdir()
            csv_log.write(file, [{"loss": 3.0}, {"loss": 2.0}])

        def wait(self, timeout=None):
            if not received or (deaf and signal.SIGKILL not in received):
                raise subprocess.TimeoutExpired("train", timeout)
            return -received[-1]

        def send_signal(self, number):
            received.append(number)

        def kill(self):
            received.append(signal.SIGKILL)

    monkeypatch.setattr(subprocess, "Popen", Training)
    row = accelerator.train_rest(tmp_path, 60.0, is_trial=True)
    assert received == [signal.SIGTERM, signal.SIGKILL][: 1 + deaf]
    assert row["exit_code"] == -received[-1] and row["online"] == {"rows": 0}
    assert row["sft"] == {"rows": 2, "first_loss": 3.0, "last_loss": 2.0}
