"""Bundles of rays: an image cut into tiles, so that a tile meets few primitives.

Axes: T tiles, P rays of a tile, S image side.
"""

import math
from typing import Any, NamedTuple, Sequence

import chex
import jax
import jax.numpy as jnp
import numpy as np

from omnivla_jax.render.arithmetic import FAR, Vector
from omnivla_jax.render.types import Camera

MAX_TILE = 22  # rays along a side: measured best on a CPU among 16, 22, 26, 32 and 64
# Rays that an accelerator traces at once, of some images or of a part of one: arrays of
# them stay on a TPU's chip, and are many for the price of a launch on a GPU.
RAYS_AT_ONCE = {"tpu": 2**18, "gpu": 2**22}
SLOPE_MARGIN = 1e-4  # added to the bounds of slopes: covers rounding
_MIN_AHEAD = 1e-3  # a ray that turns further from the axis leaves its tile unbounded


class TiledImagePlane(NamedTuple):
    """A square image cut into square tiles; the last ones may overhang."""

    side: int  # rays along a side of the image
    tile_side: int
    tiles_across: int  # tiles along a side

    @classmethod
    def of_side(cls, side: int) -> "TiledImagePlane":
        """Cut `side` rays into the fewest tiles: of at most MAX_TILE a side on a CPU.

        On an accelerator, which does not cull, of at most RAYS_AT_ONCE rays.
        """
        many = RAYS_AT_ONCE.get(jax.default_backend())
        longest = MAX_TILE if many is None else math.isqrt(many)
        tiles_across = math.ceil(side / longest)
        return cls(side, math.ceil(side / tiles_across), tiles_across)

    @property
    def images_at_once(self) -> int:
        """How many images with this plane an accelerator traces together."""
        many = RAYS_AT_ONCE.get(jax.default_backend(), 1)
        return max(many // (self.tiles_across * self.tile_side) ** 2, 1)

    def tile(self, image: np.ndarray) -> np.ndarray:
        """Cut an image into tiles.

        Args:
          image: [tiles_across * tile_side, tiles_across * tile_side].

        Returns:
          [T, P], row by row.
        """
        shape = (self.tiles_across, self.tile_side) * 2
        return image.reshape(shape).swapaxes(1, 2).reshape(-1, self.tile_side**2)

    def untile(self, tiles: jax.Array) -> jax.Array:
        """Put tiles together, without what overhangs.

        Args:
          tiles: [T, P].

        Returns:
          [side, side].
        """
        shape = (self.tiles_across,) * 2 + (self.tile_side,) * 2
        image = tiles.reshape(shape).swapaxes(1, 2)
        image = image.reshape(self.tiles_across * self.tile_side, -1)
        return image[: self.side, : self.side]


class Rays(NamedTuple):
    """Rays from one origin: basis @ weights, the third weight negative."""

    origin: jax.Array  # [3] world frame, m
    basis: jax.Array  # [3, 3]: orthogonal columns
    weights: Vector  # each [T, P], or a number that all share
    low: Sequence[Any]  # two [T] bounds of weight 0 and 1 divided by minus weight 2
    high: Sequence[Any]
    max_depth: Any  # [T]: bound of minus weight 2 times the distances that matter


def primary_rays(
    camera: Camera, image_plane: TiledImagePlane, *, offset: float = 0.0
) -> Rays:
    """Rays from the camera through the centres of all pixels.

    Args:
      camera: one camera, unbatched.
      image_plane: T tiles of P pixels.
      offset: shift from the pixels' centres, pixels.

    Returns:
      Rays whose distance is the depth along the viewing axis, m.
    """
    chex.assert_shape([camera.position], (3,))
    chex.assert_shape([camera.rotation], (3, 3))
    count = image_plane.tiles_across * image_plane.tile_side
    centres = (np.arange(count) + 0.5 + offset) * (2 / image_plane.side) - 1
    centres = centres.astype(np.float32)
    column = image_plane.tile(np.tile(centres, (count, 1)))
    row = image_plane.tile(-np.repeat(centres[:, None], count, axis=1))
    half = jnp.tan(jnp.deg2rad(camera.fovy) / 2)  # of the image at 1 m
    return Rays(
        origin=camera.position,
        basis=camera.rotation * jnp.stack([half, half, jnp.ones_like(half)]),
        weights=(column, row, -1.0),
        low=(column.min(-1), row.min(-1)),
        high=(column.max(-1), row.max(-1)),
        max_depth=np.full(len(column), FAR, np.float32),
    )


def shadow_rays(origin: jax.Array, points: Vector, hit: jax.Array) -> Rays:
    """Rays from a light to surface points, which lie at distance 1.

    Args:
      origin: float32 [3], of the light, world frame, m.
      points: float32 [T, P] each, world frame, m.
      hit: bool [T, P]: which points exist; the others are replaced by their mean.

    Returns:
      Rays about an axis towards the middle of the points.
    """
    chex.assert_shape([origin], (3,))
    offset = [points[i] - origin[i] for i in range(3)]
    offset = [jnp.where(hit, o, jnp.mean(o, where=hit)) for o in offset]
    middle = jnp.stack([jnp.mean(o) for o in offset])

    # An orthonormal basis whose third axis points from the points to the light.
    back = -middle
    back = back / jnp.maximum(jnp.linalg.norm(back), 1e-6)
    x, y = jnp.array([1.0, 0.0, 0.0]), jnp.array([0.0, 1.0, 0.0])
    right = jnp.cross(jnp.where(jnp.abs(back[0]) > 0.9, y, x), back)
    right = right / jnp.linalg.norm(right)
    basis = jnp.stack([right, jnp.cross(back, right), back], axis=1)
    weights = tuple(sum(basis[i, j] * offset[i] for i in range(3)) for j in range(3))

    # Bounds of each tile's slopes; none where a point is not in front of the light.
    ahead = -weights[2]
    safe = jnp.maximum(ahead, _MIN_AHEAD)
    behind = (ahead < _MIN_AHEAD).any(-1)
    slopes = (weights[0] / safe, weights[1] / safe)
    return Rays(
        origin=origin,
        basis=basis,
        weights=weights,
        low=tuple(jnp.where(behind, -FAR, s.min(-1) - SLOPE_MARGIN) for s in slopes),
        high=tuple(jnp.where(behind, FAR, s.max(-1) + SLOPE_MARGIN) for s in slopes),
        max_depth=ahead.max(-1),
    )
