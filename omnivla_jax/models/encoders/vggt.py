"""VGGT's aggregator: tokens of several views, related by alternating attention.

Axes: B batch, V camera views, S image side, P patches, R register tokens, E width,
T = 1 + R + P tokens per view (camera, registers, patches).
"""

import functools

import chex
import jax
import jax.numpy as jnp
from flax import linen as nn

from omnivla_jax.core import precision
from omnivla_jax.models.encoders.dinov2 import DinoConfig, Dinov2
from omnivla_jax.models.encoders.rope2d import PlanarRotation, planar_rotation
from omnivla_jax.models.encoders.vit import (
    PatchEmbed,
    VitBlock,
    VitConfig,
    position_embedding,
    scan_blocks,
)
from omnivla_jax.models.layers import EPSILON

RELEASED_EPSILON = 1e-5  # of the release's alternating blocks; its DINOv2 has 1e-6
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

VGGT_1B = VitConfig(
    image_size=224,
    strides=(14,),
    stem_width=1024,
    width=1024,
    mlp_dim=4096,
    depth=24,
    heads=16,
    layer_scale=0.01,
    remat="full",
)


class Aggregator(nn.Module):
    """Images float32 [B, V, S, S, 3] in [-1, 1] -> [B, V, T, 2 E], frame and global.

    `config.depth` rounds attend inside every view (frame), then over all views at once
    (global); the last features of both are concatenated. The first view has camera and
    register tokens of its own, which makes it the reference frame.
    `dino` gives the release: DINOv2 of the same sizes encodes the patches, and blocks
    know places by 2-D RoPE. None leaves a convolutional stem with learned places, which
    a small model can train from scratch.
    """

    config: VitConfig
    registers: int
    dino: DinoConfig | None

    @nn.compact
    def __call__(self, images: jax.Array) -> jax.Array:
        config, size = self.config, self.config.image_size
        batch, views = images.shape[:2]
        chex.assert_shape(images, (batch, views, size, size, 3))
        patches = self._patches(images.reshape(-1, size, size, 3))
        patches = patches.reshape(batch, views, config.grid**2, config.width)
        special = precision.to_compute(self._special_tokens(batch, views))
        x = jnp.concatenate([special, patches], axis=2)
        # Checkpoints know the alternating blocks as "rounds".
        blocks = AlternatingBlock(config, self.dino is not None, name="rounds")
        x, frame = scan_blocks(blocks, (x, x), config, self._turn())
        return jnp.concatenate([frame, x], axis=-1)

    def _patches(self, images: jax.Array) -> jax.Array:
        if self.dino is None:
            x = PatchEmbed(self.config, name="stem")(images)
            table = (self.config.grid**2, self.config.width)
            x = x.reshape(-1, *table) + position_embedding(self, "pos_embedding", table)
            return precision.to_compute(x)
        mean, std = jnp.array(IMAGENET_MEAN), jnp.array(IMAGENET_STD)
        tokens = Dinov2(self.config, self.dino, name="dino")(
            ((images + 1) / 2 - mean) / std
        )
        return tokens[:, 1 + self.dino.registers :]

    def _turn(self) -> PlanarRotation | None:
        if self.dino is None:
            return None
        channels = self.config.width // self.config.heads
        return planar_rotation(self.config.grid, channels, special=1 + self.registers)

    def _special_tokens(self, batch: int, views: int) -> jax.Array:
        """Camera and registers [B, V, 1 + R, E]: one set for view 0, one for others."""
        shape = (2, 1 + self.registers, self.config.width)
        table = position_embedding(self, "special_tokens", shape)
        chosen = table[jnp.minimum(jnp.arange(views), 1)]
        return jnp.broadcast_to(chosen, (batch, *chosen.shape))


class AlternatingBlock(nn.Module):
    """One frame and one global block: (x, _) -> (x, frame), each [B, V, T, E].

    `released`: gelu and epsilon as in VGGT's release.
    """

    config: VitConfig
    released: bool

    @nn.compact
    def __call__(
        self, carried: tuple[jax.Array, jax.Array], turn: PlanarRotation | None
    ) -> tuple[jax.Array, jax.Array]:
        block = functools.partial(
            VitBlock,
            self.config.heads,
            self.config.mlp_dim,
            self.config.layer_scale,
            qk_norm=True,
            exact_gelu=self.released,
            epsilon=RELEASED_EPSILON if self.released else EPSILON,
        )
        x, _ = carried
        batch, views, tokens, width = x.shape
        alone = x.reshape(batch * views, tokens, width)
        frame = block(name="frame")(alone, turn).reshape(x.shape)
        joint = frame.reshape(batch, views * tokens, width)
        # The same places in each view: [1, T, ...] -> [1, V * T, ...].
        everywhere = jax.tree.map(lambda table: jnp.tile(table, (1, views, 1)), turn)
        return block(name="global")(joint, everywhere).reshape(x.shape), frame
