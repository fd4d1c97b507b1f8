"""Rows of a compiled program: what does not fit, and each device's share."""

import jax
import pytest

from experiments.benchmarks.lib import aot_report


def test_a_program_without_room_is_a_result():
    error = jax.errors.JaxRuntimeError(
        "RESOURCE_EXHAUSTED: Ran out of memory in memory space hbm. Used 27G of 15G.\n"
    )
    found = aot_report.without_room(error)
    assert found["fits"] is False and "27G of 15G" in found["compiler_says"]
    with pytest.raises(jax.errors.JaxRuntimeError):
        aot_report.without_room(jax.errors.JaxRuntimeError("INTERNAL: something else"))


def test_each_device_has_its_share():
    costs = {
        "accessed_megabytes": 12.0,
        "written_megabytes": 4.0,
        "padded_megabytes": 6.0,
    }
    memory = {"temporary_megabytes": 3.0}
    shares = aot_report.shares({"pictures": 48}, memory, costs, devices=8)
    assert shares == {
        "padded_to_written": 1.5,
        "accessed_megabytes_by_pictures": 2.0,
        "temporary_megabytes_by_pictures": 0.5,
    }
