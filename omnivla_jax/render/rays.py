"""Bundles of rays: a picture cut into tiles, so that a tile meets few primitives.

Axes: T tiles, P rays of a tile, S image side.
"""

import math
from typing import Any, NamedTuple, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from omnivla_jax.render.arithmetic import FAR, Vector
from omnivla_jax.render.types import Camera

TILE = 22  # rays along a side: measured best on a CPU among 16, 22, 26, 32 and 64
MARGIN = 1e-4  # of slopes: what rounding may hide
_AHEAD = 1e-3  # a ray that turns further from the axis leaves its tile unbounded


class TiledImagePlane(NamedTuple):
    """How a square picture is cut into square tiles; the last ones may overhang."""

    side: int  # rays along a side of the picture
    tile: int
    across: int  # tiles along a side

    def cut(self, picture: np.ndarray) -> np.ndarray:
        """[across * tile, across * tile] to [T, P]."""
        shape = (self.across, self.tile, self.across, self.tile)
        return picture.reshape(shape).swapaxes(1, 2).reshape(-1, self.tile**2)

    def join(self, tiles: jax.Array) -> jax.Array:
        """[T, P] to [side, side]."""
        shape = (self.across, self.across, self.tile, self.tile)
        whole = tiles.reshape(shape).swapaxes(1, 2)
        whole = whole.reshape(self.across * self.tile, -1)
        return whole[: self.side, : self.side]


class Rays(NamedTuple):
    """Rays from one origin: basis @ weights, the third weight negative."""

    origin: jax.Array  # [3] world frame, m
    basis: jax.Array  # [3, 3]: orthogonal columns
    weights: Vector  # each [T, P], or a number that all share
    low: Sequence[Any]  # two [T] bounds of weight 0 and 1 by minus weight 2
    high: Sequence[Any]
    reach: Any  # [T]: nothing beyond this minus weight 2 matters


def film(side: int) -> TiledImagePlane:
    """Cut `side` rays into the fewest tiles of at most TILE."""
    across = math.ceil(side / TILE)
    return TiledImagePlane(side, math.ceil(side / across), across)


def axes(camera: Camera) -> jax.Array:
    """The rotation [3, 3], right and up scaled to half a picture at 1 m."""
    half = jnp.tan(jnp.deg2rad(camera.fovy) / 2)
    return camera.rotation * jnp.stack([half, half, jnp.ones_like(half)])


def through(camera: Camera, cut: TiledImagePlane, *, offset: float = 0.0) -> Rays:
    """One ray through the centre of every pixel of `cut`, `offset` pixels off it."""
    places = (np.arange(cut.across * cut.tile) + 0.5 + offset) * (2 / cut.side) - 1
    places = places.astype(np.float32)
    column = cut.cut(np.tile(places, (places.size, 1)))
    row = cut.cut(-np.repeat(places[:, None], places.size, axis=1))
    return Rays(
        origin=camera.position,
        basis=axes(camera),
        weights=(column, row, -1.0),
        low=(column.min(1), row.min(1)),
        high=(column.max(1), row.max(1)),
        reach=np.full(len(column), FAR, np.float32),
    )


def towards(origin: jax.Array, points: Vector, hit: jax.Array) -> Rays:
    """Rays from a lamp to points [T, P], each of length 1 in its distance."""
    offset = [points[i] - origin[i] for i in range(3)]
    offset = [jnp.where(hit, o, jnp.mean(o, where=hit)) for o in offset]
    middle = jnp.stack([jnp.mean(o) for o in offset])
    basis = _frame(-middle)
    right, up, back = (
        sum(basis[i, j] * offset[i] for i in range(3)) for j in range(3)
    )
    ahead = -back
    safe = jnp.maximum(ahead, _AHEAD)
    behind = (ahead < _AHEAD).any(1)
    slopes = (right / safe, up / safe)

    def bound(values: jax.Array, end: float) -> jax.Array:
        return jnp.where(behind, end, values)

    return Rays(
        origin=origin,
        basis=basis,
        weights=(right, up, back),
        low=tuple(bound(slope.min(1) - MARGIN, -FAR) for slope in slopes),
        high=tuple(bound(slope.max(1) + MARGIN, FAR) for slope in slopes),
        reach=ahead.max(1),
    )


def _frame(axis: jax.Array) -> jax.Array:
    """A rotation [3, 3] whose third column points along `axis`."""
    back = axis / jnp.maximum(jnp.linalg.norm(axis), 1e-6)
    x, y = jnp.array([1.0, 0.0, 0.0]), jnp.array([0.0, 1.0, 0.0])
    right = jnp.cross(jnp.where(jnp.abs(back[0]) > 0.9, y, x), back)
    right = right / jnp.linalg.norm(right)
    return jnp.stack([right, jnp.cross(back, right), back], axis=1)
