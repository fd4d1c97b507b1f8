"""Metrics of ratios and divergences against worked numbers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from omnivla_jax.core.types import Score
from omnivla_jax.rl import diagnostics


def test_ratio_metrics_by_hand() -> None:
    log_ratio = jnp.log(jnp.array([0.5, 1.0, 1.1, 9.0]))
    weights = jnp.array([1.0, 1.0, 2.0, 0.0])
    found = diagnostics.ratio_metrics(log_ratio, weights, low=0.2, high=0.2)
    assert float(found["ratio_mean"]) == pytest.approx(3.7 / 4)
    spread = np.sqrt((0.425**2 + 0.075**2 + 2 * 0.175**2) / 4)
    assert float(found["ratio_std"]) == pytest.approx(spread, rel=1e-5)
    assert float(found["clip_fraction"]) == pytest.approx(0.25)
    mean = (np.log(0.5) + 2 * np.log(1.1)) / 4
    assert float(found["log_ratio_mean"]) == pytest.approx(mean, rel=1e-5)


def test_the_last_steps_share_of_the_divergence() -> None:
    step_kl = jnp.array([[1.0, 2.0], [0.0, 1.0], [3.0, 5.0]])
    for dense, share in (([1, 1, 1], 8 / 12), ([1, 1, 0], 1 / 12)):
        found = diagnostics.kl_metrics(step_kl, jnp.array(dense, bool), jnp.ones(2))
        assert float(found["kl"]) == pytest.approx(6.0)
        assert float(found["kl_last_step_share"]) == pytest.approx(share)


def test_an_unmoved_policy_has_no_share() -> None:
    found = diagnostics.kl_metrics(jnp.zeros((3, 2)), jnp.ones(3, bool), jnp.ones(2))
    assert float(found["kl_last_step_share"]) == 0.0


def test_a_mean_over_nothing_is_zero() -> None:
    assert float(diagnostics.weighted_mean(jnp.ones(3), jnp.zeros(3))) == 0.0


def test_explained_variance_by_hand_and_at_its_ends() -> None:
    returns, weights = jnp.array([1.0, 3.0, 5.0, 99.0]), jnp.array([1.0, 1.0, 1.0, 0.0])

    def explained(values: jax.Array) -> float:
        found = diagnostics.value_metrics(values, returns, weights)
        return float(found["explained_variance"])

    assert explained(returns + 7.0) == 1.0  # an offset is no variance
    assert explained(jnp.zeros(4)) == 0.0
    assert explained(jnp.array([2.0, 3.0, 4.0, 0.0])) == pytest.approx(0.75)
    flat = diagnostics.value_metrics(returns, jnp.ones(4), weights)
    assert float(flat["explained_variance"]) == 0.0


def test_a_gradient_norm_for_every_expert_by_name() -> None:
    gradient = {
        "spatial": {"a": jnp.full((2, 2), 3.0), "b": {"c": jnp.full(4, -4.0)}},
        "action": jnp.zeros(3),
        "reasoning": {},
    }
    found = diagnostics.expert_norms(gradient)
    values = {name: float(value) for name, value in found.items()}
    names = ("spatial", "action", "reasoning")
    assert values == dict(zip((f"grad_norm_{n}" for n in names), (10.0, 0.0, 0.0)))


def test_dead_groups_among_those_that_played() -> None:
    zero_variance = jnp.array([[True, False, True], [True, True, False]])
    running = jnp.array([[True, True, True], [False, False, True]])
    found = diagnostics.group_metrics(zero_variance, running)
    assert float(found["zero_variance_fraction"]) == 0.5


def test_the_entropy_is_the_normal_distributions() -> None:
    """log(sigma sqrt(2 pi e)) for each of 3 entries, from 100,000 draws."""
    draws = np.random.default_rng(0).normal(0.0, 0.3, (100_000, 3))
    log_prob = scipy.stats.norm(0.0, 0.3).logpdf(draws).sum(axis=1)
    zeros = jnp.zeros((1, len(draws)))
    old = Score(jnp.asarray(log_prob, jnp.float32), zeros, zeros == 0, None)
    found = diagnostics.chain_metrics(zeros, old, jnp.ones(len(draws)))
    expected = 3 * np.log(0.3 * np.sqrt(2 * np.pi * np.e))
    assert float(found["entropy"]) == pytest.approx(expected, abs=0.02)
