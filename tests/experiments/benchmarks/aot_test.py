"""Tests of experiments.benchmarks.aot: what it says without libtpu."""

import pytest

from experiments.benchmarks.lib import tpu_topology
from tests.helpers import launchers


@pytest.mark.skipif(tpu_topology.IS_AVAILABLE, reason="libtpu is installed")
def test_without_libtpu_it_says_so_in_one_line():
    done = launchers.run("experiments.benchmarks.aot")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 1 and "omnivla-rl[tpu]" in done.stdout
    refused = launchers.run("experiments.benchmarks.aot", "render")
    assert refused.returncode == 1 and "'render'" in refused.stdout + refused.stderr
