"""The gradient of every objective on a linear-Gaussian policy, by two oracles.

The oracles are float64; what is left is float32's rounding of sums over K H D = 24
terms and of their exponentials, some 1e-5 relative, times the cancellation among
chunks of both signs: 1e-3 and 1e-5 absolute leave room for that and for nothing else.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from omnivla_jax.core import compile as compilation
from omnivla_jax.flow import drifts, kl, log_prob
from omnivla_jax.rl import grpo, gspo, ppo
from tests.helpers import linear

# The loss, its settings, and |A|.
OBJECTIVES: dict[str, Any] = {
    "gspo": (gspo.loss, gspo.GspoConfig, linear.H * linear.K),
    "gspo_hkd": (gspo.loss, gspo.GspoConfig, linear.H * linear.K * linear.D),
    "grpo": (grpo.loss, grpo.GrpoConfig, 1),
    "ppo": (gspo.loss, ppo.PpoConfig, 1),
}


def slope(name: str, theta: jax.Array, drift: drifts.Drift, reference=None, **settings):
    """Gradient and metrics of a loss on chains of OLD, as a train step has it."""
    loss, config, length = OBJECTIVES[name]
    chain = linear.sampled(drift)
    settings = {
        "config": config(ratio_normalizer=length, **settings),
        "exact_kl": kl.transition_kl,
        "reference": reference,
    }

    def objective(theta: jax.Array):
        new, old = linear.score(theta, chain, drift), log_prob.recorded_log_prob(chain)
        return loss(new, old, linear.ADVANTAGES, jnp.ones(linear.N), **settings)

    return compilation.jit(jax.grad(objective, has_aux=True))(theta)


@pytest.mark.parametrize("drift", [drifts.corrected, drifts.paper_drift])
@pytest.mark.parametrize("name", ["gspo", "grpo", "ppo"])
def test_the_first_gradient_is_the_closed_form(name: str, drift: drifts.Drift) -> None:
    """At theta_old: every ratio is 1, and nothing is clipped or has diverged."""
    found, metrics = slope(name, linear.OLD, drift)
    divisor = {"gspo": linear.H * linear.K, "grpo": linear.K, "ppo": 1}[name]
    by_chunk = linear.log_prob_slope(linear.sampled(drift), drift)
    expected = -linear.double(linear.ADVANTAGES) @ by_chunk / (divisor * linear.N)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5)
    assert float(metrics["ratio_mean"]) == pytest.approx(1.0, abs=1e-5)
    assert float(metrics["kl"]) == pytest.approx(0.0, abs=1e-9)


def ratios(name: str, theta: np.ndarray) -> np.ndarray:
    """[K, N] for GRPO, [N] for the others; float64."""
    log_ratio = linear.step_log_ratio(theta, linear.sampled())
    total = log_ratio if name == "grpo" else log_ratio.sum(axis=0)
    return np.exp(total / OBJECTIVES[name][2])


def reference_loss(name: str, theta: np.ndarray, **settings: float) -> float:
    """The losses again, straight from their equations, in float64."""
    divergence = linear.step_kl(theta, linear.REFERENCE, linear.sampled())
    if name != "grpo":
        divergence = divergence.sum(axis=0)
    low, high = settings["clip_low"], settings["clip_high"]
    gain = linear.surrogate(ratios(name, theta), low, high)
    return float(-np.mean(gain - settings["kl_coefficient"] * divergence))


@pytest.mark.parametrize("name", OBJECTIVES)
def test_later_gradients_match_central_differences(name: str) -> None:
    """Far from theta_old, with half of the ratios clipped and a reference policy."""
    moved = np.abs(ratios(name, linear.double(linear.NEW)) - 1.0)
    high = float(np.median(moved))
    low = min(0.9, 0.8 * high)
    settings = {"clip_low": low, "clip_high": high, "kl_coefficient": 0.02}
    reference = linear.score(linear.REFERENCE, linear.sampled())
    found, metrics = slope(name, linear.NEW, drifts.corrected, reference, **settings)
    assert 0.0 < metrics["clip_fraction"] < 1.0
    assert metrics["kl_penalty"] > 0.05
    expected = linear.central_differences(
        lambda theta: reference_loss(name, theta, **settings), linear.NEW
    )
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5)
    value = reference_loss(name, linear.double(linear.NEW), **settings)
    assert float(metrics["loss"]) == pytest.approx(value, rel=1e-4)
