"""Tests of train.observation_store: what is kept does not change what is learned."""

import dataclasses

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from omnivla_jax.train import observation_store, online, rng
from omnivla_jax.train.online import rollout as online_rollout
from tests.helpers import reaching
from tests.train.online.step_test import (
    POLICY,
    SAMPLER,
    SETTINGS,
    TASKS,
    fresh,
    make_step,
)

CONFIG = dataclasses.replace(
    SETTINGS, groups=2, group_size=4, chunks=2, epochs=1, minibatches=1
)


@pytest.fixture(scope="module")
def learned():
    """The state after one update and its metrics, by what was kept."""

    def one(name):
        config = dataclasses.replace(CONFIG, observation_store=name)
        return make_step(config)(fresh(config), rng.named_key(0, "online"))

    return {name: one(name) for name in ("cache", "state")}


@pytest.mark.slow
def test_the_first_ratio_is_one(learned):
    """One minibatch, scored before anything has changed."""
    for _, metrics in learned.values():
        assert abs(metrics["ratio_mean"] - 1) < 1e-5 and metrics["ratio_std"] < 1e-5
        assert metrics["kl"] < 1e-8 and metrics["grad_norm"] > 0


@pytest.mark.slow
def test_redrawn_observations_are_the_same(learned):
    (after, metrics), (wanted, expected) = learned["state"], learned["cache"]
    np.testing.assert_allclose(metrics["loss"], expected["loss"], atol=1e-6)
    # Two programs: a mean may be contracted differently in its last bit.
    np.testing.assert_array_max_ulp(metrics["reward"], expected["reward"], maxulp=1)
    chex.assert_trees_all_close(after.params, wanted.params, atol=1e-5)


def kept(name):
    """What one update stores of its inputs, as shapes."""
    environment = reaching.make(POLICY)
    config = dataclasses.replace(CONFIG, observation_store=name)
    state = fresh(config)
    agent = online.make_agent(environment, POLICY, SAMPLER, state.normalizer, config)

    def decide(key):
        env_state = online_rollout.reset_groups(environment, TASKS, key, config)
        return agent.act(state.params, env_state, key)[0].observation_ref

    return jax.eval_shape(decide, jax.random.key(0))


def test_pictures_are_bytes_and_states_are_smallest():
    assert kept("images").images.dtype == jnp.uint8
    names = observation_store.OBSERVATION_STORES
    sizes = {name: observation_store.nbytes(kept(name)) for name in names}
    assert sizes["state"] < sizes["images"] < sizes["cache"]
    batch, views, side = 8, 2, reaching.SIDE
    assert sizes["images"] > batch * views * side * side * 3
    assert sizes["state"] == batch * (2 * 4 + 4 + 1 + 1), "position, task, two flags"
