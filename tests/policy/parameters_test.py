"""Tests of omnivla_jax.policy.parameters: the tree by expert, initial values by key."""

import chex
import jax
import jax.numpy as jnp
import pytest
from flax.traverse_util import flatten_dict

from omnivla_jax.core import sharding
from omnivla_jax.policy import config as configs
from omnivla_jax.policy import parameters
from tests.helpers import unoptimized

CONFIG = configs.preset("debug")


def init(function):
    """`function(key, config)`, compiled once instead of operation by operation."""
    return unoptimized.jit(function, static_argnums=1)


@pytest.fixture(scope="module")
def params():
    return init(parameters.init)(jax.random.key(0), CONFIG)


def test_the_tree_is_named_by_expert(params):
    assert set(params) == {"reasoning", "spatial", "action"}
    assert set(params["reasoning"]) == {"encoder", "embedder", "layers", "final_norm"}
    assert set(params["action"]) == {"input", "output", "layers", "final_norm"}
    depth = CONFIG.mot.reasoning.depth
    assert all(
        len(leaf) == depth for leaf in jax.tree.leaves(params["action"]["layers"])
    )
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(params))


def test_shapes_are_those_of_init(params):
    chex.assert_trees_all_equal_shapes_and_dtypes(params, parameters.shapes(CONFIG))


def test_an_absent_expert_has_no_entry():
    assert set(parameters.shapes(CONFIG.without_spatial())) == {"reasoning", "action"}


@pytest.mark.slow
def test_sharded_values_are_those_of_init(params):
    mesh = sharding.make_mesh()
    sharded = parameters.init_sharded(jax.random.key(0), CONFIG, mesh=mesh)
    chex.assert_trees_all_close(sharded, params, atol=1e-6)
    expected = flatten_dict(parameters.shardings(mesh, CONFIG))
    for path, leaf in flatten_dict(sharded).items():
        assert leaf.sharding.is_equivalent_to(expected[path], leaf.ndim), path


def test_critic_and_noise_head_depend_on_keys():
    for function in (parameters.init_value, parameters.init_noise):
        draw = init(function)
        first, again, other = (draw(jax.random.key(n), CONFIG) for n in (1, 1, 2))
        chex.assert_trees_all_equal(first, again)
        pairs = zip(jax.tree.leaves(first), jax.tree.leaves(other))
        assert any((a != b).any() for a, b in pairs)
