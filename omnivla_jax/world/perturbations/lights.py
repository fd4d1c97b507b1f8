"""Draws the lights of a room: colour, direction and gloss of its lamps.

LIBERO-Plus varies the same attributes of all lamps together; its values are not public,
so these ranges are ours. Axes: B environments, L lamps.
"""

import chex
import jax
import jax.numpy as jnp

from omnivla_jax.render.types import Lights

BRIGHTNESS = (0.4, 1.6)  # of the nominal colours
TINT = 0.3  # relative spread of a channel
MAX_TILT = 60.0  # degrees between a lamp's direction and straight down


def draw(
    keys: jax.Array, nominal: Lights, *, severity: float | jax.Array = 1.0
) -> Lights:
    """Draw one change of colour, direction and gloss for all lamps of a room.

    Args:
      keys: typed keys [B]; consumed.
      nominal: unbatched.
      severity: in [0, 1], one or [B], scales all changes; 0 gives the nominal lights.

    Returns:
      Leaves [B, ...].
    """
    chex.assert_rank(keys, 1)
    nominal = jax.tree.map(jnp.asarray, nominal)

    def one(key: jax.Array, severity: jax.Array) -> Lights:
        bright_key, tint_key, tilt_key, gloss_key = jax.random.split(key, 4)
        bright = jax.random.uniform(
            bright_key, (), minval=BRIGHTNESS[0], maxval=BRIGHTNESS[1]
        )
        tint = 1 + TINT * jax.random.uniform(tint_key, (3,), minval=-1.0, maxval=1.0)
        colour = 1 + severity * (bright * tint - 1)
        gloss = 1 + severity * (jax.random.uniform(gloss_key, (), maxval=2.0) - 1)
        # Lamps are moved about the table, which turns their light by as much.
        tilt = jnp.deg2rad(severity * MAX_TILT)
        slope = jnp.tan(
            tilt * jax.random.uniform(tilt_key, (2,), minval=-0.5, maxval=0.5)
        )
        height = nominal.position[:, 2:]
        shift = jnp.concatenate([slope * height, jnp.zeros_like(height)], axis=-1)
        turned = nominal.direction.at[:, :2].add(-slope)
        return nominal._replace(
            ambient=nominal.ambient * (1 + severity * (bright - 1)),
            headlight=nominal.headlight * colour,
            diffuse=nominal.diffuse * colour,
            specular=nominal.specular * gloss,
            position=nominal.position + shift,
            direction=turned,
        )

    return jax.vmap(one)(keys, jnp.broadcast_to(severity, keys.shape))
