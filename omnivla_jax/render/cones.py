"""Frusta of cones: solid, or hollow as a cup; in their own frames, along z.

A frustum of `size` (r0, r1, half) has radius r0 at z = -half and r1 at z = half. A cup
is a frustum less a smaller one that shares its upper end.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from omnivla_jax.render.arithmetic import (
    FAR,
    Vector,
    dot,
    front,
    larger,
    nonzero,
    smaller,
)
from omnivla_jax.render.types import CUP_WALL


class _Frustum(NamedTuple):
    middle: Any  # the radius at z = 0
    slope: Any  # how much the radius grows along z
    low: Any  # z of the lower end
    high: Any


class _Crossing(NamedTuple):
    enter: jax.Array
    leave: jax.Array
    upper: jax.Array  # where the plane of the upper end is crossed
    hit: jax.Array


def _outside(size: Vector) -> _Frustum:
    below, above, half = size
    return _Frustum((below + above) / 2, (above - below) / (2 * half), -half, half)


def _cavity(size: Vector) -> _Frustum:
    wall, outside = CUP_WALL * size[1], _outside(size)
    return outside._replace(middle=outside.middle - wall, low=outside.low + wall)


def _nearest_point(origin: Vector, direction: Vector) -> tuple[Vector, jax.Array]:
    """The ray's point next to the frame's origin: from afar, squares would cancel."""
    start = -dot(origin, direction) / nonzero(dot(direction, direction))
    x, y, z = (o + start * d for o, d in zip(origin, direction))
    return (x, y, z), start


def _cross(origin: Vector, direction: Vector, shape: _Frustum) -> _Crossing:
    """First and last crossing of the surface: two of the side, one of each end."""
    (ox, oy, oz), (dx, dy, dz) = origin, direction
    radius = shape.middle + shape.slope * oz
    growth = shape.slope * dz
    square = nonzero(dx * dx + dy * dy - growth * growth)
    along = ox * dx + oy * dy - radius * growth
    rest = along * along - square * (ox * ox + oy * oy - radius * radius)
    root = jnp.sqrt(larger(rest, jnp.zeros_like(rest)))
    inverse = 1 / nonzero(dz)
    upper, lower = (shape.high - oz) * inverse, (shape.low - oz) * inverse
    enter, leave = jnp.full_like(root, FAR), jnp.full_like(root, -FAR)
    for distance in ((-along - root) / square, (-along + root) / square):
        z = oz + distance * dz
        valid = (rest > 0) & (z >= shape.low) & (z <= shape.high)
        enter = smaller(enter, jnp.where(valid, distance, FAR))
        leave = larger(leave, jnp.where(valid, distance, -FAR))
    for distance, z in ((upper, shape.high), (lower, shape.low)):
        x, y = ox + distance * dx, oy + distance * dy
        reach = shape.middle + shape.slope * z
        valid = x * x + y * y <= reach * reach
        enter = smaller(enter, jnp.where(valid, distance, FAR))
        leave = larger(leave, jnp.where(valid, distance, -FAR))
    return _Crossing(enter, leave, upper, enter < leave)


def cone(origin: Vector, direction: Vector, size: Vector) -> jax.Array:
    """A frustum of a cone."""
    origin, start = _nearest_point(origin, direction)
    found = _cross(origin, direction, _outside(size))
    return front(start + found.enter, found.hit)


def cup(origin: Vector, direction: Vector, size: Vector) -> jax.Array:
    """A hollow frustum: who enters through the opening sees the cavity's far side."""
    origin, start = _nearest_point(origin, direction)
    found = _cross(origin, direction, _outside(size))
    inner = _cavity(size)
    inside = _cross(origin, direction, inner)
    x = origin[0] + found.upper * direction[0]
    y = origin[1] + found.upper * direction[1]
    opening = inner.middle + inner.slope * inner.high
    through = (direction[2] < 0) & (x * x + y * y < opening * opening)
    distance = jnp.where(through, inside.leave, found.enter)
    return front(start + distance, jnp.where(through, inside.hit, found.hit))


def cone_normal(point: Vector, size: Vector) -> Vector:
    """Of the end or the side, whichever is nearest."""
    x, y, z = point
    shape = _outside(size)
    radial = jnp.sqrt(x * x + y * y)
    end = jnp.abs(size[2] - jnp.abs(z)) < jnp.abs(
        radial - shape.middle - shape.slope * z
    )
    up = jnp.where(end, jnp.sign(z), -shape.slope * radial)
    return jnp.where(end, 0.0, x), jnp.where(end, 0.0, y), up


def cup_normal(point: Vector, size: Vector) -> Vector:
    """Of the outside, the rim, the inner wall or the inner bottom."""
    x, y, z = point
    shape, wall = _outside(size), CUP_WALL * size[1]
    radial = jnp.sqrt(x * x + y * y)
    depth = shape.middle + shape.slope * z - radial  # below the outer wall
    side = smaller(jnp.abs(depth), jnp.abs(depth - wall))
    floor = shape.low + wall
    end = smaller(jnp.abs(z - shape.high), jnp.abs(z - shape.low))
    end = smaller(end, jnp.where(depth > 0.5 * wall, jnp.abs(z - floor), FAR))
    facing = jnp.where(depth < 0.5 * wall, 1.0, -1.0)
    flat = end < side
    under = jnp.abs(z - shape.low) < 0.5 * wall
    up = jnp.where(
        flat, jnp.where(under, -1.0, 1.0), -facing * shape.slope * radial
    )
    return jnp.where(flat, 0.0, facing * x), jnp.where(flat, 0.0, facing * y), up
