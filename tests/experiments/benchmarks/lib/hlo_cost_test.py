"""Tests of benchmarks.lib.hlo_cost: loops count, free operations do not."""

from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

from experiments.benchmarks.lib import flops, hlo_cost, hlo_text

TEXTS = Path(__file__).parent / "hlo"


def executed(name):
    program = hlo_text.parse((TEXTS / f"{name}.txt").read_text())
    rows, loops = hlo_cost.executed(program)
    return {row.instruction.name: row for row in rows}, loops


def test_bodies_count_as_often_as_they_run():
    rows, loops = executed("loop")
    assert [(loop.name, loop.trips) for loop in loops] == [("while", 10)]
    times = {name: row.times for name, row in rows.items()}
    body = ("add.10", "fusion.7", "slice.6", "fusion.8", "dynamic_update_slice.3")
    outside = ("copy-start", "copy", "copy.17", "custom-call", "convolution.1")
    assert times == dict.fromkeys(body, 10) | dict.fromkeys(outside, 1)


def test_bytes_of_slices_updates_and_tiles():
    rows, _ = executed("loop")
    sliced = rows["fusion.7"]
    assert sliced.accessed == 12 + 4 + 12  # the slice, its index, the result
    assert (sliced.written, sliced.padded) == (12, 512)
    assert sliced.main_memory == 4  # the index: the rest lies on the chip
    update = rows["dynamic_update_slice.3"]
    assert (update.accessed, update.written) == (4 + 4 + 4, 4)
    whole = 96 * 130 * 4
    assert rows["fusion.8"].accessed == 4 + whole + 4 + whole
    assert rows["fusion.8"].written == 4 + whole
    assert rows["copy-start"].accessed == 2 * whole
    assert rows["copy-start"].main_memory == whole


def test_products_and_reductions_have_flops():
    rows, _ = executed("loop")
    assert rows["convolution.1"].flops == 2 * 96 * 96 * 130
    assert rows["fusion.8"].flops == 2 * 96 * 130  # the sum, and its terms
    assert rows["fusion.7"].flops == 0 and rows["fusion.7"].cycles == 1832


def test_the_dearest_branch_counts_and_collectives_are_found():
    rows, loops = executed("branches")
    assert {name: row.times for name, row in rows.items()} == {
        "next": 1,  # of the second loop, whose trips the text does not tell
        "sine.0": 1,
        "all-reduce.0": 1,
    }
    assert [loop.trips for loop in loops] == [7, None]
    program = hlo_text.parse((TEXTS / "branches.txt").read_text())
    report = hlo_cost.report(program)
    assert report["collectives_executed"] == 8 and report["unknown_trip_counts"] == 1
    assert sum(row["executed"] for row in report["collectives"]) == 8
    assert {row["opcode"] for row in report["collectives"]} == {"all-reduce"}
    assert [row["operations"] for row in report["loops"]] == [3, 3]
    assert report["largest"][0]["padded_megabytes"] == pytest.approx(0.007)


@pytest.mark.parametrize("trips", [1, 7])
def test_products_of_this_machines_compiler_agree(trips):
    def run(x):
        return jax.lax.scan(lambda x, _: (jnp.tanh(x @ x), None), x, length=trips)[0]

    x = jnp.ones((64, 64))
    program = hlo_text.parse(jax.jit(run).lower(x).compile().as_text() or "")
    counted = sum(row.times * row.flops for row in hlo_cost.executed(program)[0])
    assert counted == pytest.approx(flops.count(run, x), rel=0.05)
