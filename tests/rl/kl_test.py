"""Estimates of the divergence against sampling, and all gradients by differences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from omnivla_jax.core import compile as compilation
from omnivla_jax.core.types import Score
from omnivla_jax.flow.kl import transition_kl
from omnivla_jax.flow.log_prob import Transitions
from omnivla_jax.rl import kl
from tests.helpers import linear

exact = compilation.jit(transition_kl)


def scored(means: jax.Array, stds: jax.Array, step_log_prob=None) -> Score:
    if step_log_prob is None:
        step_log_prob = jnp.zeros(means.shape[:2])
    has_density = jnp.any(stds > 0, axis=(2, 3))
    transitions = Transitions(means, stds)
    return Score(step_log_prob.sum(axis=0), step_log_prob, has_density, transitions)


def test_estimates_agree_with_exact_on_average() -> None:
    """Of 200,000 draws from the other policy: N(0, .2^2) against N(.02, .2^2)."""
    draws = 0.2 * jax.random.normal(jax.random.key(1), (1, 200_000))
    stds = jnp.full((1, draws.size, 1, 1), 0.2)
    means = jnp.zeros((1, draws.size, 1, 1))
    other = scored(means, stds, -(draws**2) / 0.08)
    new = scored(means + 0.02, stds, -((draws - 0.02) ** 2) / 0.08)
    assert float(exact(new, other)[0, 0]) == pytest.approx(0.005, rel=1e-5)
    k3, log_ratio = kl.k3(new, other), kl.log_ratio_kl(new, other)
    # The standard errors are 1.6e-5 and 2.2e-4.
    assert float(k3.mean()) == pytest.approx(0.005, abs=1e-4)
    assert float(log_ratio.mean()) == pytest.approx(0.005, abs=1e-3)
    assert float(k3.min()) >= 0.0 > float(log_ratio.min())


def test_gradients_of_all_kinds_match_central_differences() -> None:
    chain = linear.sampled()

    def totals(theta: jax.Array) -> jax.Array:
        new, other = linear.score(theta, chain), linear.score(linear.REFERENCE, chain)
        return jnp.stack(
            [(kind or transition_kl)(new, other).mean() for kind in kl.KINDS.values()]
        )

    def reference(name: str, theta: np.ndarray) -> float:
        if name == "exact":
            return linear.step_kl(theta, linear.REFERENCE, chain).mean()
        log_ratio = linear.step_log_ratio(linear.REFERENCE, chain)
        log_ratio = log_ratio - linear.step_log_ratio(theta, chain)
        estimate = np.exp(log_ratio) - 1 - log_ratio if name == "k3" else log_ratio
        return estimate.mean()

    slopes = compilation.jit(jax.jacrev(totals))(linear.NEW)
    for name, slope in zip(kl.KINDS, slopes):
        expected = linear.central_differences(
            lambda theta: reference(name, theta), linear.NEW
        )
        np.testing.assert_allclose(slope, expected, rtol=1e-3, atol=1e-5, err_msg=name)
