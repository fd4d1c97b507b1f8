"""Tests of omnivla_jax.train.sharding: one step, on one device, eight, two processes.

Every program is started apart: the number of devices is fixed when JAX starts.
"""

import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.helpers import many_devices, virtual_devices

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


def launch(*arguments) -> subprocess.Popen:
    """One of two processes, with four of the eight devices."""
    shared = os.environ.get("XLA_FLAGS", "")
    flags = f"{shared} --xla_force_host_platform_device_count=4"
    return subprocess.Popen(
        [sys.executable, "-m", "tests.helpers.many_devices", *map(str, arguments)],
        cwd=ROOT,
        env=os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finished(*processes: subprocess.Popen) -> None:
    for process in processes:
        output, _ = process.communicate(timeout=600)
        assert process.returncode == 0, output


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
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    out = tmp_path / "step.npz"
    finished(*(launch(out, address, process) for process in range(2)))
    with np.load(out) as found:
        assert_same(part(dict(found), "mesh/"), part(eight, "mesh/"))


def test_no_device_asks_another_in_mjx():
    virtual_devices.run("tests.helpers.mjx_devices")
