"""Bins: every number of a chunk as one of V tokens, and back (RT-2, OpenVLA).

A codec of V bins of equal width between the 1 % and the 99 % quantile of each
dimension. What lies outside is clipped. It is fitted on demonstrations and kept with
the parameters, where no optimizer changes it.

Axes: N chunks, B batch, H chunk length, D action dimensions, R of the robot (the others
are padding), L = H R tokens, action by action.
"""

import chex
import jax
import jax.numpy as jnp
import numpy as np

from omnivla_jax.core.types import ActionChunk
from omnivla_jax.policy import normalize
from omnivla_jax.policy.config import PolicyConfig
from omnivla_jax.policy.heads.chunk_codec import ChunkCodec

Range = dict[str, jax.Array]  # "low" and "high", float32 [R] each


def fresh(config: PolicyConfig) -> Range:
    """Bins from -1 to 1, as of actions that are normalised by quantiles."""
    ones = jnp.ones(config.robot_action_dim)
    return {"low": -ones, "high": ones}


def fit(chunks: np.ndarray, *, config: PolicyConfig) -> Range:
    """The quantiles of normalised chunks float32 [N, H, R]."""
    chex.assert_shape(chunks, (None, config.horizon, config.robot_action_dim))
    flat = chunks.reshape(-1, chunks.shape[-1])
    low, high = np.quantile(flat, [0.01, 0.99], axis=0).astype(np.float32)
    # A dimension that does not move has bins all the same.
    return {
        "low": jnp.asarray(low),
        "high": jnp.asarray(np.maximum(high, low + normalize.MINIMUM_SCALE)),
    }


def encode(arrays: Range, chunk: ActionChunk, *, config: PolicyConfig) -> jax.Array:
    """Tokens int32 [B, L] in [0, V) of chunks [B, H, D]."""
    chex.assert_shape(chunk, (None, config.horizon, config.action_dim))
    low, high = arrays["low"], arrays["high"]
    share = (normalize.unpad_dims(chunk, config.robot_action_dim) - low) / (high - low)
    token = jnp.floor(share * config.action_bins).astype(jnp.int32)
    return jnp.clip(token, 0, config.action_bins - 1).reshape(len(chunk), -1)


def decode(arrays: Range, tokens: jax.Array, *, config: PolicyConfig) -> ActionChunk:
    """The bins' centres, float32 [B, H, D], of tokens int32 [B, L]; padding is 0."""
    shape = (len(tokens), config.horizon, config.robot_action_dim)
    chex.assert_shape(tokens, (shape[0], shape[1] * shape[2]))
    share = (tokens.reshape(shape) + 0.5) / config.action_bins
    low, high = arrays["low"], arrays["high"]
    return normalize.pad_dims(low + share * (high - low), config.action_dim)


def spans(arrays: Range, *, config: PolicyConfig) -> jax.Array:
    """A token is one number: int32 [V] of ones."""
    del arrays
    return jnp.ones(config.action_bins, jnp.int32)


def share(is_counted: jax.Array) -> jax.Array:
    """A token counts where its number does: float32 [B, L] of bool [B, H, R]."""
    return is_counted.reshape(len(is_counted), -1).astype(jnp.float32)


BINS = ChunkCodec(
    vocab=lambda config: config.action_bins,
    fresh=fresh,
    fit=fit,
    encode=encode,
    decode=decode,
    spans=spans,
    share=share,
)
