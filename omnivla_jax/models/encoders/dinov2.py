"""DINOv2 with registers: the vision transformer that turns VGGT's pictures into tokens.

Axes: B pictures, S image side, G patches per side of the position table, P patches of
the picture, R register tokens, E width.
"""

from dataclasses import dataclass

import chex
import jax
import jax.numpy as jnp
from flax import linen as nn

from omnivla_jax.core import precision
from omnivla_jax.models.encoders.vit import (
    PatchEmbed,
    VitBlock,
    VitConfig,
    position_embedding,
    scan_blocks,
)
from omnivla_jax.models.layers import LayerNorm


@dataclass(frozen=True)
class DinoConfig:
    """What a DINOv2 adds to the sizes of its `VitConfig`.

    `grid`: patches per side at the resolution of its training; the position table is
    resized for pictures of another size.
    """

    grid: int
    registers: int


VGGT_DINO = DinoConfig(grid=37, registers=4)  # 518 / 14 pixels


class Dinov2(nn.Module):
    """Pictures float32 [B, S, S, 3], ImageNet-normalised -> [B, 1 + R + P, E], normed.

    Tokens are the class, the registers and the patches, row by row. The registers
    have no position. (Oquab et al. 2023; Darcet et al. 2023; the release's layout.)
    """

    config: VitConfig
    dino: DinoConfig

    @nn.compact
    def __call__(self, images: jax.Array) -> jax.Array:
        config, size = self.config, self.config.image_size
        chex.assert_shape(images, (None, size, size, 3))
        patches = PatchEmbed(config, name="stem")(images)
        patches = patches.reshape(-1, config.grid**2, config.width)
        shape = (1 + self.dino.grid**2, config.width)
        where = position_embedding(self, "pos_embedding", shape)
        class_token = position_embedding(self, "class_token", (1, config.width))
        registers = (self.dino.registers, config.width)
        leading = [class_token + where[:1]]
        leading.append(position_embedding(self, "register_tokens", registers))
        patches = patches + resize_positions(where[1:], config.grid)
        first = jnp.broadcast_to(
            jnp.concatenate(leading), (len(patches), 1 + registers[0], config.width)
        )
        x = precision.to_compute(jnp.concatenate([first, patches], axis=1))
        block = VitBlock(
            config.heads,
            config.mlp_dim,
            layer_scale=1.0,
            exact_gelu=True,
            name="blocks",
        )
        return LayerNorm(name="encoder_norm")(scan_blocks(block, x, config))


def resize_positions(table: jax.Array, grid: int) -> jax.Array:
    """A table [G * G, E] for `grid` patches per side: [grid * grid, E], float32.

    Bicubic and antialiased, as in VGGT's release (its offset of 0.0).
    """
    chex.assert_rank(table, 2)
    native = round(len(table) ** 0.5)
    if native == grid:
        return table
    square = table.reshape(native, native, -1)
    resized = jax.image.resize(square, (grid, grid, square.shape[-1]), "cubic")
    return resized.reshape(grid * grid, -1)
