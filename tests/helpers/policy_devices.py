"""Tests that need eight devices: `sharding_test.py` runs them in another process."""

import functools
import math

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util

from omnivla_jax.core import sharding
from omnivla_jax.core.types import Observation
from omnivla_jax.policy import config as configs
from omnivla_jax.policy import parameters, policy
from omnivla_jax.policy.pretrained.formats import get_format
from omnivla_jax.policy.pretrained.load import load
from tests.helpers import unoptimized
from tests.helpers.pretrained import fakes, tiny

KEY = jax.random.key(0)
MESH = {"data": 2, "fsdp": 2, "tensor": 2}


def observation(config) -> Observation:
    """A batch of eight."""
    rng, size = np.random.default_rng(0), config.vision.image_size
    images = rng.integers(0, 256, (8, config.views, size, size, 3))
    tokens = rng.integers(2, config.vocab, (8, config.max_tokens))
    return Observation(
        images=jnp.asarray(images, jnp.uint8),
        tokens=jnp.asarray(tokens, jnp.int32),
        token_mask=jnp.ones(tokens.shape, bool),
        proprio=jnp.asarray(rng.normal(size=(8, config.proprio_dim)), jnp.float32),
    )


def shardings(name: str):
    return parameters.shardings(sharding.make_mesh(**MESH), configs.preset(name))


def velocity(params, seen, *, config):
    """What every expert's parameters have a say in."""
    cache = policy.encode_prefix(params, seen, config=config)
    chunk = jnp.ones((len(seen.proprio), config.horizon, config.action_dim))
    tau = jnp.full(len(seen.proprio), 0.3)
    return policy.velocity(params, cache, seen.proprio, chunk, tau, config=config)


def gradient(params, seen, *, config):
    return jax.grad(lambda p: jnp.mean(velocity(p, seen, config=config) ** 2))(params)


def test_debug_computes_the_same_on_eight_devices():
    """Forwards; `tests/train/sharding_test.py` learns on eight devices."""
    config, mesh = configs.preset("debug"), sharding.make_mesh(**MESH)
    params = policy.init_sharded(KEY, config, mesh=mesh)
    # One expert's: XLA drops the rest, which would take seconds to compile.
    plain = unoptimized.jit(lambda: policy.init(KEY, config)["action"])()
    chex.assert_trees_all_close(jax.device_get(params["action"]), plain, atol=1e-6)
    kernel = params["reasoning"]["layers"]["mlp"]["linear"]  # [2, 32, 24]
    assert kernel.addressable_shards[0].data.shape == (2, 16, 12)
    seen = jax.device_put(observation(config), sharding.batch_sharding(mesh))
    run = functools.partial(velocity, config=config)
    spread = unoptimized.jit(run)(params, seen)
    alone = unoptimized.jit(run)(*jax.device_get((params, seen)))
    assert float(jnp.abs(alone).max()) > 0.1
    chex.assert_trees_all_close(spread, alone, atol=1e-5)


# What `debug` computes needs no lowering besides.
@pytest.mark.parametrize("name", sorted(set(configs.PRESETS) - {"debug"}))
def test_every_preset_lowers_on_eight_devices(name):
    config, places = configs.preset(name), shardings(name)
    params = jax.tree.map(
        lambda leaf, place: leaf.update(sharding=place),
        parameters.shapes(config),
        places,
    )
    whole = sharding.batch_sharding(sharding.make_mesh(**MESH))
    seen = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=whole),
        jax.eval_shape(functools.partial(observation, config)),
    )
    run = functools.partial(gradient, config=config)
    lowered = jax.jit(run, out_shardings=places).lower(params, seen)
    assert "num_partitions = 8" in lowered.as_text()


def test_no_large_array_of_full_is_replicated():
    mesh = sharding.make_mesh(fsdp=8)
    config = configs.preset("full")
    shapes, places = parameters.shapes(config), parameters.shardings(mesh, config)
    missing = jax.tree.map(
        lambda leaf, place: (place.is_fully_replicated, math.prod(leaf.shape) * 4),
        shapes,
        places,
    )
    whole = {
        jax.tree_util.keystr(path): size
        for path, (replicated, size) in jax.tree_util.tree_leaves_with_path(
            missing, is_leaf=lambda x: isinstance(x, tuple)
        )
        if replicated
    }
    assert whole and max(whole.values()) <= 4 * 2**20, whole


def test_public_weights_are_loaded_in_shards(tmp_path):
    params, path = fakes.random_params(tiny.CONFIG), tmp_path / "pt.npz"
    fakes.write_npz(path, fakes.paligemma(params))
    mesh = sharding.make_mesh(fsdp=2, tensor=2)
    files = [(get_format("paligemma-npz"), path)]
    result = load(KEY, files, config=tiny.CONFIG, mesh=mesh)
    found = traverse_util.flatten_dict(result.params, sep="/")
    chex.assert_trees_all_equal(result.params["reasoning"], params["reasoning"])
    shards = {
        "reasoning/embedder/input_embedding": (25, 12),  # of [50, 24]
        "reasoning/encoder/blocks/mlp_in/kernel": (3, 9, 10),  # of [3, 18, 20]
        "reasoning/layers/attn/q_einsum": (2, 2, 12, 8),  # of [2, 4, 24, 8]
        "reasoning/layers/mlp/linear": (2, 14, 12),  # of [2, 28, 24]
        "action/layers/attn/q_einsum": (2, 2, 8, 8),  # of [2, 4, 16, 8]
        "action/layers/mlp/linear": (2, 18, 8),  # of [2, 36, 16]
    }
    missing = {name for name in shards if name.startswith("action")}
    assert missing == set(shards) & set(result.missing_initialized)
    for name, shape in shards.items():
        parts = found[name].addressable_shards
        assert [part.data.shape for part in parts] == [shape] * 4, name


def test_an_array_that_does_not_divide_is_named():
    config = configs.preset("debug")  # two heads
    with pytest.raises(ValueError, match="'attn_vec_einsum'.*cannot lie.*'tensor': 4"):
        parameters.shardings(sharding.make_mesh(tensor=4), config)
