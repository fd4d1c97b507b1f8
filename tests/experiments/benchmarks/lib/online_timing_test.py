"""Tests of the whole loop's benchmark on a stand-in simulator."""

import dataclasses

import pytest

from experiments.benchmarks.lib import online_timing
from experiments.configs import quickstart
from experiments.configs.schema import from_config
from tests.helpers import reaching


@pytest.mark.slow
def test_the_loop_is_measured():
    """Rates are the counted steps by the second; the storage is what is kept."""
    settings = from_config(quickstart.get_config("debug"))
    settings = dataclasses.replace(settings, tasks=(0, 1, 2))
    found = online_timing.measure(settings, reaching.make(settings.policy), updates=2)
    episodes, chunks, actions = 3 * 2, 2, 2
    assert found["environments"] == episodes
    assert found["control_steps"] == episodes * chunks * actions
    rate = found["control_steps"] / found["seconds_per_update"]
    assert found["control_steps_per_second"] == pytest.approx(rate)
    assert all(seconds > 0 for seconds in found["seconds"].values())
    assert found["compile_seconds"] > 0 and found["observation_store"] == "cache"
    assert 0 < found["experience_mib"] < found["peak_memory_mib"]
