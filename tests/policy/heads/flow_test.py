"""Tests of the flow head: its flow times, and where its actions look."""

import functools

import jax
import numpy as np
import pytest

from omnivla_jax.policy import policy
from omnivla_jax.policy.heads import flow
from tests.helpers import unoptimized
from tests.helpers.debug_inputs import CONFIG, observation, random_params


@pytest.fixture(scope="module")
def inputs():
    params, seen = random_params(CONFIG), observation()
    return params, policy.encode_prefix(params, seen, config=CONFIG), seen.proprio


def test_shares_of_attention_sum_to_one(inputs):
    share = unoptimized.jit(functools.partial(flow.attention_share, config=CONFIG))
    shares = share(*inputs, jax.random.key(0))
    assert set(shares) == {"reasoning", "spatial", "state", "action"}
    total = sum(shares.values())
    assert total.shape == (CONFIG.mot.reasoning.depth,)
    np.testing.assert_allclose(total, 1, rtol=1e-5)
    assert all((np.asarray(value) > 0).all() for value in shares.values())


def test_tokens_behind_a_mask_get_no_attention(inputs):
    params, cache, proprio = inputs
    spatial = CONFIG.spatial_tokens
    hidden = cache._replace(valid=cache.valid.at[:, -spatial:].set(False))
    share = unoptimized.jit(functools.partial(flow.attention_share, config=CONFIG))
    shares = share(params, hidden, proprio, jax.random.key(0))
    np.testing.assert_allclose(shares["spatial"], 0, atol=1e-12)


def test_without_the_spatial_expert_it_has_no_share():
    config = CONFIG.without_spatial()
    params, seen = random_params(config), observation()
    cache = policy.encode_prefix(params, seen, config=config)
    share = functools.partial(flow.attention_share, config=config)
    shares = jax.eval_shape(share, params, cache, seen.proprio, jax.random.key(0))
    assert "spatial" not in shares
