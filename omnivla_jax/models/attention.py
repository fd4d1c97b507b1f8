"""Grouped-query attention over one or more segments of keys and values.

Axes: B batch, T query tokens, S key tokens of one segment, N query heads, K key/value
heads, G = N / K query heads per key/value head, C channels of a head.
"""

from typing import NamedTuple, Sequence

import chex
import jax
import jax.numpy as jnp
import numpy as np

from omnivla_jax.core import precision

MASKED = -2.3819763e38  # openpi's value: finite, so that a hidden row stays finite


class Segment(NamedTuple):
    """Keys and values of consecutive tokens, for example a cached prefix."""

    keys: jax.Array  # [B, S, K, C], already rotated
    values: jax.Array  # [B, S, K, C]


def attend(query: jax.Array, segments: Sequence[Segment], mask: jax.Array) -> jax.Array:
    """softmax(q k / sqrt(C)) v over all segments: [B, T, N, C] -> [B, T, N, C].

    `mask` bool [B, T, sum of S], True means "may see". Segments are never joined: a
    cached prefix is read where it lies, and `jax.vmap` over suffixes shares it.
    Logits and softmax are float32. A query that sees nothing averages everything.
    """
    batch, tokens, heads, channels = query.shape
    kv_heads = segments[0].keys.shape[2]
    if heads % kv_heads:
        raise ValueError(f"{heads} heads cannot share {kv_heads} kv heads evenly.")
    ends = np.cumsum([segment.keys.shape[1] for segment in segments])
    chex.assert_shape(mask, (batch, tokens, ends[-1]))
    grouped = (query * channels**-0.5).reshape(batch, tokens, kv_heads, -1, channels)
    rows = _fold(grouped).reshape(batch * kv_heads, -1, channels)
    logits = [
        jnp.einsum(
            "BTC,BSC->BTS",
            rows,
            _fold(segment.keys),
            preferred_element_type=jnp.float32,
        )
        for segment in segments
    ]
    joint = jnp.concatenate(logits, axis=-1)
    joint = joint.reshape(batch, kv_heads, tokens, -1, joint.shape[-1])
    seen = jnp.where(mask[:, None, :, None], joint, MASKED)
    weights = precision.to_compute(jax.nn.softmax(seen))
    parts = jnp.split(weights.reshape(*rows.shape[:2], -1), ends[:-1], axis=-1)
    values = [_fold(segment.values) for segment in segments]
    mixed = sum(map(jnp.matmul, parts[1:], values[1:]), parts[0] @ values[0])
    mixed = mixed.reshape(batch, kv_heads, tokens, heads // kv_heads, channels)
    return mixed.swapaxes(1, 2).reshape(batch, tokens, heads, channels)


def _fold(x: jax.Array) -> jax.Array:
    """[B, T, K, ...] -> [B * K, T, ...].

    With a single batch axis the gradient needs no transposes of the large arrays,
    which halves the time of attention on a CPU; with K = 1 this moves nothing.
    """
    return x.swapaxes(1, 2).reshape(-1, x.shape[1], *x.shape[3:])
