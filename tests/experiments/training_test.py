"""Runs the tests of training on eight virtual devices, apart from this process."""

import os
import subprocess
import sys
from pathlib import Path


def test_training_on_eight_virtual_devices():
    # The number of devices is fixed when JAX starts, and the other tests want one.
    flags = os.environ["XLA_FLAGS"] + " --xla_force_host_platform_device_count=8"
    file = Path(__file__).with_name("training_devices.py")
    outcome = subprocess.run(
        [sys.executable, "-m", "pytest", file],
        cwd=Path(__file__).parents[2],
        env=os.environ | {"XLA_FLAGS": flags},
        capture_output=True,
        text=True,
    )
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
