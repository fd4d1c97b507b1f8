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
from omnivla_jax.models.encoders.vit import (
    VitBlock,
    VitConfig,
    scan_blocks,
    unshuffle,
)
from omnivla_jax.models.layers import Dense, LayerNorm

EPSILON = 1e-6  # keeps the gradient of a vanishing vector finite
PIXEL_CHANNELS = 7  # a point's 3, a normal's 3 and a confidence
POSE_WIDTH = 8  # of a token, as the camera's pose is read from all
POSE_CHANNELS = 10  # a rotation's 6, a translation's 3 and a field of view
FACING = np.array([0.0, 0.0, -1.0], np.float32)  # the normal of a wall in front


@dataclass(frozen=True)
class DecoderConfig:
    """Sizes of the decoder's blocks.

    `vision` sizes the blocks and the pictures; its merged patches are the last tokens
    of a view, after `leading` others, of which the first is the camera's.
    """

    vision: VitConfig
    leading: int


class SpatialDecoder(nn.Module):
    """Hidden states [B, V * T, E] and pictures to geometry and confidence [B, V, S, S].

    Blocks inside each view, then every token is split into its patches again, which
    meet their own pixels: hidden states say where surfaces lie, the pixels where they
    end. A patch sees no other pixels, so that geometry has to come from the expert.
    Depth is an exponential, as in Pi3; confidence is a logit. The last maps start from
    zero, that is from a wall in front of a pinhole camera.
    """

    config: DecoderConfig

    @nn.compact
    def __call__(
        self, hidden: jax.Array, images: jax.Array
    ) -> tuple[Geometry, jax.Array]:
        """`images` float32 [B, V, S, S, 3] in [-1, 1]."""
        vision, leading = self.config.vision, self.config.leading
        chex.assert_rank(hidden, 3)
        tokens = leading + vision.tokens
        batch, views = images.shape[:2]
        if hidden.shape[1] != views * tokens:
            raise ValueError(
                f"{hidden.shape[1]} spatial tokens are not {views} views of {leading} "
                f"+ {vision.tokens}: pass all views, and match leading and the patches."
            )
        x = hidden.reshape(batch * views, tokens, -1)
        x = Dense(vision.width, ("embed", None), name="enter")(x)
        block = VitBlock(vision.heads, vision.mlp_dim, name="blocks")
        x = LayerNorm(name="norm")(scan_blocks(block, x, vision))
        pose = self._pose(x).reshape(batch, views, POSE_CHANNELS)
        maps = self._pixels(x[:, leading:], images.reshape(-1, *images.shape[2:]))
        maps = maps.reshape(batch, views, *maps.shape[1:])
        geometry = Geometry(
            points=unproject(maps[:, :, :3], pose[..., 9]),
            normals=unit(maps[:, :, 3:6] + FACING[:, None, None], axis=2),
            rotation=rotation_matrix(pose[..., :6]),
            translation=pose[..., 6:9],
        )
        return geometry, maps[:, :, 6]

    def _pose(self, x: jax.Array) -> jax.Array:
        """Tokens [B * V, T, E] -> float32 [B * V, C]: all of them, each in its place.

        Pi3 reads its cameras from the mean over patches; nothing is averaged here, so
        that where things are seen says where from.
        """
        narrow = Dense(POSE_WIDTH, ("embed", None), name="places")(x[:, 1:])
        x = jnp.concatenate([x[:, 0], narrow.reshape(len(x), -1)], axis=-1)
        x = nn.gelu(Dense(self.config.vision.mlp_dim, ("embed", "mlp"), name="view")(x))
        to_pose = Dense(POSE_CHANNELS, ("mlp", "embed"), from_zero=True, name="pose")
        return precision.to_float32(to_pose(x))

    def _pixels(self, x: jax.Array, images: jax.Array) -> jax.Array:
        """Tokens [B * V, P, E] and their pictures -> float32 [B * V, C, S, S]."""
        vision = self.config.vision
        patch, merge = vision.image_size // vision.grid, vision.merge
        if merge > 1:
            x = Dense(merge**2 * vision.width, ("embed", None), name="split")(x)
            side = vision.grid // merge
            x = x.reshape(-1, side, side, merge, merge, vision.width).swapaxes(2, 3)
            x = x.reshape(-1, vision.grid**2, vision.width)
        own = precision.to_compute(unshuffle(images, patch))
        own = own.reshape(len(own), vision.grid**2, -1)
        x = jnp.concatenate([x, own], axis=-1)
        x = nn.gelu(Dense(2 * vision.width, ("embed", "mlp"), name="patches")(x))
        to_patch = Dense(
            PIXEL_CHANNELS * patch**2, ("mlp", "embed"), from_zero=True, name="pixels"
        )
        return to_pixels(precision.to_float32(to_patch(x)), vision.grid)


def to_pixels(patches: jax.Array, grid: int) -> jax.Array:
    """Patches [B, grid * grid, C * p * p] to images [B, C, grid * p, grid * p]."""
    chex.assert_shape(patches, (None, grid * grid, None))
    channels = PIXEL_CHANNELS
    patch = round((patches.shape[-1] // channels) ** 0.5)
    x = patches.reshape(len(patches), grid, grid, channels, patch, patch)
    x = x.transpose(0, 3, 1, 4, 2, 5)
    return x.reshape(len(x), channels, grid * patch, grid * patch)


def unproject(raw: jax.Array, widening: jax.Array) -> jax.Array:
    """Points (x z', y z', z') with z' = exp(z) of raw (x, y, z), as in Pi3.

    Args:
      raw: float32 [..., 3, S, S]; x and y are counted from the pixel's ray.
      widening: float32 [...], the logarithm of a field's width over that of a camera
        with a field of view of 53 degrees.

    Returns:
      Of the shape of `raw`.
    """
    chex.assert_axis_dimension(raw, -3, 3)
    side = raw.shape[-1]
    offset = (jnp.arange(side) + 0.5) / side - 0.5
    rays = jnp.exp(widening)[..., None] * offset
    x, y, z = (raw[..., i, :, :] for i in range(3))
    depth = jnp.exp(z)
    points = ((x + rays[..., None, :]) * depth, (y + rays[..., None]) * depth, depth)
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
