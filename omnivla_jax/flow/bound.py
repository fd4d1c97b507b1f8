"""A bound in place of a chain's likelihood: how well a velocity denoises a chunk.

    log p(A) >= -E ‖v(A^τ, τ) - (A - ε)‖² w(τ) + const,    w = 1 here

The same draws of noise and time under two policies give a ratio without any stochastic
sampler (FPO, arXiv 2507.21053). Each draw is scored as if the target A - ε were normal
around the velocity with deviation 1, so that its divergence is ‖v_θ - v‖² / 2.

Axes: J draws of (noise, tau), B samples, H actions of a chunk, D action dimensions.
"""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from omnivla_jax.core.types import Score
from omnivla_jax.flow import path
from omnivla_jax.flow.log_prob import Transitions
from omnivla_jax.flow.ode import VelocityFn


class Draws(NamedTuple):
    """What it takes to score a chunk again: the same noises, and what was predicted."""

    target: jax.Array  # float32 [J, B, H, D]: A - ε
    mixed: jax.Array  # float32 [J, B, H, D]: A^τ
    tau: jax.Array  # float32 [J, B]
    velocity: jax.Array  # float32 [J, B, H, D]: by the policy that acted


def record(
    key: jax.Array, velocity_fn: VelocityFn, chunk: jax.Array, tau: jax.Array
) -> Draws:
    """Draw J noises for each chunk and predict their velocities.

    Args:
      key: of the noise; consumed.
      velocity_fn: of the policy that acted.
      chunk: float32 [B, H, D].
      tau: float32 [J, B], the times, in [0, 1).

    Returns:
      The draws.
    """
    chex.assert_rank([chunk, tau], [3, 2])
    noise = jax.random.normal(key, (len(tau), *chunk.shape))
    whole = jnp.broadcast_to(chunk, noise.shape)
    mixed = path.interpolate(noise, whole, tau)
    velocity = jax.vmap(velocity_fn)(mixed, tau)
    return Draws(path.target_velocity(noise, whole), mixed, tau, velocity)


def score(
    velocity_fn: VelocityFn, draws: Draws, *, mask: jax.Array | None = None
) -> Score:
    """Score recorded draws under `velocity_fn`.

    Args:
      velocity_fn: of any policy.
      draws: as recorded.
      mask: bool [B, H, D] or [H, D], the entries that count; None: all.

    Returns:
      The score, J in place of K; every draw has a density.
    """
    velocity = jax.vmap(velocity_fn)(draws.mixed, draws.tau)
    return recorded_score(draws._replace(velocity=velocity), mask=mask)


def recorded_score(draws: Draws, *, mask: jax.Array | None = None) -> Score:
    """Score recorded draws by the velocities that they hold.

    Args:
      draws, mask: as of `score`.

    Returns:
      The score under the policy that acted.
    """
    chex.assert_equal_shape([draws.velocity, draws.target])
    chex.assert_type([draws.velocity, draws.target], jnp.float32)
    # Masked entries are the targets themselves: they differ under no policy.
    velocity = draws.velocity
    if mask is not None:
        chex.assert_type(mask, jnp.bool_)
        chex.assert_shape(mask, velocity.shape[-mask.ndim :])
        counted = jnp.broadcast_to(mask, velocity.shape)
        velocity = jnp.where(counted, velocity, draws.target)
    by_draw = -0.5 * jnp.sum((velocity - draws.target) ** 2, axis=(2, 3))
    ones = jnp.ones((*draws.tau.shape, 1, 1), jnp.float32)
    return Score(
        jnp.sum(by_draw, axis=0),
        by_draw,
        jnp.ones(draws.tau.shape, bool),
        Transitions(velocity, ones),
    )
