"""The spatial expert's eye: a VGGT-like encoder that relates the camera views.

Axes: B batch, V camera views, S image side, P patches, R register tokens, E width,
T = 1 + R + P tokens per view (camera, registers, patches).
"""

import chex
import jax
import jax.numpy as jnp
from flax import linen as nn

from omnivla_jax.models.layers import Dense, LayerNorm
from omnivla_jax.models.vit import Stem, VitBlock, VitConfig, position_embedding

LAYER_SCALE = 0.01  # VGGT's start value: blocks begin close to the identity


class SpatialEncoder(nn.Module):
    """Images float32 [B, V, S, S, 3] in [-1, 1] -> tokens [B, V * T, features].

    Each of `config.depth` rounds attends inside every view (frame) and then over all
    views at once (global). The last frame and global features are concatenated, as in
    VGGT, and projected. The first view has camera and register tokens of its own,
    which makes it the reference frame. Learned positions stand in for 2-D RoPE.
    """

    config: VitConfig
    registers: int
    features: int

    @nn.compact
    def __call__(self, images: jax.Array) -> jax.Array:
        config = self.config
        size = config.image_size
        batch, views = images.shape[:2]
        chex.assert_shape(images, (batch, views, size, size, 3))
        patches = Stem(config, name="stem")(images.reshape(-1, size, size, 3))
        patches = patches.reshape(batch, views, config.tokens, config.width)
        table = (config.tokens, config.width)
        patches = patches + position_embedding(self, "pos_embedding", table)
        x = jnp.concatenate([self._special_tokens(batch, views), patches], axis=2)
        frame = x
        for i in range(config.depth):
            alone = x.reshape(batch * views, -1, config.width)
            frame = self._block(f"frame_{i}", alone).reshape(x.shape)
            joint = frame.reshape(batch, -1, config.width)
            x = self._block(f"global_{i}", joint).reshape(x.shape)
        both = jnp.concatenate([frame, x], axis=-1).reshape(batch, -1, 2 * config.width)
        both = LayerNorm(name="encoder_norm")(both)
        return Dense(self.features, ("embed", None), name="head")(both)

    def _block(self, name: str, x: jax.Array) -> jax.Array:
        block = VitBlock(
            self.config.heads, self.config.mlp_dim, LAYER_SCALE, qk_norm=True, name=name
        )
        return block(x)

    def _special_tokens(self, batch: int, views: int) -> jax.Array:
        """Camera and registers [B, V, 1 + R, E]: one set for view 0, one for others."""
        shape = (2, 1 + self.registers, self.config.width)
        table = position_embedding(self, "special_tokens", shape)
        chosen = table[jnp.minimum(jnp.arange(views), 1)]
        return jnp.broadcast_to(chosen, (batch, *chosen.shape))


def tokens_per_view(config: VitConfig, registers: int) -> int:
    """T: one camera token, the registers and the patches."""
    return 1 + registers + config.tokens
