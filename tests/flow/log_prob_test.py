"""Chain likelihoods against scipy, under the same and other parameters, and masked."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from omnivla_jax.core import compile as compilation
from omnivla_jax.core.types import ChainScore
from omnivla_jax.flow import log_prob, sde
from omnivla_jax.flow.schedules import Schedule, flow_grpo

K, B, H, D = 5, 4, 3, 2
SCHEDULE = Schedule(flow_grpo, scale=0.5)


def velocity_under(weight: jax.Array):
    """A velocity that mixes entries, as a network does; weight [D, D]."""
    return lambda x, tau: jnp.tanh(x @ weight) - tau[:, None, None] * x


WEIGHT = 0.5 * jax.random.normal(jax.random.key(7), (D, D))


@functools.partial(compilation.jit, static_argnames=("schedule", "drift"))
def draw(chosen: jax.Array | None, schedule: Schedule, drift: sde.Drift) -> sde.Chain:
    noise_key, walk_key = jax.random.split(jax.random.key(0))
    return sde.sample(
        walk_key,
        velocity_under(WEIGHT),
        jax.random.normal(noise_key, (B, H, D)),
        steps=K,
        schedule=schedule,
        drift=drift,
        stochastic_step=chosen,
    )


def sampled(
    schedule: Schedule = SCHEDULE,
    drift: sde.Drift = sde.corrected,
    chosen: jax.Array | None = None,
) -> sde.Chain:
    return draw(chosen, schedule, drift)


@functools.partial(compilation.jit, static_argnames=("schedule", "drift"))
def scored(
    weight: jax.Array,
    chain: sde.Chain,
    mask: jax.Array | None = None,
    schedule: Schedule = SCHEDULE,
    drift: sde.Drift = sde.corrected,
) -> ChainScore:
    return log_prob.chain_log_prob(
        velocity_under(weight), chain, schedule=schedule, drift=drift, mask=mask
    )


def densities(chain: sde.Chain) -> np.ndarray:
    """The oracle: one log-density per entry of every step, [K, B, H, D]."""
    recorded = (chain.states[1:], chain.means, chain.stds)
    states, means, stds = (np.asarray(leaf, np.float64) for leaf in recorded)
    return scipy.stats.norm.logpdf(states, loc=means, scale=stds)


def test_matches_scipy() -> None:
    chain = sampled()
    score = scored(WEIGHT, chain)
    expected = densities(chain).sum(axis=(2, 3))
    np.testing.assert_allclose(score.log_prob, expected.sum(axis=0), rtol=1e-5)
    np.testing.assert_allclose(score.step_log_prob, expected, rtol=1e-5)
    chex.assert_type(score.log_prob, jnp.float32)


@pytest.mark.parametrize("schedule", [SCHEDULE, Schedule()])
@pytest.mark.parametrize("drift", sde.DRIFTS.values())
def test_the_first_ratio_is_one(schedule: Schedule, drift: sde.Drift) -> None:
    chain = sampled(schedule, drift)
    score = scored(WEIGHT, chain, schedule=schedule, drift=drift)
    np.testing.assert_allclose(score.means, chain.means, atol=1e-6)
    recorded = log_prob.recorded_log_prob(chain).log_prob
    ratio = jnp.exp((score.log_prob - recorded) / (H * K))
    # The quiet schedule ends with a deviation of .009, where float32 states resolve
    # a standard score to 1e-5.
    np.testing.assert_allclose(ratio, 1.0, atol=1e-6 if schedule == SCHEDULE else 1e-5)


def test_masks_restrict_the_entries() -> None:
    chain = sampled()
    by_entry = np.arange(H)[:, None] + np.arange(D) < 2
    by_sample = np.arange(B * H * D).reshape(B, H, D) % 3 == 0
    for mask in (by_entry, by_sample):
        score = log_prob.recorded_log_prob(chain, mask=jnp.asarray(mask))
        expected = np.where(mask, densities(chain), 0.0).sum(axis=(0, 2, 3))
        np.testing.assert_allclose(score.log_prob, expected, rtol=1e-5)
        other = scored(1.5 * WEIGHT, chain, jnp.asarray(mask))
        differs = np.asarray(other.means != chain.means)
        np.testing.assert_array_equal(differs, np.broadcast_to(mask, (K, B, H, D)))


def test_the_hybrid_mode_counts_its_one_step() -> None:
    chosen = np.array([0, 4, 2, 2])
    chain = sampled(chosen=jnp.asarray(chosen))
    full = scored(WEIGHT, chain)
    cut = compilation.jit(sde.stochastic_only)(chain)
    short = scored(WEIGHT, cut)
    expected = densities(cut).sum(axis=(0, 2, 3))
    np.testing.assert_allclose(full.log_prob, expected, rtol=1e-5)
    np.testing.assert_allclose(short.log_prob, expected, rtol=1e-5)


def test_steps_without_noise_give_finite_gradients() -> None:
    chain = sampled(chosen=jnp.array([0, 4, 2, 2]))

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
    def run(weight: jax.Array, chain: sde.Chain) -> ChainScore:
        velocity_fn = velocity_under(weight)
        return log_prob.chain_log_prob(velocity_fn, chain, schedule=SCHEDULE)

    once = compilation.jit(run)
    for scale in (1.0, 2.0):
        once(scale * WEIGHT, sampled())
