"""The stochastic sampler: strong order, what a chain records, and the hybrid mode."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from omnivla_jax.core import compile as compilation
from omnivla_jax.flow import ode, sde
from omnivla_jax.flow.schedules import Schedule, flow_grpo

LOUD = Schedule(scale=1.0)


def test_strong_order_one_on_fixed_brownian_paths(gaussian) -> None:
    """The noise is additive, so Euler-Maruyama converges with order 1, not 1/2."""
    finest, paths = 2048, 256
    start_key, path_key = jax.random.split(jax.random.key(0))
    start = jax.random.normal(start_key, (paths, 1, 1))
    walk = jax.random.normal(path_key, (finest, paths, 1, 1)) / np.sqrt(finest)

    @functools.partial(compilation.jit, static_argnames=("steps",))
    def terminal(steps: int) -> jax.Array:
        increments = walk.reshape(steps, -1, paths, 1, 1).sum(axis=1)

        def step(x: jax.Array, inputs) -> tuple[jax.Array, None]:
            time, increment = inputs
            tau, delta = jnp.full(paths, time), jnp.full(paths, 1.0 / steps)
            velocity = gaussian.velocity(x, tau)
            mean, std = sde.transition(x, velocity, tau, delta, sigma=LOUD(tau, delta))
            return mean + std * increment * np.sqrt(steps), None

        return jax.lax.scan(step, start, (ode.time_grid(steps), increments))[0]

    reference = terminal(finest)
    errors = [float(jnp.std(terminal(k) - reference)) for k in (16, 32, 64, 128)]
    order = -np.polyfit(np.log2([16, 32, 64, 128]), np.log2(errors), 1)[0]
    assert 0.85 < order < 1.2
    assert float(jnp.mean(reference)) == pytest.approx(0.5, abs=4 * 0.3 / 16)


def test_sampled_chains_have_those_moments(gaussian) -> None:
    noise_key, walk_key = jax.random.split(jax.random.key(0))
    noise = jax.random.normal(noise_key, (20_000, 1, 1))

    @compilation.jit
    def ends(key: jax.Array, noise: jax.Array) -> jax.Array:
        chain = sde.sample(key, gaussian.velocity, noise, steps=1000, schedule=LOUD)
        return chain.states[-1]

    sampled = ends(walk_key, noise)
    flowed = ode.sample(gaussian.velocity, noise, steps=1000)
    assert float(sampled.std()) == pytest.approx(float(flowed.std()), rel=0.02)
    assert float(sampled.mean()) == pytest.approx(float(flowed.mean()), rel=0.02)


def test_chains_step_by_their_means_and_stds(gaussian) -> None:
    noise = jnp.ones((5, 3, 2))
    schedule = Schedule(flow_grpo, scale=0.5)
    chain = sde.sample(
        jax.random.key(0), gaussian.velocity, noise, steps=4, schedule=schedule
    )
    chex.assert_tree_shape_prefix(chain[1:], (4, 5))
    chex.assert_trees_all_equal(chain.states[0], noise)
    assert chain.stochastic.all()
    z = (chain.states[1:] - chain.means) / chain.stds
    keys = jax.random.split(jax.random.key(0), 4)
    drawn = jax.vmap(lambda key: jax.random.normal(key, noise.shape))(keys)
    np.testing.assert_allclose(z, drawn, atol=1e-4)


def test_the_hybrid_mode_has_one_stochastic_step(gaussian) -> None:
    chosen = np.array([0, 2, 3])
    chain = sde.sample(
        jax.random.key(0),
        gaussian.velocity,
        jnp.ones((3, 2, 2)),
        steps=4,
        schedule=LOUD,
        stochastic_step=jnp.asarray(chosen),
    )
    np.testing.assert_array_equal(chain.stochastic, np.arange(4)[:, None] == chosen)
    still = ~np.asarray(chain.stochastic)
    states = np.asarray(chain.states)
    # Not bit by bit: a fusion that computes the means again may contract differently.
    means = np.asarray(chain.means)
    np.testing.assert_array_max_ulp(states[1:][still], means[still], maxulp=1)
    velocity = jax.vmap(gaussian.velocity)(chain.states[:-1], chain.tau)
    flowed = np.asarray(chain.states[:-1] + velocity / 4)
    np.testing.assert_allclose(states[1:][still], flowed[still], atol=1e-6)
    cut = sde.select_stochastic_step(chain)
    for sample, step in enumerate((0, 2, 3)):
        np.testing.assert_array_equal(cut.states[0, sample], states[step, sample])
        np.testing.assert_array_equal(cut.states[1, sample], states[step + 1, sample])
        assert cut.tau[0, sample] == step / 4


def test_a_quiet_schedule_reproduces_the_ode(gaussian) -> None:
    noise = jnp.ones((3, 2, 2))
    chain = sde.sample(
        jax.random.key(0),
        gaussian.velocity,
        noise,
        steps=4,
        schedule=Schedule(scale=0.0),
    )
    assert not chain.stochastic.any()
    flowed = ode.sample(gaussian.velocity, noise, steps=4)
    np.testing.assert_allclose(chain.states[-1], flowed, atol=1e-6)


def test_compiles_once(gaussian) -> None:
    @chex.assert_max_traces(n=1)
    def run(key: jax.Array, noise: jax.Array, chosen: jax.Array) -> sde.Chain:
        return sde.sample(
            key,
            gaussian.velocity,
            noise,
            steps=3,
            schedule=LOUD,
            stochastic_step=chosen,
        )

    once = compilation.jit(run)
    for seed in range(2):
        once(jax.random.key(seed), jnp.ones((2, 3, 2)), jnp.full(2, seed))
