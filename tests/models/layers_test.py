"""Tests of the shared layers against results worked by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from omnivla_jax.models import layers


def test_rms_norm_by_hand():
    # rms of (3, 4) is sqrt(12.5); the learned scale enters as 1 + scale.
    norm, x = layers.RMSNorm(), jnp.array([[3.0, 4.0]])
    params = {"params": {"scale": jnp.array([0.0, 1.0])}}
    expected = np.array([[3.0, 8.0]]) / np.sqrt(12.5)
    np.testing.assert_allclose(norm.apply(params, x), expected, rtol=1e-5)


def test_adaptive_rms_norm_by_hand():
    # The condition (1, 1) sums the two rows of the kernel: scale, shift, gate in turn.
    x, condition = jnp.array([[[3.0, 4.0]]]), jnp.ones((1, 2))
    kernel = jnp.array([[0.0, 1.0, 0.5, 0.0, 2.0, 3.0]] * 2)
    dense = {"kernel": kernel, "bias": jnp.array([0.0, 0.0, 0.0, 0.0, 1.0, 0.0])}
    params = {"params": {"modulation": dense}}
    normed, gate = layers.AdaptiveRMSNorm().apply(params, x, condition)
    expected = np.array([3.0, 12.0]) / np.sqrt(12.5) + [1.0, 0.0]
    np.testing.assert_allclose(normed[0, 0], expected, rtol=1e-5)
    np.testing.assert_allclose(gate, [[[5.0, 6.0]]])


def test_rope_by_hand():
    # C = 4: channels 0 and 2 turn by the position, 1 and 3 by position / 100.
    turn = layers.rotation(jnp.array([[0, 2]]), 4)
    x = jnp.tile(jnp.array([1.0, 1.0, 0.0, 0.0]), (1, 2, 1, 1))
    moved = [np.cos(2), np.cos(0.02), np.sin(2), np.sin(0.02)]
    rotated = layers.rope(x, turn)
    np.testing.assert_allclose(rotated[0, :, 0], [[1, 1, 0, 0], moved], atol=1e-6)


def test_rope_depends_on_relative_position_only():
    query, key = jax.random.normal(jax.random.key(0), (2, 1, 1, 1, 8))

    def product(first: int, second: int) -> float:
        places = [layers.rotation(jnp.array([[p]]), 8) for p in (first, second)]
        pair = [layers.rope(x, place) for x, place in zip((query, key), places)]
        return float(jnp.sum(pair[0] * pair[1]))

    assert product(3, 7) == pytest.approx(product(103, 107), abs=1e-4)
    assert product(3, 7) != pytest.approx(product(3, 8), abs=1e-4)


def test_gated_mlp_against_numpy():
    key = jax.random.key(1)
    gating, linear = jax.random.normal(key, (2, 3, 5)), jnp.ones((5, 3))
    x = jax.random.normal(key, (2, 4, 3))
    params = {"params": {"gating_einsum": gating, "linear": linear}}
    gate, value = np.asarray(x @ gating[0]), np.asarray(x @ gating[1])
    inner = np.sqrt(2 / np.pi) * (gate + 0.044715 * gate**3)
    expected = (0.5 * gate * (1 + np.tanh(inner)) * value) @ np.ones((5, 3))
    actual = layers.GatedMLP(5).apply(params, x)
    np.testing.assert_allclose(actual, expected, atol=1e-4)


def test_matmul_keeps_leading_axes():
    x, w = jnp.arange(24.0).reshape(2, 3, 4), jnp.arange(8.0).reshape(4, 2)
    np.testing.assert_allclose(layers.matmul(x, w), np.asarray(x) @ np.asarray(w))


def test_posemb_sincos_periods():
    # The shortest period is 4e-3 and the longest 4: tau = 1 is a quarter turn of it.
    embedding = layers.posemb_sincos(jnp.array([0.0, 1.0]), 6)
    np.testing.assert_allclose(embedding[0], [0, 0, 0, 1, 1, 1], atol=1e-6)
    np.testing.assert_allclose(embedding[1, [2, 5]], [1, 0], atol=1e-5)
    with pytest.raises(ValueError, match="even width, not 5"):
        layers.posemb_sincos(jnp.zeros(1), 5)


def test_word_embedding_is_scaled():
    table = jnp.arange(8.0).reshape(2, 4)
    embedder = layers.WordEmbedder(vocab=2, width=4)
    params = {"params": {"input_embedding": table}}
    words = embedder.apply(params, jnp.array([[1]]))
    np.testing.assert_allclose(words[0, 0], table[1] * 2)
