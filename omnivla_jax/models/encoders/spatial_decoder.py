"""The light decoder of stage I: what the spatial expert knows, drawn as geometry.

Axes: B batch, V camera views, S image side, T = leading + P tokens per view, E width.
Used in spatial pre-training only and dropped afterwards (paper, section 3).
"""

from dataclasses import dataclass
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
from flax import linen as nn

from omnivla_jax.core import precision
from omnivla_jax.models.encoders.vit import VitBlock, VitConfig, scan_blocks
from omnivla_jax.models.layers import Dense, LayerNorm

EPSILON = 1e-6  # keeps the gradient of a vanishing vector finite


class Geometry(NamedTuple):
    """What the views show, each in its own camera's frame; float32 and up to scale."""

    points: jax.Array  # [B, V, S, S, 3], x right, y down, z > 0 along the view
    normals: jax.Array  # [B, V, S, S, 3], unit length
    rotations: jax.Array  # [B, V, 3, 3], camera to the common frame
    translations: jax.Array  # [B, V, 3], the camera's place in the common frame


@dataclass(frozen=True)
class DecoderConfig:
    """`vision` sizes the blocks and the pictures; its patches are the last tokens."""

    vision: VitConfig
    leading: int  # tokens per view before the patches; the first is the camera's


class SpatialDecoder(nn.Module):
    """Last hidden states [B, V * T, E] of the spatial expert -> Geometry.

    Blocks inside each view, then one linear map per patch to its pixels and one per
    camera token to its pose. Depth comes through an exponential, as in Pi3.
    """

    config: DecoderConfig

    @nn.compact
    def __call__(self, hidden: jax.Array) -> Geometry:
        vision, leading = self.config.vision, self.config.leading
        chex.assert_rank(hidden, 3)
        tokens = leading + vision.grid**2
        if hidden.shape[1] % tokens:
            raise ValueError(
                f"{hidden.shape[1]} spatial tokens are not whole views of {leading} + "
                f"{vision.grid}^2: pass all views, and match leading and the patches."
            )
        batch, views = len(hidden), hidden.shape[1] // tokens
        x = hidden.reshape(batch * views, tokens, -1)
        x = Dense(vision.width, ("embed", None), name="enter")(x)
        block = VitBlock(vision.heads, vision.mlp_dim, name="blocks")
        x = LayerNorm(name="norm")(scan_blocks(block, x, vision))
        patch = vision.image_size // vision.grid
        pixels = Dense(6 * patch**2, ("embed", None), name="pixels")(x[:, leading:])
        pose = Dense(9, ("embed", None), name="pose")(x[:, 0])
        maps = to_pixels(precision.to_float32(pixels), vision.grid)
        maps = maps.reshape(batch, views, *maps.shape[1:])
        pose = precision.to_float32(pose).reshape(batch, views, 9)
        return Geometry(
            points=unproject(maps[..., :3]),
            normals=unit(maps[..., 3:]),
            rotations=rotation_matrix(pose[..., :6]),
            translations=pose[..., 6:],
        )


def to_pixels(x: jax.Array, grid: int) -> jax.Array:
    """Patch vectors [B, grid * grid, p * p * C] -> [B, grid * p, grid * p, C = 6]."""
    patch = round((x.shape[-1] // 6) ** 0.5)
    x = x.reshape(len(x), grid, grid, patch, patch, 6).swapaxes(2, 3)
    return x.reshape(len(x), grid * patch, grid * patch, 6)


def unproject(raw: jax.Array) -> jax.Array:
    """Raw (x, y, z) [..., 3] -> points (x z', y z', z') with z' = exp(z) (Pi3)."""
    chex.assert_axis_dimension(raw, -1, 3)
    depth = jnp.exp(raw[..., 2:])
    return jnp.concatenate([raw[..., :2] * depth, depth], axis=-1)


def unit(x: jax.Array) -> jax.Array:
    """x / |x| on the last axis, with a finite gradient at zero."""
    square = jnp.sum(jnp.square(x), axis=-1, keepdims=True)
    return x * jax.lax.rsqrt(square + EPSILON**2)


def rotation_matrix(six: jax.Array) -> jax.Array:
    """Six numbers [..., 6] -> rotations [..., 3, 3], columns by Gram-Schmidt.

    Continuous, unlike quaternions and angles (Zhou et al. 2019), and without the
    batched SVD that Pi3 uses, whose gradient breaks where singular values meet.
    The first three numbers are taken around (1, 0, 0), the others around (0, 1, 0),
    so that a fresh decoder starts near the identity.
    """
    chex.assert_axis_dimension(six, -1, 6)
    first = unit(six[..., :3] + jnp.array([1.0, 0.0, 0.0]))
    second = six[..., 3:] + jnp.array([0.0, 1.0, 0.0])
    along = jnp.sum(first * second, axis=-1, keepdims=True)
    second = unit(second - along * first)
    return jnp.stack([first, second, jnp.cross(first, second)], axis=-1)
