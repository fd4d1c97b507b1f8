"""Pseudo-counts by coin flips: how often something like a chunk was in the data.

Every sample gets d random coins, and a network regresses on them. Of n samples with the
same features the best answer is the mean of their coins, whose mean square is 1/n
(Lobel et al., 2023). TACO executes the candidate chunk with the largest pseudo-count.

Axes: M samples, W features, d coins.
"""

import jax
import jax.numpy as jnp

from omnivla_jax.policy.selectors import perceptron
from omnivla_jax.policy.selectors.perceptron import FitConfig, Perceptron

COINS = 32
LARGEST_COUNT = 1e6  # of a network that answers 0


def fit(key: jax.Array, features: jax.Array, *, config: FitConfig) -> Perceptron:
    """The coin-flipping network of features float32 [M, W]; consumes `key`."""
    coin_key, fit_key = jax.random.split(key)
    coins = jax.random.rademacher(coin_key, (len(features), COINS), jnp.float32)
    return perceptron.fit(
        fit_key,
        features,
        coins,
        lambda predicted, wanted: jnp.mean(jnp.square(predicted - wanted), axis=-1),
        outputs=COINS,
        config=config,
    )


def pseudo_count(network: Perceptron, features: jax.Array) -> jax.Array:
    """1 / mean square of the answers, float32 [...], of features float32 [..., W]."""
    square = jnp.mean(jnp.square(perceptron.apply(network, features)), axis=-1)
    return 1.0 / jnp.maximum(square, 1.0 / LARGEST_COUNT)
