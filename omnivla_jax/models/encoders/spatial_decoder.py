"""The decoder of stage I: hidden states of the spatial expert to points and cameras.

Axes: B batch, V camera views, S image side, T = leading + P tokens per view, E width.
Trained in stage I and dropped afterwards (OmniVLA-RL, section 3).
"""

from dataclasses import dataclass

import chex
import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from omnivla_jax.core import precision
from omnivla_jax.core.types import Geometry
from omnivla_jax.models.encoders.vit import VitBlock, VitConfig, scan_blocks
from omnivla_jax.models.layers import Dense, LayerNorm

EPSILON = 1e-6  # keeps the gradient of a vanishing vector finite
PIXEL_CHANNELS = 7  # a point's 3, a normal's 3 and a confidence
FACING = np.array([0.0, 0.0, -1.0], np.float32)  # the normal of a wall in front


@dataclass(frozen=True)
class DecoderConfig:
    """Sizes of the decoder's blocks.

    `vision` sizes the blocks and the pictures; its patches are the last tokens of a
    view, after `leading` others, of which the first is the camera's.
    """

    vision: VitConfig
    leading: int


class SpatialDecoder(nn.Module):
    """Hidden states [B, V * T, E] to predicted geometry and confidence [B, V, S, S].

    Blocks inside each view, then a linear map per patch to its pixels and one per
    camera token to its pose. Depth is an exponential, as in Pi3; confidence is a logit.
    Both maps start from zero, that is from a wall in front of a pinhole camera.
    """

    config: DecoderConfig

    @nn.compact
    def __call__(self, hidden: jax.Array) -> tuple[Geometry, jax.Array]:
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
        to_patch, to_pose = (
            Dense(features, ("embed", None), from_zero=True, name=name)
            for features, name in ((PIXEL_CHANNELS * patch**2, "pixels"), (9, "pose"))
        )
        pixels, pose = to_patch(x[:, leading:]), to_pose(x[:, 0])
        maps = to_pixels(precision.to_float32(pixels), vision.grid)
        maps = maps.reshape(batch, views, *maps.shape[1:])
        pose = precision.to_float32(pose).reshape(batch, views, 9)
        geometry = Geometry(
            points=unproject(maps[:, :, :3]),
            normals=unit(maps[:, :, 3:6] + FACING[:, None, None], axis=2),
            rotation=rotation_matrix(pose[..., :6]),
            translation=pose[..., 6:],
        )
        return geometry, maps[:, :, 6]


def to_pixels(patches: jax.Array, grid: int) -> jax.Array:
    """Patches [B, grid * grid, C * p * p] to images [B, C, grid * p, grid * p]."""
    chex.assert_shape(patches, (None, grid * grid, None))
    channels = PIXEL_CHANNELS
    patch = round((patches.shape[-1] // channels) ** 0.5)
    x = patches.reshape(len(patches), grid, grid, channels, patch, patch)
    x = x.transpose(0, 3, 1, 4, 2, 5)
    return x.reshape(len(x), channels, grid * patch, grid * patch)


def unproject(raw: jax.Array) -> jax.Array:
    """Points (x z', y z', z') with z' = exp(z) of raw (x, y, z), as in Pi3.

    Args:
      raw: float32 [..., 3, S, S]; x and y are counted from the ray of a camera with a
        field of view of 53 degrees.

    Returns:
      The same shape.
    """
    chex.assert_axis_dimension(raw, -3, 3)
    side = raw.shape[-1]
    offset = (jnp.arange(side) + 0.5) / side - 0.5
    x, y, z = (raw[..., i, :, :] for i in range(3))
    depth = jnp.exp(z)
    points = ((x + offset) * depth, (y + offset[:, None]) * depth, depth)
    return jnp.stack(points, axis=-3)


def unit(vector: jax.Array, *, axis: int = -1) -> jax.Array:
    """x / |x| along an axis, with a finite gradient at zero."""
    square = jnp.sum(jnp.square(vector), axis=axis, keepdims=True)
    return vector * jax.lax.rsqrt(square + EPSILON**2)


def rotation_matrix(six: jax.Array) -> jax.Array:
    """Rotations [..., 3, 3] of six numbers [..., 6], columns by Gram-Schmidt.

    Continuous, unlike quaternions and angles (Zhou et al. 2019), and without the
    batched SVD of Pi3, whose gradient breaks where singular values meet. The first
    three numbers are taken around (1, 0, 0), the others around (0, 1, 0), so that a
    fresh decoder starts near the identity.
    """
    chex.assert_axis_dimension(six, -1, 6)
    first = unit(six[..., :3] + jnp.array([1.0, 0.0, 0.0]))
    second = six[..., 3:] + jnp.array([0.0, 1.0, 0.0])
    along = jnp.sum(first * second, axis=-1, keepdims=True)
    second = unit(second - along * first)
    return jnp.stack([first, second, jnp.cross(first, second)], axis=-1)
