"""Tests of grouped-query attention against loops over every head and token."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from omnivla_jax.models.attention import Segment, attend


def slow_attention(query, keys, values, mask):
    """The definition, one query token of one head at a time."""
    batch, tokens, heads, channels = query.shape
    group = heads // keys.shape[2]
    out = np.zeros(query.shape)
    for b, t, n in np.ndindex(batch, tokens, heads):
        logits = keys[b, :, n // group] @ query[b, t, n] / np.sqrt(channels)
        weights = np.exp(logits - logits.max()) * mask[b, t]
        out[b, t, n] = weights / weights.sum() @ values[b, :, n // group]
    return out


def random_case(heads: int, kv_heads: int):
    rng = np.random.default_rng(heads)
    query = rng.normal(size=(2, 3, heads, 4))
    keys, values = rng.normal(size=(2, 2, 5, kv_heads, 4))
    mask = rng.random((2, 3, 5)) < 0.6
    mask[..., 0] = True
    return query, keys, values, mask


@pytest.mark.parametrize("heads, kv_heads", [(4, 1), (4, 2), (3, 3)])
def test_against_loop(heads, kv_heads):
    case = random_case(heads, kv_heads)
    query, keys, values, mask = map(jnp.asarray, case)
    mixed = attend(query, [Segment(keys, values)], mask)
    np.testing.assert_allclose(mixed, slow_attention(*case), atol=1e-5)


def test_segments_equal_their_concatenation():
    query, keys, values, mask = map(jnp.asarray, random_case(4, 2))
    parts = [Segment(keys[:, :2], values[:, :2]), Segment(keys[:, 2:], values[:, 2:])]
    whole = attend(query, [Segment(keys, values)], mask)
    np.testing.assert_allclose(attend(query, parts, mask), whole, atol=1e-6)


def test_hidden_rows_stay_finite():
    query, keys, values, mask = map(jnp.asarray, random_case(4, 1))
    nothing = jnp.zeros_like(mask)
    gradient = jax.grad(lambda q: attend(q, [Segment(keys, values)], nothing).sum())
    assert bool(jnp.isfinite(gradient(query)).all())


def test_heads_must_divide():
    query, keys, values, mask = map(jnp.asarray, random_case(3, 3))
    with pytest.raises(ValueError, match="3 heads cannot share 2 kv heads"):
        attend(query, [Segment(keys[:, :, :2], values[:, :, :2])], mask)
