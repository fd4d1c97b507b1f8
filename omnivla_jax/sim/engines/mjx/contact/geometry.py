"""Vectors, boxes and contact manifolds, laid out for many pairs of geoms at once.

Lengths in m.
Axes: vectors lead with their 3 components, then come E candidate points, where there
are several, then any shape `...` shared by all (long, so that XLA vectorises).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from omnivla_jax.sim.engines.mjx.lanes import Take
from omnivla_jax.sim.engines.mjx.vectors import cross, dot

MIN_SPREAD = 1e-6  # m: nearer points add nothing to a contact area
SQUARE = ((1.0, 1.0), (-1.0, 1.0), (-1.0, -1.0), (1.0, -1.0))  # corners, in order


class Boxes(NamedTuple):
    """Oriented boxes."""

    center: jax.Array  # [3, ...]
    axes: jax.Array  # [3, 3, ...]: world component, then box axis
    half: jax.Array  # [3, ...]


class Contacts(NamedTuple):
    """Contact points; rows at a distance of 0 or more are padding."""

    distance: jax.Array  # [K, B]
    position: jax.Array  # [3, K, B]
    normal: jax.Array  # [3, K, B]: from the first body to the second
    pair: jax.Array  # int32 [K, B]: row of the tables


def gather_boxes(geoms: Boxes, index: jax.Array, take: Take) -> Boxes:
    """Return each environment's boxes [n, B] at `index` [n, B] of `geoms` [G, B].

    Returns:
      The boxes [n, B].
    """
    half = jnp.broadcast_to(geoms.half, geoms.center.shape)
    flat = geoms.axes.reshape((9,) + geoms.axes.shape[2:])
    rows = take.gather(jnp.concatenate([geoms.center, flat, half]), index)
    return Boxes(rows[:3], rows[3:12].reshape((3, 3) + rows.shape[1:]), rows[12:])


def merge_points(values: jax.Array) -> jax.Array:
    """Return [..., 4, n, B] as [..., 4 n, B].

    Args:
      values: [..., 4, n, B], four contact points of each of n pairs.

    Returns:
      The same values with points and pairs on one axis, the points slowest.
    """
    *front, points, pairs, batch = values.shape
    return values.reshape(*front, points * pairs, batch)


def tangents(normal: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return two unit vectors [3, ...] that complete unit `normal` [3, ...] to a frame.

    MuJoCo's choice: the first lies nearest to y, or to z where `normal` is near y.

    Args:
      normal: [3, ...], of length 1.

    Returns:
      The first and the second tangent; first x second = normal.
    """
    zero = jnp.zeros_like(normal[0])
    start = jnp.stack([zero, zero + 1, zero]), jnp.stack([zero, zero, zero + 1])
    first = jnp.where(jnp.abs(normal[1]) < 0.5, *start)
    first = first - normal * dot(first, normal)
    first = first / jnp.sqrt(dot(first, first))
    return first, cross(normal, first)


def first_max(values: jax.Array) -> jax.Array:
    """Return the index [...] of the first maximum of `values` [E, ...].

    Args:
      values: [E, ...].

    Returns:
      int32 [...] within [0, E); E - 1 where a value is NaN.
    """
    # Two plain reductions: XLA's CPU compiler does not vectorise an argmax.
    order = jax.lax.broadcasted_iota(jnp.int32, values.shape, 0)
    is_max = values == values.max(axis=0)
    # Nothing equals a NaN: the last index keeps its row within bounds.
    return jnp.min(jnp.where(is_max, order, len(values) - 1), axis=0)


def side_of(values: jax.Array) -> jax.Array:
    """Return -1 where `values` are negative, else 1."""
    return jnp.where(values < 0, -1.0, 1.0)


def axis_at(values: jax.Array, index: jax.Array, step: int) -> jax.Array:
    """Return `values` [n, 3 axes, ...] at axis `index + step` modulo 3, as [n, ...].

    Args:
      values: [n, 3, ...], of each axis.
      index: int [...] within [0, 3).
      step: 0, 1 or 2.

    Returns:
      The values [n, ...] of the chosen axes.
    """
    x, y, z = (values[:, (k + step) % 3] for k in range(3))
    return jnp.where(index == 0, x, jnp.where(index == 1, y, z))


def corners_below(
    boxes: Boxes, point: jax.Array, normal: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Return heights [4, ...] and corners [3, 4, ...] of each box's lowest face.

    Args:
      boxes: [...].
      point: [3, ...] on the plane above which heights are measured.
      normal: [3, ...] of that plane, unit.

    Returns:
      Heights in m, negative below the plane, and the corners in the world.
    """
    spans = boxes.axes * boxes.half
    lowest = first_max(jnp.abs(dot(spans, normal[:, None])))
    down, side_1, side_2 = (axis_at(spans, lowest, step) for step in range(3))
    face = boxes.center - down * side_of(dot(down, normal))
    corners = jnp.stack([face + s * side_1 + t * side_2 for s, t in SQUARE], axis=1)
    return dot(corners, normal[:, None]) - dot(point, normal), corners


def select_contact_manifold(
    take: Take, u: jax.Array, v: jax.Array, depth: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Choose four of E points in a plane that span the contact area.

    The deepest, the one farthest from it, and the farthest on either side of the line
    through both. A point's distance is reduced by how much less deep it is: so a point
    above another on a steep side never displaces it. Four points among the foot and the
    shoulder of a bottle sunk into the ground would push it over.

    Args:
      take: of the platform.
      u, v: [E, ...] coordinates in the plane.
      depth: [E, ...]; points with a depth of 0 or less are no contacts.

    Returns:
      The indices [4, ...] and whether each is a contact, bool [4, ...].
    """
    penetrates = depth > 0
    first = first_max(depth)[None]
    du, dv = u - take.rows(u, first), v - take.rows(v, first)
    height = take.rows(depth, first) - depth
    reach = jnp.where(penetrates, jnp.sqrt(du * du + dv * dv) - height, 0.0)
    second = first_max(reach)[None]
    line_u, line_v = take.rows(du, second), take.rows(dv, second)
    length = jnp.maximum(jnp.sqrt(line_u * line_u + line_v * line_v), MIN_SPREAD)
    side = (line_u * dv - line_v * du) / length
    left, right = (jnp.where(penetrates, s - height, 0.0) for s in (side, -side))
    chosen = jnp.stack([first[0], second[0], first_max(left), first_max(right)])
    widths = (reach.max(axis=0), left.max(axis=0), right.max(axis=0))
    valid = (penetrates.any(axis=0), *(width > MIN_SPREAD for width in widths))
    return chosen, jnp.stack(valid)
