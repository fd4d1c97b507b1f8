"""The spatial expert's encoder: VGGT's aggregator, projected into the expert's stream.

Axes: B batch, V camera views, S image side, R register tokens, T tokens per view.
"""

import jax
from flax import linen as nn

from omnivla_jax.models.encoders.dinov2 import DinoConfig
from omnivla_jax.models.encoders.vggt import Aggregator
from omnivla_jax.models.encoders.vit import VitConfig
from omnivla_jax.models.layers import Dense, LayerNorm


class SpatialEncoder(nn.Module):
    """Images float32 [B, V, S, S, 3] in [-1, 1] -> tokens [B, V * T, features].

    `dino`: None for a small encoder of our own, or VGGT's (`vggt.Aggregator`).
    """

    config: VitConfig
    registers: int
    features: int
    dino: DinoConfig | None

    @nn.compact
    def __call__(self, images: jax.Array) -> jax.Array:
        aggregator = Aggregator(
            self.config, self.registers, self.dino, name="aggregator"
        )
        both = aggregator(images)
        both = both.reshape(len(images), -1, both.shape[-1])
        both = LayerNorm(name="encoder_norm")(both)
        return Dense(self.features, ("embed", None), name="head")(both)
