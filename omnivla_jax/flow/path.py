"""The probability path, and THE time convention of this project, stated once.

Flow time tau runs from 0 (noise) to 1 (data):

    A^tau = (1 - tau) eps + tau A,    u = A - eps,    eps ~ N(0, I)

openpi and pi0.5 count the other way (t = 1 - tau): convert at the border, never here.

Axes: ... samples (usually B, or K, B), H actions of a chunk, D action dimensions.
"""

import chex
import jax
import jax.numpy as jnp

# pi0 draws its time (1 = noise) from Beta(1.5, 1), which favours noisy chunks; tau
# runs the other way, Beta(1, 1.5). Just below 1: no target is needed at the data.
TAU_BETA, TAU_LIMIT = 1.5, 0.999


def interpolate(noise: jax.Array, data: jax.Array, tau: jax.Array | float) -> jax.Array:
    """A^tau = (1 - tau) eps + tau A; noise and data [..., H, D], tau [...] or scalar.

    Paper, eq. 26.
    """
    chex.assert_equal_shape([noise, data])
    tau = over_chunk(tau, noise)
    return (1.0 - tau) * noise + tau * data


def target_velocity(noise: jax.Array, data: jax.Array) -> jax.Array:
    """u = A - eps, the velocity that flow matching regresses on (paper, eq. 26)."""
    chex.assert_equal_shape([noise, data])
    return data - noise


def draw_tau(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Flow times in [0, 0.999): Beta(1, 1.5), scaled; consumes `key`.

    By the inverse of its distribution function 1 - (1 - tau)^1.5: `jax.random.beta`
    is a rejection loop, which takes XLA long to compile.
    """
    uniform = jax.random.uniform(key, shape)
    return TAU_LIMIT * (1.0 - uniform ** (1.0 / TAU_BETA))


def score(x: jax.Array, velocity: jax.Array, tau: jax.Array | float) -> jax.Array:
    """grad_x log p_tau(x) = -(x - tau v) / (1 - tau), for tau in [0, 1).

    x, velocity [..., H, D], tau [...] or scalar. It follows from E[eps | x] =
    x - tau v, and diverges at the data, where no step of a sampler begins.
    """
    chex.assert_equal_shape([x, velocity])
    tau = over_chunk(tau, x)
    return -(x - tau * velocity) / (1.0 - tau)


def over_chunk(value: jax.Array | float, chunk: jax.Array) -> jax.Array:
    """One value per sample, [...] or a scalar, as [..., 1, 1] to meet [..., H, D].

    One value per entry, [..., H, D], stays as it is. An array of any other shape is an
    error: [K] would silently meet [B] when K = B.
    """
    samples = chunk.shape[:-2]
    value = jnp.asarray(value)
    if value.shape == chunk.shape:
        return value
    chex.assert_shape(value, samples if value.ndim else ())
    return jnp.broadcast_to(value, samples)[..., None, None]
