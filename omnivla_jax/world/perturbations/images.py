"""Noise of the agent's camera: LIBERO-Plus' corruptions, drawn afresh every frame.

Axes: B environments.
"""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from omnivla_jax.render import corruptions
from omnivla_jax.world.observe import ImageCorruption
from omnivla_jax.world.perturbations import kinds

NO_CORRUPTION = 0


class ImageNoise(NamedTuple):
    """One corruption of each episode."""

    number: jax.Array  # int32 [B]: NO_CORRUPTION, or 1 to 50
    seed: jax.Array  # uint32 [B]: of the frames' noise


def no_change(batch: int) -> ImageNoise:
    """Clean pictures of `batch` environments."""
    return ImageNoise(jnp.zeros(batch, jnp.int32), jnp.zeros(batch, jnp.uint32))


def draw(
    keys: jax.Array, active: jax.Array, *, severity: float | jax.Array = 1.0
) -> ImageNoise:
    """Draw noise of the active kinds; of several, the last.

    Args:
      keys, severity: as of `perturbation.draw`; a tenth is one of ten severities.
      active: bool [B, 5], of `corruptions.CORRUPTIONS`.

    Returns:
      Leaves [B].
    """
    chex.assert_shape(active, (len(keys), len(corruptions.CORRUPTIONS)))
    kind = jnp.max(
        jnp.where(active, jnp.arange(active.shape[1]), kinds.NO_KIND), axis=1
    )
    tenths = corruptions.SEVERITIES * jnp.broadcast_to(severity, keys.shape)
    # Tenths as float32 are a little off: 0.3 of 10 is to be 3.
    level = jnp.ceil(tenths - 1e-4).astype(jnp.int32)
    number = jnp.where(
        (kind >= 0) & (level > 0), corruptions.SEVERITIES * kind + level, NO_CORRUPTION
    )
    return ImageNoise(number.astype(jnp.int32), jax.vmap(jax.random.bits)(keys))


def of_frame(noise: ImageNoise, step: jax.Array) -> ImageCorruption:
    """The corruption of the pictures after some control steps.

    Args:
      noise: of B episodes.
      step: int32 [B], control steps since the reset.

    Returns:
      Its number and random key, leaves [B].
    """
    chex.assert_equal_shape([noise.number, step])

    def key(seed: jax.Array, step: jax.Array) -> jax.Array:
        return jax.random.fold_in(jax.random.key(seed), step)

    return ImageCorruption(noise.number, jax.vmap(key)(noise.seed, step))
