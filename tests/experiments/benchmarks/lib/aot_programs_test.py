"""Programs for TPUs as shapes with shardings, on a device that is there."""

import dataclasses

import chex
import jax
import numpy as np
import pytest

from experiments.benchmarks.lib import aot_programs
from omnivla_jax.core import sharding
from omnivla_jax.policy.config import PRESETS
from omnivla_jax.train import environment
from tests.helpers import reaching

OPTIONS = aot_programs.ProgramOptions(
    preset="debug",
    num_envs=2,
    batch_size=2,
    image_size=16,
    physics_preset="fast",
    grad_accum_steps=1,
    tasks=(1,),
)


@pytest.mark.parametrize("name", ["render", "step"])
@pytest.mark.slow
def test_programs_are_shapes_with_shardings(name):
    """On a mesh of this machine's device; only libtpu's devices are missing."""
    workload = aot_programs.PROGRAMS[name](OPTIONS, sharding.make_mesh())
    leaves = jax.tree.leaves(workload.arguments)
    assert all(isinstance(leaf, jax.ShapeDtypeStruct) for leaf in leaves)
    assert {leaf.shape[0] for leaf in leaves} == {2} and leaves[0].sharding is not None
    result = jax.eval_shape(workload.function, *workload.arguments)
    first = jax.tree.leaves(result)[0]
    assert first.shape[0] == 2 and workload.sizes["num_envs"] == 2
    assert np.prod(first.shape) > 0


@pytest.mark.parametrize("name", ["update", "sft", "spatial"])
@pytest.mark.slow
def test_learning_returns_the_state_that_it_takes(name, monkeypatch):
    """Of a policy that the quickstart's chunks and instructions fit.

    Online, in a simulator whose program is small.
    """
    longer = dataclasses.replace(PRESETS["debug"](), max_tokens=16, horizon=8)
    monkeypatch.setitem(PRESETS, "debug", lambda: longer)
    if name == "update":
        monkeypatch.setattr(aot_programs, "_scene", lambda options: None)
        simulator = reaching.make(longer)
        monkeypatch.setattr(environment, "simulator", lambda *_, **__: simulator)
    workload = aot_programs.PROGRAMS[name](OPTIONS, sharding.make_mesh())
    leaves = jax.tree.leaves(workload.arguments)
    assert all(isinstance(leaf, jax.ShapeDtypeStruct) for leaf in leaves)
    after, metrics = jax.eval_shape(workload.function, *workload.arguments)
    chex.assert_trees_all_equal_shapes_and_dtypes(after, workload.arguments[0])
    assert "loss" in metrics
