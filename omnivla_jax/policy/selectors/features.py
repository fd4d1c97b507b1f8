"""Features of a chunk in its observation, by which selectors and detectors judge it.

They are what the action expert makes of the finished chunk: its last hidden states,
which have read the whole prefix (as in SAFE, which takes them from pi0).

Axes: B chunks, H chunk length, E executed actions, D action dimensions, W width of the
action expert.
"""

import chex
import jax
import jax.numpy as jnp

from omnivla_jax.core import precision
from omnivla_jax.core.types import ActionChunk, PyTree
from omnivla_jax.policy.config import PolicyConfig
from omnivla_jax.policy.heads import flow
from omnivla_jax.policy.prefix import PrefixCache


def chunk_features(
    params: PyTree,
    cache: PrefixCache,
    proprio: jax.Array,
    chunk: ActionChunk,
    *,
    config: PolicyConfig,
    exec_horizon: int,
) -> jax.Array:
    """The mean of the executed actions' last hidden states at flow time 1.

    Args:
      params: of a policy with the flow head.
      cache: the encoded prefix of B observations.
      proprio: float32 [B, proprio_dim], normalised and padded.
      chunk: float32 [B, H, D], normalised and padded.
      config: the policy's sizes.
      exec_horizon: E, at most H.

    Returns:
      float32 [B, W].

    Raises:
      ValueError: another action head, which has no flow time.
    """
    if config.head != "flow":
        raise ValueError(
            f"head={config.head!r} has no features of chunks: selectors by features "
            "and failure detection need head='flow'."
        )
    at_data = jnp.ones(len(chunk), jnp.float32)
    hidden = flow.action_tokens(params, cache, proprio, chunk, at_data, config)
    chex.assert_shape(hidden, (len(chunk), config.horizon, None))
    return jnp.mean(precision.to_float32(hidden[:, :exec_horizon]), axis=1)
