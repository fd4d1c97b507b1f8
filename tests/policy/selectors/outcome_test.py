"""Tests of omnivla_jax.policy.selectors.outcome: log-odds of counts, running means."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from omnivla_jax.policy.selectors import outcome
from omnivla_jax.policy.selectors.perceptron import FitConfig, Perceptron

CONFIG = FitConfig(width=16, steps=200, batch_size=64, learning_rate=5e-3)


def test_probabilities_are_shares_of_episodes():
    """Of the first kind 3 of 4 succeed, of the second 1 of 4; failures last longer."""
    kind = np.repeat([0, 1], 40)
    success = np.tile([True, True, True, False], 20) ^ (kind == 1)
    features = np.repeat(np.eye(2, dtype=np.float32)[kind][:, None], 6, axis=1)
    valid = np.arange(6) < np.where(success, 2, 6)[:, None]
    network = outcome.fit(
        jax.random.key(0),
        *map(jnp.asarray, (features, success, valid)),
        config=CONFIG,
    )
    found = outcome.success_probability(network, jnp.eye(2))
    np.testing.assert_allclose(found, [0.75, 0.25], atol=0.06)


def test_failure_score_is_a_running_mean():
    logit = Perceptron(jnp.zeros(1), jnp.ones(1), ((jnp.ones((1, 1)), jnp.zeros(1)),))
    risk = np.array([0.2, 0.6, 0.1])
    features = jnp.asarray(np.log(1 / risk - 1), jnp.float32)[None, :, None]
    found = outcome.failure_score(logit, features)
    np.testing.assert_allclose(found, [[0.2, 0.4, 0.3]], rtol=1e-5)


@pytest.mark.parametrize("success", [True, False])
def test_one_outcome_alone_is_refused(success):
    arrays = jnp.ones((3, 2, 1)), jnp.full(3, success), jnp.ones((3, 2), bool)
    with pytest.raises(ValueError, match="of 3 episodes succeeded"):
        outcome.fit(jax.random.key(0), *arrays, config=CONFIG)
