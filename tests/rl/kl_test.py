"""Divergences by hand, against sampling, and their gradients against differences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
import scipy.stats

from omnivla_jax.core import compile as compilation
from omnivla_jax.core.types import ChainScore
from omnivla_jax.flow import sde
from omnivla_jax.flow.schedules import Schedule
from omnivla_jax.rl import kl
from tests.helpers import linear

exact = compilation.jit(kl.exact)


def scored(means: jax.Array, stds: jax.Array, step_log_prob=None) -> ChainScore:
    if step_log_prob is None:
        step_log_prob = jnp.zeros(means.shape[:2])
    return ChainScore(step_log_prob.sum(axis=0), step_log_prob, means, stds)


def test_exact_by_hand_and_without_gradient_on_ode_steps() -> None:
    means = jnp.zeros((2, 1, 1, 2)).at[0].set(0.3).at[1].set(0.1)
    stds = jnp.array([0.5, 0.0]).reshape(2, 1, 1, 1)

    def total(means: jax.Array) -> tuple[jax.Array, jax.Array]:
        step_kl = kl.exact(scored(means, stds), scored(jnp.zeros_like(means), stds))
        return step_kl.sum(), step_kl

    slope, found = compilation.jit(jax.grad(total, has_aux=True))(means)
    np.testing.assert_allclose(found, [[0.36], [0.0]], rtol=1e-6)
    np.testing.assert_allclose(slope[:, 0, 0], [[1.2, 1.2], [0.0, 0.0]], rtol=1e-6)


def test_a_uniform_move_puts_most_divergence_into_the_last_step() -> None:
    """64.5 % under sigma = 0.1 (1 - tau) and K = 10, as derived on paper."""
    tau = jnp.arange(10, dtype=jnp.float32) / 10
    delta, x = jnp.full(10, 0.1), jnp.zeros((10, 1, 1))
    sigma = Schedule()(tau, delta)
    old, std = sde.transition(x, x, tau, delta, sigma=sigma)
    new, _ = sde.transition(x, x + 0.01, tau, delta, sigma=sigma)
    stds = std[:, None]
    step_kl = exact(scored(new[:, None], stds), scored(old[:, None], stds))
    assert float(step_kl[-1, 0] / step_kl.sum()) == pytest.approx(0.645, abs=0.005)


@pytest.mark.parametrize("mean, std", [(0.3, 0.5), (0.3, 0.8), (0.0, 0.5001)])
def test_exact_with_learned_deviations_is_the_integral(mean: float, std: float) -> None:
    """KL(N(mean, std^2) || N(0, .5^2)), one way round and not the other."""
    ours, other = scipy.stats.norm(mean, std), scipy.stats.norm(0.0, 0.5)
    expected, _ = scipy.integrate.quad(
        lambda x: ours.pdf(x) * (ours.logpdf(x) - other.logpdf(x)), -6, 6, epsabs=1e-12
    )
    entries = jnp.ones((1, 1, 2, 3))
    found = exact(
        scored(mean * entries, std * entries), scored(0.0 * entries, 0.5 * entries)
    )
    assert float(found[0, 0]) == pytest.approx(6 * expected, rel=2e-3, abs=1e-9)


def test_deviations_that_stay_add_nothing() -> None:
    """One deviation a step, or the same one for every entry: only sums may round."""
    means = jax.random.normal(jax.random.key(0), (3, 2, 4, 5))
    step = jnp.array([0.3, 0.1, 0.0]).reshape(3, 1, 1, 1) + jnp.zeros((3, 2, 1, 1))
    entry = jnp.broadcast_to(step, means.shape)
    zeros = jnp.zeros_like(means)
    found = exact(scored(means, entry), scored(zeros, entry))
    shared = exact(scored(means, step), scored(zeros, step))
    np.testing.assert_allclose(found, shared, rtol=1e-6)
    assert np.all(found[2] == 0.0) and np.all(found[:2] > 0.0)


def test_estimates_agree_with_exact_on_average() -> None:
    """Of 200,000 draws from the other policy: N(0, .2^2) against N(.02, .2^2)."""
    draws = 0.2 * jax.random.normal(jax.random.key(1), (1, 200_000))
    stds = jnp.full((1, draws.size, 1, 1), 0.2)
    means = jnp.zeros((1, draws.size, 1, 1))
    other = scored(means, stds, -(draws**2) / 0.08)
    new = scored(means + 0.02, stds, -((draws - 0.02) ** 2) / 0.08)
    assert float(exact(new, other)[0, 0]) == pytest.approx(0.005, rel=1e-5)
    k3, paper = kl.k3(new, other), kl.paper(new, other)
    # The standard errors are 1.6e-5 and 2.2e-4.
    assert float(k3.mean()) == pytest.approx(0.005, abs=1e-4)
    assert float(paper.mean()) == pytest.approx(0.005, abs=1e-3)
    assert float(k3.min()) >= 0.0 > float(paper.min())


def test_gradients_of_all_kinds_match_central_differences() -> None:
    chain = linear.sampled()

    def totals(theta: jax.Array) -> jax.Array:
        new, other = linear.score(theta, chain), linear.score(linear.REFERENCE, chain)
        return jnp.stack([kind(new, other).mean() for kind in kl.KINDS.values()])

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
