"""Tests of omnivla_jax.policy.selectors.coin_flips: counts of a table, by hand."""

import jax
import jax.numpy as jnp
import numpy as np

from omnivla_jax.policy.selectors import coin_flips
from omnivla_jax.policy.selectors.perceptron import FitConfig, Perceptron

COUNTS = np.array([1, 4, 16, 64])


def test_count_of_mean_coins_is_exact_on_average():
    """A linear table that answers each state's mean coin: E[mean square] = 1 / n."""
    rng = np.random.default_rng(0)
    means = np.stack([rng.choice([-1, 1], (n, 4096)).mean(axis=0) for n in COUNTS])
    table = Perceptron(
        jnp.zeros(4), jnp.ones(4), ((jnp.asarray(means, jnp.float32), jnp.zeros(4096)),)
    )
    found = coin_flips.pseudo_count(table, jnp.eye(4))
    np.testing.assert_allclose(found, COUNTS, rtol=0.1)


def test_fitted_counts_follow_how_often_features_came():
    features = jnp.asarray(np.repeat(np.eye(4), COUNTS, axis=0), jnp.float32)
    config = FitConfig(width=16, steps=200, batch_size=85, learning_rate=5e-3)
    network = coin_flips.fit(jax.random.key(0), features, config=config)
    found = np.asarray(coin_flips.pseudo_count(network, jnp.eye(4)))
    assert (np.diff(found) > 0).all()
    np.testing.assert_allclose(np.log2(found), np.log2(COUNTS), atol=1.0)


def test_silent_network_has_a_finite_count():
    silent = Perceptron(jnp.zeros(2), jnp.ones(2), ((jnp.zeros((2, 3)), jnp.zeros(3)),))
    assert coin_flips.pseudo_count(silent, jnp.ones((5, 2))).tolist() == [1e6] * 5
