"""The exact divergence by hand and against its integral."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
import scipy.stats

from omnivla_jax.core import compile as compilation
from omnivla_jax.core.types import Score
from omnivla_jax.flow import kl, sde
from omnivla_jax.flow.log_prob import Transitions
from omnivla_jax.flow.schedules import Schedule

exact = compilation.jit(kl.transition_kl)


def scored(means: jax.Array, stds: jax.Array, step_log_prob=None) -> Score:
    if step_log_prob is None:
        step_log_prob = jnp.zeros(means.shape[:2])
    has_density = jnp.any(stds > 0, axis=(2, 3))
    transitions = Transitions(means, stds)
    return Score(step_log_prob.sum(axis=0), step_log_prob, has_density, transitions)


def test_exact_by_hand_without_gradient_on_ode_steps() -> None:
    means = jnp.zeros((2, 1, 1, 2)).at[0].set(0.3).at[1].set(0.1)
    stds = jnp.array([0.5, 0.0]).reshape(2, 1, 1, 1)

    def total(means: jax.Array) -> tuple[jax.Array, jax.Array]:
        step_kl = kl.transition_kl(
            scored(means, stds), scored(jnp.zeros_like(means), stds)
        )
        return step_kl.sum(), step_kl

    slope, found = compilation.jit(jax.grad(total, has_aux=True))(means)
    np.testing.assert_allclose(found, [[0.36], [0.0]], rtol=1e-6)
    np.testing.assert_allclose(slope[:, 0, 0], [[1.2, 1.2], [0.0, 0.0]], rtol=1e-6)


def test_the_last_step_holds_most_divergence() -> None:
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
