"""Where a training state's arrays lie: by shapes alone, on meshes without devices.

As a program, `python -m tests.train.specs_test` compiles on eight devices; a test runs
it apart, since the number of devices is fixed when JAX starts.
"""

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import optax
import pytest
from jax.sharding import AbstractMesh
from jax.sharding import PartitionSpec as P

from omnivla_jax.core import sharding
from omnivla_jax.policy import config as configs
from omnivla_jax.policy import normalize, policy
from omnivla_jax.train import online
from omnivla_jax.train import sharding as train_sharding
from omnivla_jax.train import state
from omnivla_jax.train.online import objectives
from omnivla_jax.train.online.config import OnlineConfig
from omnivla_jax.train.state import OptimizerConfig
from tests.helpers import virtual_devices

pytestmark = pytest.mark.slow

SETTINGS = OnlineConfig(
    optimizer=OptimizerConfig(learning_rate=1e-4),
    objective=objectives.make("ppo"),
    reward_weights={"success": 1.0},
    updates=1,
    groups=8,
    chunks=1,
    reference="sft",
    trainable="lora:r=16",
    observation_store="images",
)


@functools.cache
def shapes(preset: str):
    """A state of stage III with adapters and a critic."""
    config = configs.preset(preset)

    def create(key):
        units = normalize.identity_normalizer(config.proprio_dim, config.action_dim)
        params = policy.init(key, config)
        before = state.create(params, units, optax.identity(), seed=0)
        return online.create(before, SETTINGS, config)

    return jax.eval_shape(create, jax.random.key(0))


def leaves(preset: str, *mesh: int):
    """Shape and sharding of every leaf of the state, by path."""
    found, config = shapes(preset), configs.preset(preset)
    abstract: Any = AbstractMesh(mesh, sharding.MESH_AXES)  # needs no devices
    places = jax.tree.leaves(train_sharding.shardings(found, abstract, config))
    paths = jax.tree_util.tree_leaves_with_path(found)
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): (leaf.shape, place)
        for (path, leaf), place in zip(paths, places, strict=True)
    }


def test_no_large_array_is_replicated():
    found = leaves("full", 1, 8, 1)
    for kept in ("params/lora/", "/mu/lora/", "/nu/value/", "reference/reasoning/"):
        assert any(kept in path for path in found), kept
    whole = {
        path: 4 * math.prod(shape)
        for path, (shape, place) in found.items()
        if place.is_fully_replicated
    }
    assert whole and max(whole.values()) <= 4 * 2**20, whole


@pytest.mark.parametrize(
    "weight, a, b",
    [
        ("attn/q_einsum", (None, "tensor", "fsdp"), (None, "tensor", None, "fsdp")),
        ("attn/kv_einsum", (None, None, None, "fsdp"), (*[None] * 4, "fsdp")),
        (
            "mlp/gating_einsum",
            (None, None, ("fsdp", "tensor")),
            (None, None, None, ("tensor", "fsdp")),
        ),
        ("mlp/linear", (None, ("tensor", "fsdp")), (None, None, ("fsdp", "tensor"))),
    ],
)
def test_adapters_are_sharded_as_their_weights(weight, a, b):
    found = leaves("debug", 2, 2, 2)
    layers = f"action/layers/{weight}"
    shape, place = found[f"params/{layers}"]
    parts = math.prod(shape) // math.prod(place.shard_shape(shape))
    for factor, spec in (("a", a), ("b", b)):
        pairs = [p for p in found if p.endswith(f"lora/{layers}/{factor}")]
        assert len(pairs) == 4  # the parameter, its reference, both of its moments
        for path in pairs:
            shape, place = found[path]
            assert place.spec == P(*spec), path
            split = math.prod(shape) // math.prod(place.shard_shape(shape))
            assert split == parts, path


def test_indivisible_mesh_axes_are_left_out():
    found = leaves("debug", 1, 8, 2)  # the reasoning expert is 24 wide
    layers = "params/lora/reasoning/layers/mlp"
    assert found[f"{layers}/gating_einsum/a"][1].spec == P(None, None, "fsdp")
    assert found[f"{layers}/linear/b"][1].spec == P(None, None, "fsdp")


def test_a_compiled_program_returns_adapters_as_they_lay():
    virtual_devices.run("tests.train.specs_test")


def main() -> None:
    """Two calls with the state's adapters: the second must not be traced again."""
    mesh, config = sharding.make_mesh(data=2, fsdp=2, tensor=2), configs.preset("debug")
    lies = train_sharding.on_mesh(mesh, config)
    params = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape), shapes("debug").params)
    step = jax.jit(lambda tree: lies.constrain_state(jax.tree.map(jnp.cos, tree)))
    after = step(step(train_sharding.shard(params, mesh, config)))
    assert step._cache_size() == 1, "retraced"  # type: ignore[attr-defined]
    places = train_sharding.shardings(params, mesh, config)
    assert jax.tree.map(lambda leaf: leaf.sharding, after) == places


if __name__ == "__main__":
    main()
