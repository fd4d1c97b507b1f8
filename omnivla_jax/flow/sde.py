"""The stochastic sampler: the flow's ODE turned into an SDE whose steps have densities.

    A^{tau+delta} ~ N(mean, std^2)      by one of `drifts.py` (paper, eq. 10-13)

Axes: K denoising steps, B samples, H actions of a chunk, D action dimensions. Axis 1 of
every array of a chain is B, so that chains are sliced into minibatches by one tree map.
"""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from omnivla_jax.flow import ode
from omnivla_jax.flow.drifts import (
    DRIFTS,
    Drift,
    corrected,
    cps,
    noisy_steps,
    none,
    paper,
)
from omnivla_jax.flow.ode import VelocityFn
from omnivla_jax.flow.schedules import Schedule

__all__ = [
    "DRIFTS",
    "Chain",
    "Drift",
    "corrected",
    "cps",
    "noisy_steps",
    "none",
    "paper",
    "sample",
    "stochastic_only",
    "transition",
]


class Chain(NamedTuple):
    """One recorded run of the sampler: every state, and what it takes to score it."""

    states: jax.Array  # float32 [K + 1, B, H, D]: from noise to the action chunk
    means: jax.Array  # float32 [K, B, H, D]: of the transitions, as sampled
    stds: jax.Array  # float32 [K, B, 1, 1]: their deviation, 0 on an ODE step
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

    x, velocity float32 [..., H, D]; tau, delta, sigma [...] or scalar, tau < 1.
    sigma = 0 gives the ODE's step exactly, under every drift.
    """
    chex.assert_equal_shape([x, velocity])
    chex.assert_type([x, velocity], jnp.float32)
    tau, delta, sigma = (jnp.asarray(v, jnp.float32) for v in (tau, delta, sigma))
    return drift(x, velocity, tau, delta, sigma)


def sample(
    key: jax.Array,
    velocity_fn: VelocityFn,
    noise: jax.Array,
    *,
    steps: int,
    schedule: Schedule,
    drift: Drift = corrected,
    stochastic_step: jax.Array | None = None,
) -> Chain:
    """Noise float32 [B, H, D] carried to the data in K steps; the key is consumed.

    `stochastic_step` int [B] in [0, noisy_steps(drift, K)): only that step of each
    sample is stochastic and the others follow the ODE (pi_RL's hybrid); None: all are.
    """
    chex.assert_rank(noise, 3)
    tau, delta, sigma = _grid(schedule, steps, len(noise), stochastic_step)

    def step(x: jax.Array, inputs: tuple[jax.Array, ...]) -> tuple[jax.Array, tuple]:
        step_key, tau, delta, sigma = inputs
        velocity = velocity_fn(x, tau)
        mean, std = transition(x, velocity, tau, delta, sigma=sigma, drift=drift)
        state = mean + std * jax.random.normal(step_key, x.shape)
        return state, (state, mean, std)

    inputs = (jax.random.split(key, steps), tau, delta, sigma)
    _, (states, means, stds) = jax.lax.scan(step, noise, inputs)
    states = jnp.concatenate([noise[None], states])
    return Chain(states, means, stds, tau, delta, jnp.any(stds > 0.0, axis=(2, 3)))


def stochastic_only(chain: Chain) -> Chain:
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
    schedule: Schedule, steps: int, batch: int, stochastic_step: jax.Array | None
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """tau, delta and sigma of every step, each float32 [K, B]."""
    tau = jnp.broadcast_to(ode.time_grid(steps)[:, None], (steps, batch))
    delta = jnp.full((steps, batch), 1.0 / steps, jnp.float32)
    sigma = schedule(tau, delta)
    if stochastic_step is not None:
        chex.assert_shape(stochastic_step, (batch,))
        chosen = jax.nn.one_hot(stochastic_step, steps, axis=0, dtype=jnp.float32)
        sigma = sigma * chosen
    return tau, delta, sigma
