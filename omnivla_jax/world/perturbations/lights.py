"""Draws the lights of a room: colour, direction, gloss and shadow of its lamps.

LIBERO-Plus varies the same attributes of all lamps together; its values are not public,
so these ranges are ours. Axes: B environments, L lamps.
"""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from omnivla_jax.render.types import Lights
from omnivla_jax.world.perturbations import kinds

KINDS = kinds.DIMENSIONS["light"]
# Largest changes, up or down, relative to the nominal light.
BRIGHTNESS = 0.6
TINT = 0.3  # of a channel
GLOSS = 1.0  # of the specular light
MAX_TILT = 30.0  # degrees by which lamps turn along x and y


class LightChange(NamedTuple):
    """How the lamps differ from the room's; float32 but for the shadow."""

    brightness: jax.Array  # [B]: factor of all light
    tint: jax.Array  # [B, 3]: factor of the coloured light
    slope: jax.Array  # [B, 2]: tangent of the turn along x and y
    gloss: jax.Array  # [B]: factor of the specular light
    shadow: jax.Array  # bool [B]: whether the first lamp casts shadows


def no_change(batch: int) -> LightChange:
    """The room's own lights in `batch` environments."""
    one = jnp.ones(batch)
    return LightChange(
        brightness=one,
        tint=jnp.ones((batch, 3)),
        slope=jnp.zeros((batch, 2)),
        gloss=one,
        shadow=jnp.zeros(batch, bool),
    )


def draw(
    keys: jax.Array,
    active: jax.Array,
    *,
    severity: float | jax.Array = 1.0,
    split: str = "all",
) -> LightChange:
    """Draw changes of known kinds; a shadow has no size.

    Args:
      keys, severity, split: as of `perturbation.draw`.
      active: bool [B, 4], of `KINDS`.

    Returns:
      Leaves [B, ...].
    """
    chex.assert_shape(active, (len(keys), len(KINDS)))

    def one(key: jax.Array, active: jax.Array, severity: jax.Array) -> LightChange:
        bright_key, tint_key, tilt_key, gloss_key = jax.random.split(key, 4)
        diffuse, direction, specular = severity * active[:3]
        tilt = MAX_TILT * kinds.signed(tilt_key, split, direction, (2,))
        return LightChange(
            brightness=1 + BRIGHTNESS * kinds.signed(bright_key, split, diffuse),
            tint=1 + TINT * kinds.signed(tint_key, split, diffuse, (3,)),
            slope=jnp.tan(jnp.deg2rad(tilt)),
            gloss=1 + GLOSS * kinds.signed(gloss_key, split, specular),
            shadow=active[3] & (severity > 0),
        )

    return jax.vmap(one)(keys, active, jnp.broadcast_to(severity, keys.shape))


def apply(nominal: Lights, change: LightChange) -> Lights:
    """The lights of every environment; exact where nothing changes.

    Args:
      nominal: unbatched.
      change: leaves [B, ...].

    Returns:
      Leaves [B, ...].
    """
    nominal = jax.tree.map(jnp.asarray, nominal)

    def one(change: LightChange) -> Lights:
        colour = change.brightness * change.tint
        # Lamps are moved about the table, which turns their light by as much.
        height = nominal.position[:, 2:]
        shift = jnp.concatenate(
            [change.slope * height, jnp.zeros_like(height)], axis=-1
        )
        return nominal._replace(
            ambient=nominal.ambient * change.brightness,
            headlight=nominal.headlight * colour,
            diffuse=nominal.diffuse * colour,
            specular=nominal.specular * change.gloss,
            position=nominal.position + shift,
            direction=nominal.direction.at[:, :2].add(-change.slope),
            shadow=change.shadow,
        )

    return jax.vmap(one)(change)
