"""The path's ends, velocity and score, and that times never meet the wrong axis."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from omnivla_jax.core import compile as compilation
from omnivla_jax.flow import path

B, H, D = 4, 3, 2


def pair() -> tuple[jax.Array, jax.Array]:
    noise_key, data_key = jax.random.split(jax.random.key(0))
    shape = (B, H, D)
    return jax.random.normal(noise_key, shape), jax.random.normal(data_key, shape)


def test_time_runs_from_noise_to_data() -> None:
    noise, data = pair()
    chex.assert_trees_all_equal(path.interpolate(noise, data, jnp.zeros(B)), noise)
    chex.assert_trees_all_equal(path.interpolate(noise, data, jnp.ones(B)), data)


def test_target_velocity_is_the_paths_derivative() -> None:
    noise, data = pair()
    tau = jnp.linspace(0.1, 0.9, B)
    _, slope = jax.jvp(
        lambda time: path.interpolate(noise, data, time), (tau,), (jnp.ones(B),)
    )
    np.testing.assert_allclose(slope, path.target_velocity(noise, data), atol=1e-6)


def test_score_is_the_marginal_log_density_gradient(gaussian) -> None:
    x = jax.random.normal(jax.random.key(1), (B, H, D))
    tau = jnp.array([0.0, 0.3, 0.6, 0.95])

    def log_density(x: jax.Array) -> jax.Array:
        time = tau[:, None, None]
        z = (x - time * gaussian.mean) / gaussian.marginal_std(time)
        return -0.5 * jnp.sum(z**2)

    score = path.score(x, gaussian.velocity(x, tau), tau)
    np.testing.assert_allclose(score, jax.grad(log_density)(x), rtol=1e-4, atol=1e-5)


def test_step_times_are_not_sample_times() -> None:
    chain = jnp.zeros((B, B, H, D))  # K = B: broadcasting alone would not notice
    with pytest.raises(AssertionError):
        path.over_chunk(jnp.zeros(B), chain)
    by_entry = jnp.ones((B, B, H, D))
    chex.assert_trees_all_equal(path.over_chunk(by_entry, chain), by_entry)


def test_interpolate_compiles_once() -> None:
    noise, data = pair()
    once = compilation.jit(chex.assert_max_traces(path.interpolate, n=1))
    for tau in (0.2, 0.7):
        once(noise, data, jnp.full(B, tau))


def test_flow_times_follow_their_distribution() -> None:
    tau = path.draw_tau(jax.random.key(0), (4000,)) / path.TAU_LIMIT
    assert stats.kstest(np.asarray(tau), stats.beta(1, 1.5).cdf).pvalue > 0.01
