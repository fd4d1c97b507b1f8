"""Draws the surfaces of a scene: colours and textures of all its materials.

Axes: B environments, m materials.
"""

import chex
import jax
import jax.numpy as jnp

from omnivla_jax.render.types import TEXTURES, Materials
from omnivla_jax.world.perturbations import kinds

# Textures are at most twice as large or half as large as nominal ones.
TINT = 0.5  # largest change of a colour's channel
SWAPPED_TEXTURES = ("plain", "checker", "wood", "marble", "tile", "cloth", "stripes")
SWAP_SHARE = 0.3  # of the materials that get another texture


def draw(
    keys: jax.Array,
    nominal: Materials,
    *,
    severity: float | jax.Array = 1.0,
    split: str = "all",
) -> Materials:
    """Draw other colours and textures for every material of every environment.

    Args:
      keys, severity, split: as of `perturbation.draw`.
      nominal: m materials, unbatched.

    Returns:
      Leaves [B, m, ...].
    """
    chex.assert_rank(keys, 1)
    nominal = jax.tree.map(jnp.asarray, nominal)
    count = len(nominal.texture)
    names = [SWAPPED_TEXTURES[i] for i in kinds.allowed(len(SWAPPED_TEXTURES), split)]
    known = jnp.array([TEXTURES.index(name) for name in names], jnp.int32)

    def one(key: jax.Array, severity: jax.Array) -> Materials:
        tint_key, shade_key, swap_key, texture_key, scale_key = jax.random.split(key, 5)
        tint = TINT * kinds.signed(tint_key, split, severity, (count, 3))
        shade = TINT / 4 * kinds.signed(shade_key, split, severity, (count, 1))
        swaps = jax.random.bernoulli(swap_key, severity * SWAP_SHARE, (count,))
        choice = jax.random.randint(texture_key, (count,), 0, len(known))
        octaves = kinds.signed(scale_key, split, severity, (count,))
        return nominal._replace(
            rgb=jnp.clip(nominal.rgb + tint, 0.0, 1.0),
            rgb2=jnp.clip(nominal.rgb2 + tint + shade, 0.0, 1.0),
            texture=jnp.where(swaps, known[choice], nominal.texture),
            scale=nominal.scale * jnp.exp2(octaves),
        )

    return jax.vmap(one)(keys, jnp.broadcast_to(severity, keys.shape))
