"""The reasoning expert's encoder: a SigLIP-like vision transformer, image by image.

Axes: B batch, V camera views, S image side, P tokens per view, E width.
"""

import chex
import jax
from flax import linen as nn

from omnivla_jax.core import precision
from omnivla_jax.models.encoders.vit import (
    PatchEmbed,
    PatchMerge,
    VitBlock,
    VitConfig,
    position_embedding,
    scan_blocks,
)
from omnivla_jax.models.layers import LayerNorm


class Siglip(nn.Module):
    """Images float32 [B, V, S, S, 3] in [-1, 1] -> tokens [B, V * P, features].

    Patches, learned positions, pre-norm blocks, a final norm and a linear head, with
    no pooling (openpi's use of So400m/14). Two differences: positions are learned per
    view, because a small model cannot tell the cameras apart by what they show, and
    the head may merge neighbouring patches (`VitConfig.merge`).
    """

    config: VitConfig
    features: int

    @nn.compact
    def __call__(self, images: jax.Array) -> jax.Array:
        config = self.config
        size = config.image_size
        batch, views = images.shape[:2]
        chex.assert_shape(images, (batch, views, size, size, 3))
        x = PatchEmbed(config, name="stem")(images.reshape(-1, size, size, 3))
        table = (views, config.grid**2, config.width)
        where = position_embedding(self, "pos_embedding", table)
        x = precision.to_compute(x.reshape(batch, *table) + where)
        x = x.reshape(batch * views, config.grid**2, config.width)
        block = VitBlock(config.heads, config.mlp_dim, name="blocks")
        x = scan_blocks(block, x, config)
        x = LayerNorm(name="encoder_norm")(x)
        x = x.reshape(batch * views, config.grid, config.grid, config.width)
        x = PatchMerge(config.merge, self.features, name="merge")(x)
        return x.reshape(batch, views * config.tokens, self.features)
