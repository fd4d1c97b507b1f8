"""The spatial expert's encoder: VGGT's aggregator, projected into the expert's stream.

Axes: B batch, V camera views, S image side, R register tokens, P patches,
T = 1 + R + P / merge^2 tokens per view.
"""

import jax
import jax.numpy as jnp
from flax import linen as nn

from omnivla_jax.models.encoders.dinov2 import DinoConfig
from omnivla_jax.models.encoders.vggt import Aggregator
from omnivla_jax.models.encoders.vit import PatchMerge, VitConfig
from omnivla_jax.models.layers import Dense, LayerNorm


class SpatialEncoder(nn.Module):
    """Images float32 [B, V, S, S, 3] in [-1, 1] -> tokens [B, V * T, features].

    The aggregator relates all patches; only then are neighbours merged, so that the
    expert's stream stays short. `dino`: None for a small encoder of our own, or
    VGGT's (`vggt.Aggregator`).
    """

    config: VitConfig
    registers: int
    features: int
    dino: DinoConfig | None

    @nn.compact
    def __call__(self, images: jax.Array) -> jax.Array:
        config, (batch, views) = self.config, images.shape[:2]
        aggregator = Aggregator(config, self.registers, self.dino, name="aggregator")
        both = LayerNorm(name="encoder_norm")(aggregator(images))
        head = Dense(self.features, ("embed", None), name="head")
        if config.merge == 1:
            return head(both.reshape(batch, -1, both.shape[-1]))
        special, patches = jnp.split(both, [1 + self.registers], axis=2)
        patches = patches.reshape(-1, config.grid, config.grid, both.shape[-1])
        merged = PatchMerge(config.merge, self.features, name="merge")(patches)
        merged = merged.reshape(batch, views, config.tokens, self.features)
        tokens = jnp.concatenate([head(special), merged], axis=2)
        return tokens.reshape(batch, -1, self.features)
