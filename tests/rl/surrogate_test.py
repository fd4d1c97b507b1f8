"""Clipping and ratios by hand."""

from typing import Any

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


def test_the_clip_follows_the_spread_that_is_measured() -> None:
    config = surrogate.ClipConfig(clip_low=0.01, clip_high=0.01, clip_quantile=0.75)
    log_ratio = jnp.array([0.1, -0.2, 0.3, -0.4, 0.5, 9.0])
    weights = jnp.array([1.0, 1.0, 1.0, 1.0, 1.0, 0.0])
    low, high = surrogate.clip_bounds(log_ratio, weights, config=config)
    np.testing.assert_allclose([low, high], [-np.expm1(-0.4), np.expm1(0.4)], rtol=1e-6)
    for still in (log_ratio * 0.0, log_ratio):
        low, high = surrogate.clip_bounds(still, weights * 0.0, config=config)
        np.testing.assert_allclose([low, high], [0.01, 0.01], rtol=1e-6)


def test_step_weights_decay_forwards_at_mean_one() -> None:
    np.testing.assert_allclose(
        surrogate.step_weights(3, 2.0), np.array([4, 2, 1]) * 3 / 7, rtol=1e-6
    )
    np.testing.assert_array_equal(surrogate.step_weights(3, 1.0), np.ones(3))


@pytest.mark.parametrize(
    "settings", [{"step_decay": 0.0}, {"clip_quantile": 1.0}, {"ratio_normalizer": 0}]
)
def test_settings_out_of_range_are_errors(settings: Any) -> None:
    with pytest.raises(ValueError, match=next(iter(settings))):
        surrogate.ClipConfig(**settings)
