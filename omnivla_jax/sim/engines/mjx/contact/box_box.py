"""Contacts between boxes, for many pairs at once.

Separating axes, then either the incident face clipped by the reference face or the
closest points of two edges. Of a contact area only four points are kept, which carry
the same forces on a rigid body. Lengths in m.
Axes: vectors lead with their 3 components, then come the points of a contact area,
then any shape `...` shared by all pairs.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from omnivla_jax.sim.engines.mjx.contact.geometry import (
    SQUARE,
    Boxes,
    axis_at,
    cross,
    dot,
    first_max,
    spread,
    take_rows,
)

# An edge contact must be shallower than the best face contact by this factor: two
# boxes that nearly lie flat would otherwise flip between the two kinds.
EDGE_PREFERENCE = 0.95
PARALLEL = 1e-6  # squared sine under which two edges span no axis
NO_LENGTH = 1e-12  # m or m^2: keeps divisions finite
APART = 1.0  # m: distance of what is no contact


class Points(NamedTuple):
    """Contact points of each pair; a distance >= 0 means that there is none."""

    distance: jax.Array  # [4, ...]
    position: jax.Array  # [3, 4, ...]: half way between the surfaces
    normal: jax.Array  # [3, ...]: unit, from the first box to the second


class _Relative(NamedTuple):
    """Box b in box a's frame, and how far the two are apart along each axis."""

    rotation: jax.Array  # [3, 3, ...]: axis of a, axis of b
    offset_a: jax.Array  # [3, ...]: from a's centre to b's along a's axes
    offset_b: jax.Array  # [3, ...]: the same along b's axes
    faces: jax.Array  # [6, ...]: separation along a's axes, then b's
    edges: jax.Array  # [9, ...]: along the cross products, a's axis slowest


def separation(a: Boxes, b: Boxes) -> jax.Array:
    """The greatest separation [...] over the 15 axes: negative when boxes overlap."""
    relative = _relative(a, b)
    return jnp.maximum(relative.faces.max(axis=0), relative.edges.max(axis=0))


def touch(a: Boxes, b: Boxes) -> Points:
    """Up to four contact points of each pair of boxes."""
    relative = _relative(a, b)
    face, edge = first_max(relative.faces), first_max(relative.edges)
    by_face, by_edge = relative.faces.max(axis=0), relative.edges.max(axis=0)
    on_edge = by_edge > EDGE_PREFERENCE * by_face
    area, point = _face_points(a, b, relative, face), _edge_point(a, b, relative, edge)
    distance = jnp.where(on_edge, point.distance, area.distance)
    return Points(
        jnp.where(jnp.maximum(by_face, by_edge) < 0, distance, APART),
        jnp.where(on_edge, point.position, area.position),
        jnp.where(on_edge, point.normal, area.normal),
    )


def _relative(a: Boxes, b: Boxes) -> _Relative:
    rotation = dot(a.axes[:, :, None], b.axes[:, None, :])
    delta = (b.center - a.center)[:, None]
    offset_a, offset_b = dot(a.axes, delta), dot(b.axes, delta)
    size = jnp.abs(rotation)
    face_a = jnp.abs(offset_a) - a.half - dot(size.swapaxes(0, 1), b.half[:, None])
    face_b = jnp.abs(offset_b) - b.half - dot(size, a.half[:, None])
    return _Relative(
        rotation,
        offset_a,
        offset_b,
        jnp.concatenate([face_a, face_b]),
        _edge_separations(rotation, offset_a, a.half[:, None], b.half[None]),
    )


def _edge_separations(
    rotation: jax.Array, offset: jax.Array, half_a: jax.Array, half_b: jax.Array
) -> jax.Array:
    """Separation [9, ...] along the cross products of a's and b's axes."""

    def of_a(values: jax.Array, step: int) -> jax.Array:
        return jnp.roll(values, -step, axis=0)

    def of_b(values: jax.Array, step: int) -> jax.Array:
        return jnp.roll(values, -step, axis=1)

    size, offset = jnp.abs(rotation), offset[:, None]
    distance = jnp.abs(
        of_a(offset, 2) * of_a(rotation, 1) - of_a(offset, 1) * of_a(rotation, 2)
    )
    reach = of_a(half_a, 1) * of_a(size, 2) + of_a(half_a, 2) * of_a(size, 1)
    reach += of_b(half_b, 1) * of_b(size, 2) + of_b(half_b, 2) * of_b(size, 1)
    squared = 1.0 - rotation * rotation
    apart = (distance - reach) / jnp.sqrt(jnp.maximum(squared, PARALLEL))
    apart = jnp.where(squared > PARALLEL, apart, -jnp.inf)
    return apart.reshape((9,) + apart.shape[2:])


class _Setting(NamedTuple):
    """A reference face and the other box in its frame: u, v in the face, w outwards."""

    frame: jax.Array  # [3, 3, ...]: world component, then u, v, w
    half: jax.Array  # [3, ...] of the reference box along u, v, w
    rotation: jax.Array  # [3, 3, ...]: u, v, w, then the incident box's axes
    place: jax.Array  # [3, ...] of the incident box's centre


class _Incident(NamedTuple):
    """The incident face in the reference face's frame."""

    center: jax.Array  # [3, ...]
    side_1: jax.Array  # [3, ...]: half edges
    side_2: jax.Array  # [3, ...]


def _face_points(a: Boxes, b: Boxes, relative: _Relative, face: jax.Array) -> Points:
    """The incident face's part below the reference face, as up to four points."""
    swap = face >= 3  # b has the reference face
    setting = _setting(a, b, relative, face)
    incident = _incident_face(setting, jnp.where(swap, a.half, b.half))
    u, v, w, exists = _overlap(incident, setting.half)
    depth = jnp.where(exists, setting.half[2] - w, 0.0)
    chosen, counts = spread(u, v, depth)
    u, v, depth = (take_rows(part, chosen) for part in (u, v, depth))
    local = jnp.stack([u, v, setting.half[2] - 0.5 * depth])  # [3, 4, ...]
    offset = dot(setting.frame.swapaxes(0, 1)[:, :, None], local[:, None])
    outwards = setting.frame[:, 2]
    return Points(
        jnp.where(counts, -depth, APART),
        jnp.where(swap, b.center, a.center)[:, None] + offset,
        jnp.where(swap, -outwards, outwards),
    )


def _setting(a: Boxes, b: Boxes, relative: _Relative, face: jax.Array) -> _Setting:
    swap, axis = face >= 3, face % 3
    frame = jnp.where(swap, b.axes, a.axes)
    half = jnp.where(swap, b.half, a.half)
    rotation = relative.rotation
    rows = jnp.where(swap, rotation, rotation.swapaxes(0, 1))  # incident, reference
    offset = jnp.where(swap, -relative.offset_b, relative.offset_a)
    frame, rows = _face_order(frame, axis), _face_order(rows, axis)
    half, place = (_face_order(part[None], axis)[0] for part in (half, offset))
    above = jnp.where(place[2] >= 0, 1.0, -1.0)
    flip = jnp.stack([jnp.ones_like(above), jnp.ones_like(above), above])
    return _Setting(frame * flip, half, (rows * flip).swapaxes(0, 1), place * flip)


def _face_order(values: jax.Array, axis: jax.Array) -> jax.Array:
    """`values` [n, 3 axes, ...] with the face's two sides first, then its normal."""
    return jnp.stack([axis_at(values, axis, step) for step in (1, 2, 0)], axis=1)


def _incident_face(setting: _Setting, half: jax.Array) -> _Incident:
    """The face of a box with `half` sizes [3, ...] that looks down most."""
    axis = first_max(jnp.abs(setting.rotation[2]))
    spans = setting.rotation * half
    down, side_1, side_2 = (axis_at(spans, axis, step) for step in range(3))
    return _Incident(setting.place - down * jnp.sign(down[2]), side_1, side_2)


def _overlap(
    incident: _Incident, half: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    """Twelve points among which are the overlap's corners: u, v, w, which exist.

    Each edge of the incident face gives the start and the end of what lies inside the
    reference face; each corner of the latter the point above it.
    """
    center, side_1, side_2 = incident
    corners = [center + s * side_1 + t * side_2 for s, t in SQUARE]
    start = jnp.stack(corners, axis=1)  # [3, 4, ...]
    along = jnp.stack(corners[1:] + corners[:1], axis=1) - start
    slope = jnp.where(jnp.abs(along) < NO_LENGTH, NO_LENGTH, along)[:2]
    sides = half[:2, None]
    low, high = (-sides - start[:2]) / slope, (sides - start[:2]) / slope
    enter = jnp.maximum(jnp.minimum(low, high).max(axis=0), 0.0)
    leave = jnp.minimum(jnp.maximum(low, high).min(axis=0), 1.0)
    inside = enter <= leave
    above, covered = _above_corners(incident, half)
    points = jnp.concatenate([start + enter * along, start + leave * along, above], 1)
    exists = jnp.concatenate([inside, inside & (leave < 1.0), covered])
    return points[0], points[1], points[2], exists


def _above_corners(incident: _Incident, half: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The incident plane's points [3, 4, ...] above the reference face's corners."""
    center, side_1, side_2 = incident
    signs = jnp.array(SQUARE).reshape((4, 2) + (1,) * (half.ndim - 1))
    du, dv = signs[:, 0] * half[0] - center[0], signs[:, 1] * half[1] - center[1]
    area = side_1[0] * side_2[1] - side_1[1] * side_2[0]
    area = jnp.where(jnp.abs(area) < NO_LENGTH, NO_LENGTH, area)
    s = (du * side_2[1] - dv * side_2[0]) / area
    t = (side_1[0] * dv - side_1[1] * du) / area
    point = center[:, None] + side_1[:, None] * s + side_2[:, None] * t
    return point, (jnp.abs(s) <= 1.0) & (jnp.abs(t) <= 1.0)


def _edge_point(a: Boxes, b: Boxes, relative: _Relative, edge: jax.Array) -> Points:
    """The one contact of two crossing edges."""
    along_a, along_b = axis_at(a.axes, edge // 3, 0), axis_at(b.axes, edge % 3, 0)
    normal = cross(along_a, along_b)
    normal = normal / jnp.sqrt(jnp.maximum(dot(normal, normal), PARALLEL))
    normal = normal * jnp.where(dot(normal, b.center - a.center) >= 0, 1.0, -1.0)
    point_a = _edge_middle(a, edge // 3, normal)
    point_b = _edge_middle(b, edge % 3, -normal)
    gap, cosine = point_b - point_a, dot(along_a, along_b)
    on_a, on_b = dot(gap, along_a), dot(gap, along_b)
    sine = jnp.maximum(1.0 - cosine * cosine, PARALLEL)
    near_a = point_a + along_a * ((on_a - cosine * on_b) / sine)
    near_b = point_b + along_b * ((cosine * on_a - on_b) / sine)
    depth = take_rows(relative.edges, edge[None])
    missing = jnp.full_like(depth, APART)
    return Points(
        jnp.concatenate([depth, missing, missing, missing]),
        0.5 * (near_a + near_b)[:, None],
        normal,
    )


def _edge_middle(box: Boxes, axis: jax.Array, direction: jax.Array) -> jax.Array:
    """The middle [3, ...] of the edge along `axis` that lies farthest that way."""
    spans = box.axes * box.half
    sides = [axis_at(spans, axis, step) for step in (1, 2)]
    first, second = (side * jnp.sign(dot(side, direction)) for side in sides)
    return box.center + first + second
