"""What both image encoders are made of: patches, a convolutional stem, ViT blocks.

Axes: B batch (views may be folded in), S image side, P patches, T tokens, N heads,
C channels of a head, E width.
"""

from dataclasses import dataclass
from typing import Any

import chex
import jax
import jax.numpy as jnp
from flax import linen as nn

from omnivla_jax.core import precision
from omnivla_jax.core.sharding import split_batch
from omnivla_jax.models.attention import Segment, attend
from omnivla_jax.models.encoders.rope2d import PlanarRotation, rope2d
from omnivla_jax.models.layers import EPSILON, Dense, LayerNorm
from omnivla_jax.models.remat import rematerialised


@dataclass(frozen=True)
class VitConfig:
    """Sizes of one image encoder.

    `strides`: the stem is one non-overlapping convolution per entry, gelu between;
    (14,) is the usual patch embedding, (4, 2) makes 8-pixel patches in two steps.
    `merge`: how many neighbouring patches per side are concatenated into one token at
    the end; nothing is averaged, so positions inside a token survive.
    `layer_scale`: start value of the gains on both branches of the spatial encoder's
    blocks. VGGT's is 0.01, under which a fresh network leaves its blocks unused for
    hundreds of steps.
    `remat`, `unroll`: how the scan over blocks is compiled (`mot.MotConfig`).
    """

    image_size: int
    strides: tuple[int, ...]
    stem_width: int
    width: int
    mlp_dim: int
    depth: int
    heads: int
    merge: int = 1
    layer_scale: float = 1.0
    remat: str | None = None
    unroll: int = 1

    def __post_init__(self) -> None:
        side = self.image_size
        for stride in (*self.strides, self.merge):
            if side % stride:
                raise ValueError(
                    f"A {self.image_size}-pixel image does not divide by strides "
                    f"{self.strides} and merge {self.merge}: change one of them."
                )
            side //= stride
        if self.width % self.heads:
            raise ValueError(f"{self.width=} must be a multiple of {self.heads=}.")

    @property
    def grid(self) -> int:
        """Patches per image side, before merging."""
        side = self.image_size
        for stride in self.strides:
            side //= stride
        return side

    @property
    def tokens(self) -> int:
        """Tokens per image, after merging."""
        return (self.grid // self.merge) ** 2


def unshuffle(x: jax.Array, factor: int) -> jax.Array:
    """Gather factor x factor neighbours: [B, S, S, E] -> [B, S/f, S/f, f * f * E]."""
    chex.assert_rank(x, 4)
    batch, side, _, width = x.shape
    small = side // factor
    x = x.reshape(batch, small, factor, small, factor, width).swapaxes(2, 3)
    return x.reshape(batch, small, small, factor * factor * width)


class PatchEmbed(nn.Module):
    """Images float32 [B, S, S, 3] -> patch features float32 [B, grid, grid, width].

    Float32 throughout, as openpi's: positions are added before anything is rounded.
    """

    config: VitConfig

    @nn.compact
    def __call__(self, images: jax.Array) -> jax.Array:
        last = len(self.config.strides) - 1
        x = precision.to_float32(images)
        for i, stride in enumerate(self.config.strides):
            width = self.config.width if i == last else self.config.stem_width
            # A stride-sized kernel is a matrix product, which a CPU does far faster.
            layer = Dense(width, (None, "embed"), name=f"conv_{i}")
            x = layer(unshuffle(x, stride))
            x = x if i == last else nn.gelu(x)
        return x


class PatchMerge(nn.Module):
    """Patches [B, grid, grid, E] -> tokens [B, P, features], neighbours joined."""

    factor: int
    features: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = unshuffle(x, self.factor)
        x = Dense(self.features, ("embed", None), name="head")(x)
        return x.reshape(x.shape[0], -1, self.features)


class VitBlock(nn.Module):
    """Pre-norm self-attention and MLP: [B, T, E] -> [B, T, E].

    Attention knows places where a `turn` is given (2-D RoPE). `exact_gelu`: the error
    function (DINOv2, VGGT) instead of its tanh form (SigLIP). `epsilon`: of all norms.
    `layer_scale`: start value of a learned gain on both branches (VGGT: 0.01); None
    leaves them as they are (SigLIP). `qk_norm`: normalise queries and keys per head.
    """

    heads: int
    mlp_dim: int
    layer_scale: float | None = None
    qk_norm: bool = False
    exact_gelu: bool = False
    epsilon: float = EPSILON

    @nn.compact
    def __call__(self, x: jax.Array, turn: PlanarRotation | None = None) -> jax.Array:
        chex.assert_rank(x, 3)
        x = split_batch(x)
        mixed = self._attention(LayerNorm(self.epsilon, name="ln_1")(x), turn)
        x = x + self._gain("attention_gain", mixed)
        hidden = self._mlp(LayerNorm(self.epsilon, name="ln_2")(x))
        return split_batch(x + self._gain("mlp_gain", hidden))

    def _attention(self, x: jax.Array, turn: PlanarRotation | None) -> jax.Array:
        batch, tokens, width = x.shape
        qkv = Dense(3 * width, ("embed", "heads"), name="qkv")(x)
        qkv = qkv.reshape(batch, tokens, 3, self.heads, width // self.heads)
        query, key, value = jnp.moveaxis(qkv, 2, 0)
        if self.qk_norm:
            query, key = LayerNorm(self.epsilon, name="q_norm")(query), LayerNorm(
                self.epsilon, name="k_norm"
            )(key)
        if turn is not None:
            query, key = rope2d(query, turn), rope2d(key, turn)
        mask = jnp.ones((batch, tokens, tokens), bool)
        mixed = attend(query, [Segment(key, value)], mask).reshape(x.shape)
        return Dense(width, ("heads", "embed"), name="out")(mixed)

    def _mlp(self, x: jax.Array) -> jax.Array:
        hidden = Dense(self.mlp_dim, ("embed", "mlp"), name="mlp_in")(x)
        hidden = nn.gelu(hidden, approximate=not self.exact_gelu)
        return Dense(x.shape[-1], ("mlp", "embed"), name="mlp_out")(hidden)

    def _gain(self, name: str, x: jax.Array) -> jax.Array:
        if self.layer_scale is None:
            return x
        start = nn.initializers.constant(self.layer_scale)
        init = nn.with_logical_partitioning(start, ("embed",))
        return x * precision.to_compute(self.param(name, init, x.shape[-1:]))


def scan_blocks(block: nn.Module, x: Any, config: VitConfig, *shared: Any) -> Any:
    """x through `config.depth` copies of `block(x, *shared)`, stacked on axis 0.

    Arrays in `shared` are the same for every copy; x may be any tree that a block maps
    to one of the same shapes.
    """

    def layer(block: nn.Module, x: Any, *shared: Any) -> tuple[Any, None]:
        return block(x, *shared), None

    scanned = nn.scan(
        rematerialised(layer, config.remat),
        variable_axes={"params": 0},
        split_rngs={"params": True},
        in_axes=nn.broadcast,
        length=config.depth,
        unroll=min(config.unroll, config.depth),
        metadata_params={nn.PARTITION_NAME: "layers"},
    )
    return scanned(block, x, *shared)[0]


def position_embedding(
    module: nn.Module, name: str, shape: tuple[int, ...]
) -> jax.Array:
    """A learned float32 table of `shape`, last axis the width, held by `module`."""
    start = nn.initializers.normal(shape[-1] ** -0.5)
    names = (None,) * (len(shape) - 1) + ("embed",)
    return module.param(name, nn.with_logical_partitioning(start, names), shape)
