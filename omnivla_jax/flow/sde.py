"""The stochastic sampler: the flow's ODE turned into an SDE whose steps have densities.

    A^{tau+delta} ~ N(mean, std^2)      by one of `drifts.py` (paper, eq. 10-13)

Axes: K denoising steps, B samples, H actions of a chunk, D action dimensions. Axis 1 of
every array of a chain is B, so that chains are sliced into minibatches by one tree map.
"""

from typing import Callable, NamedTuple, TypeAlias

import chex
import jax
import jax.numpy as jnp

from omnivla_jax.flow import ode, path
from omnivla_jax.flow.drifts import Drift, corrected
from omnivla_jax.flow.ode import VelocityFn
from omnivla_jax.flow.schedules import Schedule


class NoisyVelocity(NamedTuple):
    """A velocity, and the deviation that a learned schedule gives the step along it."""

    velocity: jax.Array  # float32 [..., H, D]
    std: jax.Array | None  # float32 [..., H, D], positive; None: the schedule's alone


# flow_fn(x [B, H, D], tau [B]), of either kind.
FlowFn: TypeAlias = VelocityFn | Callable[[jax.Array, jax.Array], NoisyVelocity]


class Chain(NamedTuple):
    """One recorded run of the sampler: every state, and what it takes to score it."""

    states: jax.Array  # float32 [K + 1, B, H, D]: from noise to the action chunk
    means: jax.Array  # float32 [K, B, H, D]: of the transitions, as sampled
    stds: jax.Array  # float32 [K, B, 1, 1], learned [K, B, H, D]: 0 on an ODE step
    tau: jax.Array  # float32 [K, B]: where each step begins
    delta: jax.Array  # float32 [K, B]: how far it goes
    stochastic: jax.Array  # bool [K, B]: False on an ODE step, which has no density


def transition(
    x: jax.Array,
    velocity: jax.Array,
    tau: jax.Array | float,
    delta: jax.Array | float,
    *,
    sigma: jax.Array | float,
    drift: Drift = corrected,
) -> tuple[jax.Array, jax.Array]:
    """Mean [..., H, D] and deviation [..., 1, 1] of one step.

    x, velocity float32 [..., H, D]; tau, delta, sigma [...] or scalar, tau < 1. With
    sigma [..., H, D] the deviation has that shape, too. sigma = 0 gives the ODE's step
    exactly, under every drift.
    """
    chex.assert_equal_shape([x, velocity])
    chex.assert_type([x, velocity], jnp.float32)
    tau, delta, sigma = (jnp.asarray(v, jnp.float32) for v in (tau, delta, sigma))
    return drift(x, velocity, tau, delta, sigma)


def sample(
    key: jax.Array,
    velocity_fn: FlowFn,
    noise: jax.Array,
    *,
    steps: int,
    schedule: Schedule,
    drift: Drift = corrected,
    stochastic_step: jax.Array | None = None,
) -> Chain:
    """Noise float32 [B, H, D] carried to the data in K steps; the key is consumed.

    `velocity_fn` returns a `NoisyVelocity` for a learned schedule. `stochastic_step`
    int [B] in [0, K), or K - 1 under `cps`: only that step of each sample is stochastic
    and the others follow the ODE (pi_RL's hybrid); None: all are.
    """
    chex.assert_rank(noise, 3)
    tau, delta, is_stochastic = _grid(steps, len(noise), stochastic_step)

    def step(x: jax.Array, inputs: tuple[jax.Array, ...]) -> tuple[jax.Array, tuple]:
        step_key, tau, delta, is_stochastic = inputs
        velocity, learned_std = evaluate(velocity_fn, x, tau)
        sigma = noise_level(
            schedule, tau, delta, is_stochastic=is_stochastic, std=learned_std
        )
        mean, std = transition(x, velocity, tau, delta, sigma=sigma, drift=drift)
        state = mean + std * jax.random.normal(step_key, x.shape)
        return state, (state, mean, std)

    inputs = (jax.random.split(key, steps), tau, delta, is_stochastic)
    _, (states, means, stds) = jax.lax.scan(step, noise, inputs)
    states = jnp.concatenate([noise[None], states])
    return Chain(states, means, stds, tau, delta, jnp.any(stds > 0.0, axis=(2, 3)))


def evaluate(velocity_fn: FlowFn, x: jax.Array, tau: jax.Array) -> NoisyVelocity:
    """The velocity at x [B, H, D] and tau [B]; `std` None where it comes alone."""
    output = velocity_fn(x, tau)
    return output if isinstance(output, NoisyVelocity) else NoisyVelocity(output, None)


def noise_level(
    schedule: Schedule,
    tau: jax.Array,
    delta: jax.Array,
    *,
    is_stochastic: jax.Array,
    std: jax.Array | None,
) -> jax.Array:
    """sigma of steps, [...] or with `std` [..., H, D]; 0 where not stochastic."""
    sigma = schedule(tau, delta, std=std)
    if std is not None:
        is_stochastic = path.over_chunk(is_stochastic, std)
    return jnp.where(is_stochastic, sigma, 0.0)


def select_stochastic_step(chain: Chain) -> Chain:
    """A hybrid chain cut down to the one step that has a density: K becomes 1.

    Scoring it takes one velocity call instead of K. Its last state is that step's
    outcome, no longer the action chunk.
    """
    index = jnp.argmax(chain.stochastic, axis=0)  # [B]

    def pick(leaf: jax.Array, shift: int = 0) -> jax.Array:
        where = (index + shift).reshape(1, -1, *(1,) * (leaf.ndim - 2))
        return jnp.take_along_axis(leaf, where, axis=0)

    states = jnp.concatenate([pick(chain.states), pick(chain.states, 1)])
    return Chain(states, *(pick(leaf) for leaf in chain[1:]))


def _grid(
    steps: int, batch: int, stochastic_step: jax.Array | None
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """tau and delta of every step, float32 [K, B], and bool: may it be stochastic?"""
    tau = jnp.broadcast_to(ode.time_grid(steps)[:, None], (steps, batch))
    delta = jnp.full((steps, batch), 1.0 / steps, jnp.float32)
    if stochastic_step is None:
        return tau, delta, jnp.ones((steps, batch), bool)
    chex.assert_shape(stochastic_step, (batch,))
    is_stochastic = jnp.arange(steps)[:, None] == stochastic_step[None, :]
    return tau, delta, is_stochastic
