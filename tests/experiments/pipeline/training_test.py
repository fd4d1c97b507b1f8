"""Runs the tests of training on eight virtual devices, apart from this process."""

import pytest

from tests.helpers import virtual_devices


@pytest.mark.slow
def test_training_on_eight_virtual_devices():
    virtual_devices.run("pytest", virtual_devices.HELPERS / "training_devices.py")
