"""The Euler sampler against a Python loop and the exact transport map."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from omnivla_jax.core import compile as compilation
from omnivla_jax.flow import ode


def test_first_order_and_towards_the_exact_map(gaussian) -> None:
    noise = jax.random.normal(jax.random.key(0), (64, 3, 2))
    exact = gaussian.mean + gaussian.std * noise  # the flow of a Gaussian is affine
    errors = [
        jnp.max(jnp.abs(ode.sample(gaussian.velocity, noise, steps=k) - exact))
        for k in (50, 100, 200)
    ]
    assert errors[-1] < 0.05
    np.testing.assert_allclose(-np.diff(np.log2(errors)), 1.0, atol=0.15)


def test_matches_a_python_loop(gaussian) -> None:
    x = noise = jax.random.normal(jax.random.key(0), (2, 3, 2))
    for k in range(4):
        x = x + gaussian.velocity(x, jnp.full(2, k / 4)) / 4
    sampled = ode.sample(gaussian.velocity, noise, steps=4)
    np.testing.assert_allclose(sampled, x, atol=1e-6)


def test_a_sampler_without_steps_is_an_error() -> None:
    with pytest.raises(ValueError, match="steps is 0"):
        ode.time_grid(0)


def test_compiles_once(gaussian) -> None:
    @chex.assert_max_traces(n=1)
    def run(noise: jax.Array) -> jax.Array:
        return ode.sample(gaussian.velocity, noise, steps=3)

    once = compilation.jit(run)
    for value in (0.0, 1.0):
        once(jnp.full((2, 3, 2), value))
