"""Chain likelihoods against scipy, under the same and other parameters, and masked."""

import functools
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from omnivla_jax.core import compile as compilation
from omnivla_jax.core.types import Score
from omnivla_jax.flow import drifts, log_prob, sde
from omnivla_jax.flow.schedules import Schedule, constant, flow_grpo, learned

K, B, H, D = 5, 4, 3, 2
SCHEDULES = {
    "linear": Schedule(scale=0.5, floor=0.1),
    "flow_grpo": Schedule(flow_grpo, scale=0.5),
    "constant": Schedule(constant, scale=0.3),
    "learned": Schedule(learned, scale=1.0, floor=0.2),
}
SCHEDULE = SCHEDULES["flow_grpo"]


def velocity_under(weight: jax.Array):
    """A velocity that mixes entries, as a network does; weight [D, D]."""
    return lambda x, tau: jnp.tanh(x @ weight) - tau[:, None, None] * x


def noisy_under(weight: jax.Array):
    """The same with a noise level for every entry, some below the floor of .2."""

    def flow(x: jax.Array, tau: jax.Array) -> sde.NoisyVelocity:
        noise = 0.12 * jnp.exp(0.5 * jnp.tanh(x @ weight.T))
        return sde.NoisyVelocity(velocity_under(weight)(x, tau), noise)

    return flow


def flow_under(weight: jax.Array, schedule: Schedule) -> sde.FlowFn:
    return noisy_under(weight) if schedule.learned else velocity_under(weight)


WEIGHT = 0.5 * jax.random.normal(jax.random.key(7), (D, D))


@functools.partial(compilation.jit, static_argnames=("schedule", "drift"))
def draw(
    chosen: jax.Array | None, schedule: Schedule, drift: drifts.Drift
) -> sde.Chain:
    noise_key, walk_key = jax.random.split(jax.random.key(0))
    return sde.sample(
        walk_key,
        flow_under(WEIGHT, schedule),
        jax.random.normal(noise_key, (B, H, D)),
        steps=K,
        schedule=schedule,
        drift=drift,
        stochastic_step=chosen,
    )


@functools.cache
def sampled(schedule: Schedule = SCHEDULE, drift: drifts.Drift = drifts.corrected):
    return draw(None, schedule, drift)


@functools.partial(compilation.jit, static_argnames=("schedule", "drift"))
def scored(
    weight: jax.Array,
    chain: sde.Chain,
    mask: jax.Array | None = None,
    schedule: Schedule = SCHEDULE,
    drift: drifts.Drift = drifts.corrected,
) -> Score:
    flow_fn = flow_under(weight, schedule)
    return log_prob.chain_log_prob(
        flow_fn, chain, schedule=schedule, drift=drift, mask=mask
    )


def densities(chain: sde.Chain) -> np.ndarray:
    """The oracle: a log-density per entry of every step that has one, [K, B, H, D]."""
    recorded = (chain.states[1:], chain.means, chain.stds)
    states, means, stds = (np.asarray(leaf, np.float64) for leaf in recorded)
    noisy = np.broadcast_to(stds > 0, means.shape)
    stds = np.where(noisy, stds, 1.0)
    return np.where(noisy, scipy.stats.norm.logpdf(states, loc=means, scale=stds), 0.0)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("drift", drifts.DRIFTS)
def test_matches_scipy_and_the_first_ratio_is_one(schedule: str, drift: str) -> None:
    named: dict[str, Any]
    named = {"schedule": SCHEDULES[schedule], "drift": drifts.DRIFTS[drift]}
    chain = sampled(**named)
    score, recorded = scored(WEIGHT, chain, **named), log_prob.recorded_log_prob(chain)
    expected = densities(chain).sum(axis=(2, 3))
    noisy = np.arange(K) < K - (drift == "cps")
    np.testing.assert_array_equal(expected != 0, np.broadcast_to(noisy, (B, K)).T)
    for found in (score, recorded):
        np.testing.assert_allclose(found.log_prob, expected.sum(axis=0), 1e-5, 1e-5)
        np.testing.assert_allclose(found.step_log_prob, expected, 1e-5, 1e-5)
        chex.assert_type([found.log_prob, found.step_log_prob], jnp.float32)
    np.testing.assert_allclose(score.distribution.means, chain.means, atol=1e-6)
    np.testing.assert_allclose(score.distribution.stds, chain.stds, rtol=1e-6)
    by_step = (score.step_log_prob - recorded.step_log_prob) / (H * D)
    np.testing.assert_allclose(by_step, 0.0, atol=1e-6)


def test_a_quiet_schedule_starts_at_ratio_one() -> None:
    """It ends with a deviation of .009: float32 resolves a standard score to 1e-5."""
    quiet = Schedule()
    chain = sampled(quiet)
    change = scored(WEIGHT, chain, schedule=quiet).log_prob
    change -= log_prob.recorded_log_prob(chain).log_prob
    np.testing.assert_allclose(jnp.exp(change / (H * K)), 1.0, atol=1e-5)


def test_the_gradient_reaches_learned_noise() -> None:
    """Of log s: z^2 - 1 an entry."""
    schedule, zero = Schedule(learned, scale=1.0), jnp.zeros(())
    mask = jnp.arange(H * D).reshape(H, D) % 3 > 0

    def evenly_under(log_noise: jax.Array) -> sde.FlowFn:
        def flow(x: jax.Array, tau: jax.Array) -> sde.NoisyVelocity:
            velocity = velocity_under(WEIGHT)(x, tau)
            return sde.NoisyVelocity(velocity, jnp.full_like(x, jnp.exp(log_noise)))

        return flow

    def total(log_noise: jax.Array, chain: sde.Chain) -> jax.Array:
        flow_fn = evenly_under(log_noise)
        score = log_prob.chain_log_prob(
            flow_fn,
            chain,
            schedule=schedule,
            drift=drifts.no_drift_correction,
            mask=mask,
        )
        return jnp.sum(score.log_prob)

    chain = sde.sample(
        jax.random.key(0),
        evenly_under(zero),
        jnp.ones((B, H, D)),
        steps=K,
        schedule=schedule,
        drift=drifts.no_drift_correction,
    )
    np.testing.assert_allclose(chain.stds, np.ones((K, B, H, D)), rtol=1e-6)
    z = np.asarray(chain.states[1:] - chain.means)
    slope = compilation.jit(jax.grad(total))(zero, chain)
    expected = np.where(mask, z**2 - 1, 0.0).sum()
    np.testing.assert_allclose(slope, expected, rtol=1e-4)


def test_only_learned_noise_needs_a_head() -> None:
    start, key = jnp.ones((B, H, D)), jax.random.key(0)
    pairs = [(velocity_under, SCHEDULES["learned"]), (noisy_under, SCHEDULE)]
    for make, schedule in pairs:
        with pytest.raises(ValueError, match="`learned` needs a noise head"):
            sde.sample(key, make(WEIGHT), start, steps=2, schedule=schedule)


def test_masks_restrict_the_entries() -> None:
    chain = sampled()
    by_entry = np.arange(H)[:, None] + np.arange(D) < 2
    by_sample = np.arange(B * H * D).reshape(B, H, D) % 3 == 0
    for mask in (by_entry, by_sample):
        score = log_prob.recorded_log_prob(chain, mask=jnp.asarray(mask))
        expected = np.where(mask, densities(chain), 0.0).sum(axis=(0, 2, 3))
        np.testing.assert_allclose(score.log_prob, expected, rtol=1e-5)
        other = scored(1.5 * WEIGHT, chain, jnp.asarray(mask))
        differs = np.asarray(other.distribution.means != chain.means)
        np.testing.assert_array_equal(differs, np.broadcast_to(mask, (K, B, H, D)))


def test_the_hybrid_mode_counts_its_one_step() -> None:
    chosen = np.array([0, 4, 2, 2])
    chain = draw(jnp.asarray(chosen), SCHEDULE, drifts.corrected)
    full = scored(WEIGHT, chain)
    cut = compilation.jit(sde.select_stochastic_step)(chain)
    short = scored(WEIGHT, cut)
    expected = densities(cut).sum(axis=(0, 2, 3))
    np.testing.assert_allclose(full.log_prob, expected, rtol=1e-5)
    np.testing.assert_allclose(short.log_prob, expected, rtol=1e-5)


def test_steps_without_noise_give_finite_gradients() -> None:
    chain = draw(jnp.array([0, 4, 2, 2]), SCHEDULE, drifts.corrected)

    def total(weight: jax.Array) -> jax.Array:
        score = log_prob.chain_log_prob(
            velocity_under(weight), chain, schedule=SCHEDULE
        )
        return jnp.sum(score.log_prob)

    assert jnp.isfinite(compilation.jit(jax.grad(total))(WEIGHT)).all()
    silent = sampled(Schedule(scale=0.0))
    assert (log_prob.recorded_log_prob(silent).log_prob == 0).all()


def test_bfloat16_velocities_are_an_error() -> None:
    def coarse(x: jax.Array, tau: jax.Array) -> jax.Array:
        return velocity_under(WEIGHT)(x, tau).astype(jnp.bfloat16)

    with pytest.raises(AssertionError):
        log_prob.chain_log_prob(coarse, sampled(), schedule=SCHEDULE)


def test_compiles_once() -> None:
    @chex.assert_max_traces(n=1)
    def run(weight: jax.Array, chain: sde.Chain) -> Score:
        velocity_fn = velocity_under(weight)
        return log_prob.chain_log_prob(velocity_fn, chain, schedule=SCHEDULE)

    once = compilation.jit(run)
    for scale in (1.0, 2.0):
        once(scale * WEIGHT, sampled())
