"""Runs the tests for eight devices on as many virtual ones, apart from this process."""

from pathlib import Path

from tests import virtual_devices


def test_policies_on_eight_virtual_devices():
    virtual_devices.run("pytest", Path(__file__).with_name("eight_devices.py"))
