"""The deterministic sampler: Euler steps along the velocity (paper, eq. 9).

Axes: B samples, H actions of a chunk, D action dimensions; K denoising steps.
"""

from typing import Callable, TypeAlias

import chex
import jax
import jax.numpy as jnp

# velocity_fn(x [B, H, D], tau [B]) -> [B, H, D], all float32; tau is 1 at the data.
VelocityFn: TypeAlias = Callable[[jax.Array, jax.Array], jax.Array]


def sample(
    velocity_fn: VelocityFn, noise: jax.Array, *, steps: int, taken: int | None = None
) -> jax.Array:
    """Noise [B, H, D] carried to the data: A^{tau + 1/K} = A^tau + v / K, K times.

    `taken`: how many of the K steps; None: all.
    """
    chex.assert_rank(noise, 3)

    def step(x: jax.Array, tau: jax.Array) -> tuple[jax.Array, None]:
        velocity = velocity_fn(x, jnp.broadcast_to(tau, x.shape[:1]))
        return x + velocity / steps, None

    data, _ = jax.lax.scan(step, noise, time_grid(steps)[:taken])
    return data


def time_grid(steps: int) -> jax.Array:
    """The times [K] at which the K steps begin: 0, 1/K, ..., 1 - 1/K."""
    if steps < 1:
        raise ValueError(f"A sampler needs at least one step, but steps is {steps}.")
    return jnp.arange(steps, dtype=jnp.float32) / steps
