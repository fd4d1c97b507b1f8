"""The stochastic sampler: marginals, limit and order against exact Gaussian flow."""

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


def moments(gaussian, drift: sde.Drift, *, steps: int) -> np.ndarray:
    """Mean and deviation of every state, [K + 1, 2], without Monte Carlo error.

    Gaussian data make a step affine in x, so two probes give its slope and offset and
    the moments follow by recursion.
    """
    tau = ode.time_grid(steps)
    probes = jnp.broadcast_to(jnp.array([0.0, 1.0])[:, None, None], (2, 1, 1))

    def step(tau: jax.Array) -> tuple[jax.Array, jax.Array]:
        times, delta = jnp.full(2, tau), jnp.full(2, 1.0 / steps)
        mean, std = sde.transition(
            probes,
            gaussian.velocity(probes, times),
            times,
            delta,
            sigma=LOUD(times, delta),
            drift=drift,
        )
        return mean[:, 0, 0], std[0, 0, 0]

    rows = [np.array([0.0, 1.0])]
    means, stds = compilation.jit(jax.vmap(step))(tau)
    for mean, std in zip(np.asarray(means, np.float64), np.asarray(stds)):
        slope, offset = mean[1] - mean[0], mean[0]
        previous = rows[-1]
        variance = (slope * previous[1]) ** 2 + std**2
        rows.append(np.array([slope * previous[0] + offset, np.sqrt(variance)]))
    return np.stack(rows)


@pytest.mark.parametrize(
    "drift, extra",
    [
        (sde.corrected, -0.36 / (2 * 0.6) * (0.8 - 0.4 * -0.5)),
        (sde.paper, 0.36 / 2 * (0.8 + 0.6 * -0.5)),
        (sde.none, 0.0),
    ],
)
def test_transition_by_hand(drift: sde.Drift, extra: float) -> None:
    x, v, tau, delta, sigma = 0.8, -0.5, 0.4, 0.1, 0.6
    mean, std = sde.transition(
        jnp.full((1, 2, 3), x),
        jnp.full((1, 2, 3), v),
        tau,
        delta,
        sigma=sigma,
        drift=drift,
    )
    np.testing.assert_allclose(mean, np.full((1, 2, 3), x + delta * (v + extra)), 1e-6)
    np.testing.assert_allclose(std, np.full((1, 1, 1), 0.6 * np.sqrt(0.1)), 1e-6)


def test_every_drift_without_noise_is_the_ode() -> None:
    x, v = jnp.full((1, 2, 3), 0.8), jnp.full((1, 2, 3), -0.5)
    for drift in sde.DRIFTS.values():
        mean, _ = sde.transition(x, v, jnp.full(1, 0.4), 0.1, sigma=0.0, drift=drift)
        chex.assert_trees_all_equal(mean, x + jnp.float32(0.1) * v)


def test_the_corrected_drift_keeps_the_odes_marginals(gaussian) -> None:
    terminal = moments(gaussian, sde.corrected, steps=1000)
    for tau in (0.25, 0.5, 0.75, 1.0):
        mean, std = terminal[int(1000 * tau)]
        assert mean == pytest.approx(tau * gaussian.mean, rel=0.02)
        assert std == pytest.approx(float(gaussian.marginal_std(tau)), rel=0.02)


def test_the_printed_drift_widens_them(gaussian) -> None:
    # The limits of K -> infinity by the same recursion in float64: .4000 and .3956.
    mean, std = moments(gaussian, sde.paper, steps=1000)[-1]
    assert (mean, std) == pytest.approx((0.5358, 0.4000), abs=1e-3)
    mean, std = moments(gaussian, sde.none, steps=1000)[-1]
    assert (mean, std) == pytest.approx((0.5, 0.3956), abs=1e-3)


def test_weak_order_one_and_the_right_limit(gaussian) -> None:
    exact = np.array([gaussian.mean, gaussian.std])
    errors = np.array(
        [
            np.abs(moments(gaussian, sde.corrected, steps=k)[-1] - exact)[1]
            for k in (64, 128, 256, 512)
        ]
    )
    assert errors[-1] < 2e-3
    np.testing.assert_allclose(-np.diff(np.log2(errors)), 1.0, atol=0.15)


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


def test_a_chain_steps_by_its_own_means_and_stds(gaussian) -> None:
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


def test_the_hybrid_mode_shakes_one_step_and_flows_through_the_others(gaussian) -> None:
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
    np.testing.assert_array_equal(states[1:][still], np.asarray(chain.means)[still])
    velocity = jax.vmap(gaussian.velocity)(chain.states[:-1], chain.tau)
    flowed = np.asarray(chain.states[:-1] + velocity / 4)
    np.testing.assert_allclose(states[1:][still], flowed[still], atol=1e-6)
    cut = sde.stochastic_only(chain)
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
