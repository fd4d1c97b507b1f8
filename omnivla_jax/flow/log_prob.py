"""Likelihoods of recorded chains: as sampled, and again under new parameters.

    log pi(A | s) = sum_k log N(A^{tau_k + delta} | mu_k, sigma_k^2 delta I)   (eq. 14)

Summed over the H x D entries that count; the initial noise is no part of it, because
no parameter moves it. Float32 throughout.

Axes: K denoising steps, B samples, H actions of a chunk, D action dimensions.
"""

import functools
import math
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from omnivla_jax.core.types import Score
from omnivla_jax.flow import drifts, sde
from omnivla_jax.flow.schedules import Schedule


class Transitions(NamedTuple):
    """The Gaussian of every denoising step: the distribution of a flow's `Score`."""

    # Masked entries hold the recorded mean, so that `new.means - old.means` is 0 there.
    means: jax.Array  # float32 [K, B, H, D]
    stds: jax.Array  # float32 [K, B, 1, 1] or [K, B, H, D]: 0 on ODE steps


def chain_log_prob(
    velocity_fn: sde.FlowFn,
    chain: sde.Chain,
    *,
    schedule: Schedule,
    drift: drifts.Drift = drifts.corrected,
    mask: jax.Array | None = None,
) -> Score:
    """Score a chain under `velocity_fn`, at the states it went through (eq. 14).

    `schedule` and `drift` are those it was sampled with; `mask` bool [B, H, D] or
    [H, D] says which entries count (None: all). Steps without noise count 0. Under a
    learned schedule the deviations, too, are those of `velocity_fn`.

    The K velocities come from one call mapped over K: a matrix product with shared
    weights becomes a single large one, and whatever `velocity_fn` closes over per
    sample (the prefix cache) is shared by the steps rather than copied K times.
    """
    evaluate = functools.partial(sde.evaluate, velocity_fn)
    velocities, std = jax.vmap(evaluate)(chain.states[:-1], chain.tau)
    tau, delta, is_stochastic = chain.tau, chain.delta, chain.stochastic
    means, stds = sde.transition(
        chain.states[:-1],
        velocities,
        tau,
        delta,
        sigma=sde.noise_level(
            schedule, tau, delta, is_stochastic=is_stochastic, std=std
        ),
        drift=drift,
    )
    chex.assert_equal_shape([means, chain.means])
    counted = _counted(chain, mask)
    means = jnp.where(counted, means, chain.means)
    # Deviations that no parameter changes are the recorded ones: equal, whatever XLA
    # fuses.
    stds = jnp.where(counted, stds, chain.stds) if schedule.learned else chain.stds
    return _score(chain, means, stds, counted)


def recorded_log_prob(chain: sde.Chain, *, mask: jax.Array | None = None) -> Score:
    """Score a chain under the parameters that sampled it: no velocity is computed."""
    return _score(chain, chain.means, chain.stds, _counted(chain, mask))


def _score(
    chain: sde.Chain, means: jax.Array, stds: jax.Array, counted: jax.Array
) -> Score:
    chex.assert_equal_shape([stds, chain.stds])
    chex.assert_type([means, chain.states, stds], jnp.float32)
    # Both branches of a `where` are differentiated: 0 / 0 must not arise in either.
    std = jnp.where(chain.stochastic[..., None, None], stds, 1.0)
    z = (chain.states[1:] - means) / std
    density = -0.5 * z**2 - jnp.log(std) - 0.5 * math.log(2.0 * math.pi)
    density = jnp.where(counted, density, 0.0)
    # Two separate reductions, so that XLA removes the one that is not used.
    total, by_step = jnp.sum(density, axis=(0, 2, 3)), jnp.sum(density, axis=(2, 3))
    return Score(total, by_step, chain.stochastic, Transitions(means, stds))


def _counted(chain: sde.Chain, mask: jax.Array | None) -> jax.Array:
    """Which entries of which steps have a density that counts, bool [K, B, H, D]."""
    shape = chain.means.shape
    counted = jnp.broadcast_to(chain.stochastic[..., None, None], shape)
    if mask is None:
        return counted
    chex.assert_type(mask, jnp.bool_)
    chex.assert_shape(mask, shape[-mask.ndim :])
    return counted & jnp.broadcast_to(mask, shape)
