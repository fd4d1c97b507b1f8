"""Draws the surfaces of a scene: colours and textures of all its materials.

Axes: B environments, m materials.
"""

import chex
import jax
import jax.numpy as jnp

from omnivla_jax.render.types import TEXTURES, Materials

TINT = 0.5  # largest change of a colour's channel
SWAPPED_TEXTURES = ("plain", "checker", "wood", "marble", "tile", "cloth", "stripes")
SWAP_SHARE = 0.3  # of the materials that get another texture
SCALES = (0.5, 2.0)  # of the nominal size of a texture


def draw(
    keys: jax.Array, nominal: Materials, *, severity: float | jax.Array = 1.0
) -> Materials:
    """Draw other colours and textures for every material of every environment.

    Args:
      keys: typed keys [B]; consumed.
      nominal: m materials, unbatched.
      severity: in [0, 1], one or [B], scales the changes of colours and the share of
        textures that are swapped; 0 gives the nominal materials.

    Returns:
      Leaves [B, m, ...].
    """
    chex.assert_rank(keys, 1)
    nominal = jax.tree.map(jnp.asarray, nominal)
    count = len(nominal.texture)
    known = jnp.array([TEXTURES.index(name) for name in SWAPPED_TEXTURES], jnp.int32)

    def one(key: jax.Array, severity: jax.Array) -> Materials:
        tint_key, shade_key, swap_key, texture_key, scale_key = jax.random.split(key, 5)
        tint = jax.random.uniform(tint_key, (count, 3), minval=-TINT, maxval=TINT)
        shade = jax.random.uniform(
            shade_key, (count, 1), minval=-TINT / 4, maxval=TINT / 4
        )
        swaps = jax.random.bernoulli(swap_key, severity * SWAP_SHARE, (count,))
        choice = jax.random.randint(texture_key, (count,), 0, len(known))
        factor = jax.random.uniform(
            scale_key, (count,), minval=jnp.log(SCALES[0]), maxval=jnp.log(SCALES[1])
        )
        return nominal._replace(
            rgb=jnp.clip(nominal.rgb + severity * tint, 0.0, 1.0),
            rgb2=jnp.clip(nominal.rgb2 + severity * (tint + shade), 0.0, 1.0),
            texture=jnp.where(swaps, known[choice], nominal.texture),
            scale=nominal.scale * jnp.exp(severity * factor),
        )

    return jax.vmap(one)(keys, jnp.broadcast_to(severity, keys.shape))
