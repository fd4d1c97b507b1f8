"""Runs the tests of training on eight virtual devices, apart from this process."""

from pathlib import Path

from tests import virtual_devices


def test_training_on_eight_virtual_devices():
    virtual_devices.run("pytest", Path(__file__).with_name("training_devices.py"))
