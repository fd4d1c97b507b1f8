"""Tests of omnivla_jax.train.sharding: one step, on one device, eight, two processes.

Every program is started apart: the number of devices is fixed when JAX starts.
"""

import numpy as np
import pytest

from tests.helpers import many_devices, virtual_devices

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def eight(tmp_path_factory):
    """The results of the mesh and of a device alone, by name."""
    out = tmp_path_factory.mktemp("eight") / "step.npz"
    virtual_devices.run("tests.helpers.many_devices", out)
    with np.load(out) as found:
        return dict(found)


def part(found: dict, prefix: str) -> dict:
    return {
        name.removeprefix(prefix): value
        for name, value in found.items()
        if name.startswith(prefix)
    }


def assert_same(first: dict, second: dict) -> None:
    assert set(first) == set(second) and "loss" in first
    for name, value in first.items():
        np.testing.assert_allclose(value, second[name], atol=1e-5, err_msg=name)


def test_eight_devices_learn_what_one_learns(eight):
    mesh, alone = part(eight, "mesh/"), part(eight, "alone/")
    assert_same(mesh, alone)
    before = many_devices.fresh(many_devices.CONFIG).params["action"]
    bias = alone["action/output/action_out_proj/bias"]
    assert np.abs(bias - before["output"]["action_out_proj"]["bias"]).max() > 1e-5


def test_two_processes_learn_what_one_learns(eight, tmp_path):
    out = tmp_path / "step.npz"
    virtual_devices.run_two_processes("tests.helpers.many_devices", out)
    with np.load(out) as found:
        assert_same(part(dict(found), "mesh/"), part(eight, "mesh/"))


def test_devices_exchange_gradients_and_metrics_alone():
    virtual_devices.run("tests.helpers.experience_devices")


def test_no_device_asks_another_in_mjx():
    virtual_devices.run("tests.helpers.mjx_devices")
