"""Metrics of ratios and divergences against worked numbers."""

import jax.numpy as jnp
import numpy as np
import pytest

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
    found = diagnostics.kl_metrics(step_kl, jnp.ones(2))
    assert float(found["kl"]) == pytest.approx(6.0)
    assert float(found["kl_last_step_share"]) == pytest.approx(8 / 12)


def test_a_policy_that_has_not_moved_has_no_share() -> None:
    found = diagnostics.kl_metrics(jnp.zeros((3, 2)), jnp.ones(2))
    assert float(found["kl_last_step_share"]) == 0.0


def test_a_mean_over_nothing_is_zero() -> None:
    assert float(diagnostics.weighted_mean(jnp.ones(3), jnp.zeros(3))) == 0.0
