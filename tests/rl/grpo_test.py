"""GRPO by hand: one ratio a denoising step. Its gradient: gradients_test.py."""

import functools

import jax.numpy as jnp
import numpy as np
import pytest

from omnivla_jax.core import compile as compilation
from omnivla_jax.core.types import Score
from omnivla_jax.flow import kl
from omnivla_jax.flow.log_prob import Transitions
from omnivla_jax.rl import grpo

compiled = compilation.jit(
    functools.partial(grpo.loss, exact_kl=kl.transition_kl), static_argnames=("config",)
)


def by_values(step_log_ratio, advantages, stds=None, weights=None, **settings):
    """The loss of given log-ratios [K, N] where the means have not moved."""
    steps, count = np.shape(step_log_ratio)
    means = jnp.zeros((steps, count, 1, 1))
    stds = jnp.ones(means.shape) if stds is None else jnp.asarray(stds)
    log_ratio = jnp.asarray(step_log_ratio, jnp.float32)
    has_density, transitions = stds[..., 0, 0] > 0, Transitions(means, stds)
    zeros = jnp.zeros((steps, count))
    return compiled(
        Score(log_ratio.sum(axis=0), log_ratio, has_density, transitions),
        Score(jnp.zeros(count), zeros, has_density, transitions),
        jnp.asarray(advantages),
        jnp.ones(count) if weights is None else jnp.asarray(weights),
        config=grpo.GrpoConfig(**settings),
    )


def test_every_step_is_clipped_for_itself() -> None:
    """GSPO would see ratios of 1 here: the steps' log-ratios cancel."""
    ratio = np.array([[1.5, 0.5], [1 / 1.5, 2.0]])
    value, metrics = by_values(np.log(ratio), [2.0, -1.0])
    # Chunk 0: min(3, 2.4), min(1.33, 1.6); chunk 1: min(-.5, -.8), min(-2, -1.2).
    assert float(value) == pytest.approx(-((2.4 + 4 / 3) / 2 + (-0.8 - 2.0) / 2) / 2)
    assert float(metrics["ratio_mean"]) == pytest.approx(ratio.mean(), rel=1e-5)
    assert float(metrics["clip_fraction"]) == 1.0


def test_steps_without_density_do_not_count() -> None:
    """Chunk 0 is stochastic in step 1 only, chunk 1 in both."""
    stds = np.ones((2, 2, 1, 1), np.float32)
    stds[0, 0] = 0.0
    value, metrics = by_values(
        np.log([[1.0, 0.9], [1.1, 1.1]]), [1.0, 3.0], stds, kl_coefficient=0.0
    )
    assert float(value) == pytest.approx(-(1.1 + 3.0) / 2, rel=1e-6)
    assert float(metrics["ratio_mean"]) == pytest.approx((1.1 + 1.0) / 2, rel=1e-6)


def test_empty_batches_and_frozen_chunks_count_nothing() -> None:
    still = np.zeros((2, 3))
    value, _ = by_values(still, [1.0, 2.0, 9.0], weights=[1.0, 1.0, 0.0])
    assert float(value) == pytest.approx(-1.5)
    value, _ = by_values(still, [1.0, 2.0, 9.0], weights=[0.0] * 3)
    assert float(value) == 0.0


def test_the_divergence_is_a_mean_over_steps() -> None:
    """A log-ratio of -1 a step: `log_ratio` is 1 nat a step, of 2 nats a chain."""
    value, metrics = by_values(
        np.full((2, 1), -1.0), [0.0], kl_coefficient=0.5, kl_kind="log_ratio"
    )
    assert float(metrics["kl_penalty"]) == pytest.approx(1.0)
    assert float(value) == pytest.approx(0.5)


def test_bad_settings() -> None:
    with pytest.raises(ValueError, match="ratio_normalizer is 0"):
        grpo.GrpoConfig(ratio_normalizer=0)
    with pytest.raises(ValueError, match="clip_low < 1"):
        grpo.GrpoConfig(clip_low=1.5)
