"""How likely an episode is to succeed with a chunk: a value head on its features.

It is fitted by cross-entropy to the outcomes of episodes that the policy played. A
selector executes the candidate with the largest probability; one minus it, averaged
over an episode's chunks so far, is the score of the failure detector (SAFE).

Axes: N episodes, T chunks of an episode, W features.
"""

import chex
import jax
import jax.numpy as jnp
import optax

from omnivla_jax.policy.selectors import perceptron
from omnivla_jax.policy.selectors.perceptron import FitConfig, Perceptron


def fit(
    key: jax.Array,
    features: jax.Array,
    success: jax.Array,
    valid: jax.Array,
    *,
    config: FitConfig,
) -> Perceptron:
    """The network of an outcome's log-odds; consumes `key`.

    Args:
      key: typed key.
      features: float32 [N, T, W].
      success: bool [N].
      valid: bool [N, T]: chunks that began before their episode's end.
      config: sizes and the optimizer's settings.

    Raises:
      ValueError: all episodes ended alike, which teaches no difference.
    """
    chex.assert_shape([valid], features.shape[:2])
    chex.assert_shape(success, features.shape[:1])
    wins = int(jnp.sum(success))
    if wins in (0, len(success)):
        raise ValueError(
            f"{wins} of {len(success)} episodes succeeded: a value head needs both "
            "outcomes, so give more episodes or an earlier checkpoint."
        )
    # Failed episodes last longer: every episode has the same weight in all.
    share = valid / jnp.sum(valid, axis=1, keepdims=True)
    outcome = jnp.broadcast_to(success[:, None], valid.shape)
    rows = jnp.stack([outcome.astype(jnp.float32), share], axis=-1).reshape(-1, 2)
    return perceptron.fit(
        key,
        features.reshape(-1, features.shape[-1]),
        rows * jnp.array([1.0, valid.size / len(success)]),
        lambda predicted, row: row[:, 1]
        * optax.sigmoid_binary_cross_entropy(predicted[:, 0], row[:, 0]),
        outputs=1,
        config=config,
    )


def success_probability(network: Perceptron, features: jax.Array) -> jax.Array:
    """In (0, 1), float32 [...], of features float32 [..., W]."""
    return jax.nn.sigmoid(perceptron.apply(network, features)[..., 0])


def failure_score(network: Perceptron, features: jax.Array) -> jax.Array:
    """The mean of 1 - the probability over the chunks so far, float32 [N, T].

    Args:
      network: of `fit`.
      features: float32 [N, T, W], of every chunk from an episode's first on.
    """
    chex.assert_rank(features, 3)
    risk = 1.0 - success_probability(network, features)
    return jnp.cumsum(risk, axis=1) / jnp.arange(1, risk.shape[1] + 1)
