"""Runs the tests for eight devices on as many virtual ones, apart from this process."""

import pytest

from tests.helpers import virtual_devices

pytestmark = pytest.mark.slow


def test_policies_on_eight_virtual_devices():
    virtual_devices.run("pytest", virtual_devices.HELPERS / "policy_devices.py")
