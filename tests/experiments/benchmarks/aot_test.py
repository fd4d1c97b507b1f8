"""Tests of experiments.benchmarks.aot: what it says without libtpu and without room."""

import jax
import numpy as np
import pytest
from absl import app

from experiments.benchmarks import aot
from experiments.benchmarks.lib import aot_programs, tpu_topology


def test_without_libtpu_it_says_so_in_one_line(monkeypatch, capsys):
    monkeypatch.setattr(tpu_topology, "is_available", lambda: False)
    aot.main(["aot"])
    printed = capsys.readouterr().out
    assert printed.count("\n") == 1 and "omnivla-rl[tpu]" in printed
    with pytest.raises(app.UsageError, match="'render'"):
        aot.main(["aot", "render"])


def test_a_program_without_room_is_a_result():
    error = jax.errors.JaxRuntimeError(
        "RESOURCE_EXHAUSTED: Ran out of memory in memory space hbm. Used 27G of 15G.\n"
    )
    found = aot.without_room(error)
    assert found["fits"] is False and "27G of 15G" in found["compiler_says"]
    with pytest.raises(jax.errors.JaxRuntimeError):
        aot.without_room(jax.errors.JaxRuntimeError("INTERNAL: something else"))


def test_each_device_has_its_share():
    costs = {
        "accessed_megabytes": 12.0,
        "written_megabytes": 4.0,
        "padded_megabytes": 6.0,
    }
    memory = {"temporary_megabytes": 3.0}
    shares = aot.shares({"pictures": 48}, memory, costs, devices=8)
    assert shares == {
        "padded_to_written": 1.5,
        "accessed_megabytes_by_pictures": 2.0,
        "temporary_megabytes_by_pictures": 0.5,
    }


@pytest.mark.parametrize("name", ["render", "step"])
@pytest.mark.slow
def test_programs_are_shapes_with_shardings(name):
    """On a mesh of this machine's device; only libtpu's devices are missing."""
    from omnivla_jax.core import sharding

    options = aot_programs.ProgramOptions(
        preset="debug",
        num_envs=2,
        batch_size=2,
        image_size=16,
        physics_preset="fast",
        grad_accum_steps=1,
        tasks=(1,),
    )
    workload = aot_programs.PROGRAMS[name](options, sharding.make_mesh())
    leaves = jax.tree.leaves(workload.arguments)
    assert all(isinstance(leaf, jax.ShapeDtypeStruct) for leaf in leaves)
    assert {leaf.shape[0] for leaf in leaves} == {2} and leaves[0].sharding is not None
    result = jax.eval_shape(workload.function, *workload.arguments)
    first = jax.tree.leaves(result)[0]
    assert first.shape[0] == 2 and workload.sizes["num_envs"] == 2
    assert np.prod(first.shape) > 0
