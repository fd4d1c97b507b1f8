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
BRIGHTNESS = (0.4, 1.6)  # of the nominal colours
TINT = 0.3  # relative spread of a channel
MAX_TILT = 60.0  # degrees between a lamp's direction and straight down
MAX_GLOSS = 2.0  # of the nominal specular light


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
    active = jnp.ones((len(keys), len(KINDS)), bool)
    change = draw_kinds(keys, active, severity=severity)
    return apply(nominal, change)._replace(shadow=None)


def draw_kinds(
    keys: jax.Array,
    active: jax.Array,
    *,
    severity: float | jax.Array = 1.0,
    split: str = "all",
) -> LightChange:
    """Draw changes of known kinds.

    Args:
      keys: typed keys [B]; consumed.
      active: bool [B, 4], which of `KINDS` each environment has.
      severity: in [0, 1], one or [B], scales all changes; above 0 there is a shadow.
      split: of `kinds.SPLITS`, where the numbers are from.

    Returns:
      Leaves [B, ...].
    """
    chex.assert_rank(keys, 1)
    chex.assert_shape(active, (len(keys), len(KINDS)))

    def one(key: jax.Array, active: jax.Array, severity: jax.Array) -> LightChange:
        bright_key, tint_key, tilt_key, gloss_key = jax.random.split(key, 4)
        diffuse, direction, specular = severity * active[:3]
        low, high = BRIGHTNESS
        bright = low + (high - low) * kinds.uniform(bright_key, split)
        tint = 1 + TINT * (2 * kinds.uniform(tint_key, split, (3,)) - 1)
        tilt = jnp.deg2rad(direction * MAX_TILT)
        gloss = MAX_GLOSS * kinds.uniform(gloss_key, split)
        return LightChange(
            brightness=1 + diffuse * (bright - 1),
            tint=1 + diffuse * (tint - 1),
            slope=jnp.tan(tilt * (kinds.uniform(tilt_key, split, (2,)) - 0.5)),
            gloss=1 + specular * (gloss - 1),
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
