"""Frusta of cones, solid (cone) or hollow (cup), in their own frames, along z.

A frustum of `size` (r0, r1, half) has radius r0 at z = -half and r1 at z = half. A cup
is a frustum minus a smaller one that shares its upper end.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from omnivla_jax.render.arithmetic import (
    FAR,
    Vector,
    dot,
    larger,
    nonzero,
    smaller,
    valid_hit,
)
from omnivla_jax.render.types import CUP_WALL


class _Frustum(NamedTuple):
    radius: Any  # at z = 0
    slope: Any  # d radius / d z
    low: Any  # z of the lower end
    high: Any


class _Crossing(NamedTuple):
    enter: jax.Array
    leave: jax.Array
    upper: jax.Array  # distance to the plane of the upper end
    hit: jax.Array


def _frustum(size: Vector) -> _Frustum:
    below, above, half = size
    return _Frustum((below + above) / 2, (above - below) / (2 * half), -half, half)


def _nearest_point(origin: Vector, direction: Vector) -> tuple[Vector, jax.Array]:
    """The ray's point closest to the frame's origin, and its distance along the ray.

    Intersecting from there keeps squares of large distances from cancelling.
    """
    start = -dot(origin, direction) / nonzero(dot(direction, direction))
    return tuple(o + start * d for o, d in zip(origin, direction)), start


def _cross(origin: Vector, direction: Vector, shape: _Frustum) -> _Crossing:
    """First and last crossing of the surface: two of the side, one of each end."""
    (ox, oy, oz), (dx, dy, dz) = origin, direction
    radius = shape.radius + shape.slope * oz
    growth = shape.slope * dz
    square = nonzero(dx * dx + dy * dy - growth * growth)
    along = ox * dx + oy * dy - radius * growth
    discriminant = along * along - square * (ox * ox + oy * oy - radius * radius)
    root = jnp.sqrt(larger(discriminant, jnp.zeros_like(discriminant)))
    inverse = 1 / nonzero(dz)
    upper, lower = (shape.high - oz) * inverse, (shape.low - oz) * inverse
    enter, leave = jnp.full_like(root, FAR), jnp.full_like(root, -FAR)

    for distance in ((-along - root) / square, (-along + root) / square):
        z = oz + distance * dz
        valid = (discriminant > 0) & (z >= shape.low) & (z <= shape.high)
        enter = smaller(enter, jnp.where(valid, distance, FAR))
        leave = larger(leave, jnp.where(valid, distance, -FAR))

    for distance, z in ((upper, shape.high), (lower, shape.low)):
        x, y = ox + distance * dx, oy + distance * dy
        end_radius = shape.radius + shape.slope * z
        valid = x * x + y * y <= end_radius * end_radius
        enter = smaller(enter, jnp.where(valid, distance, FAR))
        leave = larger(leave, jnp.where(valid, distance, -FAR))
    return _Crossing(enter, leave, upper, enter < leave)


def cone(origin: Vector, direction: Vector, size: Vector) -> jax.Array:
    """Distance to a solid frustum.

    Args:
      origin, direction: of the rays, in the frustum's frame, broadcastable to [R].
      size: radius at the lower end, radius at the upper end, half length, m.

    Returns:
      float32 [R]: multiples of `direction`, FAR where it is missed.
    """
    origin, start = _nearest_point(origin, direction)
    crossing = _cross(origin, direction, _frustum(size))
    return valid_hit(start + crossing.enter, crossing.hit)


def cup(origin: Vector, direction: Vector, size: Vector) -> jax.Array:
    """Distance to a hollow frustum.

    A ray that enters through the opening hits the far side of the cavity.

    Args:
      origin, direction: of the rays, in the frustum's frame, broadcastable to [R].
      size: radius at the lower end, radius at the upper end, half length, m.

    Returns:
      float32 [R]: multiples of `direction`, FAR where it is missed.
    """
    origin, start = _nearest_point(origin, direction)
    outside = _cross(origin, direction, _frustum(size))
    wall, solid = CUP_WALL * size[1], _frustum(size)
    cavity = solid._replace(radius=solid.radius - wall, low=solid.low + wall)
    inside = _cross(origin, direction, cavity)
    x = origin[0] + outside.upper * direction[0]
    y = origin[1] + outside.upper * direction[1]
    opening = cavity.radius + cavity.slope * cavity.high
    through_opening = (direction[2] < 0) & (x * x + y * y < opening * opening)
    distance = jnp.where(through_opening, inside.leave, outside.enter)
    distance = start + distance
    return valid_hit(distance, jnp.where(through_opening, inside.hit, outside.hit))


def cone_normal(point: Vector, size: Vector) -> Vector:
    """The normal of an end or the side, whichever is nearest to `point`."""
    x, y, z = point
    shape = _frustum(size)
    radial = jnp.sqrt(x * x + y * y)
    to_end = jnp.abs(size[2] - jnp.abs(z))
    is_end = to_end < jnp.abs(radial - shape.radius - shape.slope * z)
    up = jnp.where(is_end, jnp.sign(z), -shape.slope * radial)
    return jnp.where(is_end, 0.0, x), jnp.where(is_end, 0.0, y), up


def cup_normal(point: Vector, size: Vector) -> Vector:
    """The normal of the outside, the rim, the inner wall or the inner bottom."""
    x, y, z = point
    shape, wall = _frustum(size), CUP_WALL * size[1]
    radial = jnp.sqrt(x * x + y * y)
    depth = shape.radius + shape.slope * z - radial  # below the outer wall
    to_side = smaller(jnp.abs(depth), jnp.abs(depth - wall))
    floor = shape.low + wall
    to_end = smaller(jnp.abs(z - shape.high), jnp.abs(z - shape.low))
    to_end = smaller(to_end, jnp.where(depth > 0.5 * wall, jnp.abs(z - floor), FAR))
    outward = jnp.where(depth < 0.5 * wall, 1.0, -1.0)
    is_end = to_end < to_side
    is_bottom = jnp.abs(z - shape.low) < 0.5 * wall
    end_up = jnp.where(is_bottom, -1.0, 1.0)
    up = jnp.where(is_end, end_up, -outward * shape.slope * radial)
    return jnp.where(is_end, 0.0, outward * x), jnp.where(is_end, 0.0, outward * y), up
