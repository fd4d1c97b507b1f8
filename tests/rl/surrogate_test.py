"""Clipping and ratios by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from omnivla_jax.rl import surrogate


@pytest.mark.parametrize(
    "ratio, advantage, expected",
    [
        (1.5, 2.0, 2.6),  # cut at 1 + .3
        (1.5, -2.0, -3.0),  # the worse branch stays
        (0.5, 2.0, 1.0),
        (0.5, -2.0, -1.6),  # cut at 1 - .2
        (1.1, 2.0, 2.2),
    ],
)
def test_clipping_by_hand(ratio: float, advantage: float, expected: float) -> None:
    found = surrogate.clipped(jnp.array(ratio), jnp.array(advantage), low=0.2, high=0.3)
    assert float(found) == pytest.approx(expected, rel=1e-6)


def test_ratios_by_hand_never_overflow() -> None:
    log_prob = jnp.array([1.0, 1e4, -1e4])

    def ratio(log_prob: jax.Array) -> jax.Array:
        return jnp.exp(surrogate.log_ratio(log_prob, jnp.zeros(3), normalizer=2))

    np.testing.assert_allclose(ratio(log_prob), np.exp([0.5, 20.0, -20.0]), rtol=1e-5)
    slope = jax.grad(lambda x: ratio(x).sum())
    np.testing.assert_allclose(slope(log_prob), [np.exp(0.5) / 2, 0.0, 0.0], rtol=1e-5)


def test_bfloat16_log_probabilities_are_an_error() -> None:
    with pytest.raises(AssertionError, match="bfloat16"):
        surrogate.log_ratio(jnp.zeros(3, jnp.bfloat16), jnp.zeros(3), normalizer=1)


@pytest.mark.parametrize("low, high", [(1.5, 0.2), (-0.1, 0.2), (0.2, -0.1)])
def test_a_clip_without_one_is_an_error(low: float, high: float) -> None:
    with pytest.raises(ValueError, match="clip_low < 1"):
        surrogate.ClipConfig(clip_low=low, clip_high=high)
