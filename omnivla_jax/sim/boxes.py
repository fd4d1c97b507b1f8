"""Contacts of boxes with boxes and of boxes with planes, for many pairs at once.

Box pairs: separating axes, then the incident face clipped by the reference face, or
the closest points of two edges. Of a contact area only four points are kept, which
carry the same forces on a rigid body. Lengths in m.
Axes: vectors lead with their 3 components, then come E candidate points, where there
are several, then any shape `...` shared by all pairs (long, so that XLA vectorises).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

# An edge contact must be shallower than the best face contact by this factor: two
# boxes that nearly lie flat would otherwise flip between the two kinds.
EDGE_PREFERENCE = 0.95
PARALLEL = 1e-6  # squared sine under which two edges span no axis
MIN_SPREAD = 1e-6  # m or m^2: nearer points add nothing to a contact area
MANIFOLD = 4


class Boxes(NamedTuple):
    """Oriented boxes."""

    center: jax.Array  # [3, ...]
    axes: jax.Array  # [3, 3, ...]: world component, then box axis
    half: jax.Array  # [3, ...]


class Points(NamedTuple):
    """Contact points of each pair; a distance >= 0 means that there is none."""

    distance: jax.Array  # [4, ...]
    position: jax.Array  # [3, 4, ...]: half way between the surfaces
    normal: jax.Array  # [3, ...]: unit, from the first shape to the second


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
    face = jnp.argmax(relative.faces, axis=0)
    edge = jnp.argmax(relative.edges, axis=0)
    depth_face, depth_edge = relative.faces.max(axis=0), relative.edges.max(axis=0)
    on_edge = depth_edge > EDGE_PREFERENCE * depth_face
    apart = jnp.maximum(depth_face, depth_edge) >= 0
    area, point = _face_points(a, b, relative, face), _edge_point(a, b, relative, edge)
    distance = jnp.where(on_edge, point.distance, area.distance)
    return Points(
        jnp.where(apart, 1.0, distance),
        jnp.where(on_edge, point.position, area.position),
        jnp.where(on_edge, point.normal, area.normal),
    )


def corners_below(
    boxes: Boxes, point: jax.Array, normal: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """The four corners of each box's lowest face: heights [4, ...], corners [3, 4, ...].

    `point` and `normal` [3, ...] give the plane.
    """
    reach = dot(boxes.axes, normal[:, None]) * boxes.half  # [3, ...]
    lowest = jnp.argmax(jnp.abs(reach), axis=0)
    spans = boxes.axes * boxes.half  # [3 components, 3 axes, ...]
    down, side_1, side_2 = (_turn(spans, lowest, k) for k in range(3))
    down = down * jnp.sign(dot(down, normal))
    center = boxes.center - down
    corners = jnp.stack(
        [center + s * side_1 + t * side_2 for s, t in _SQUARE], axis=1
    )
    return dot(corners, normal[:, None]) - dot(point, normal), corners


def spread(u: jax.Array, v: jax.Array, depth: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Chooses four of E points in a plane that span the contact area.

    The deepest, the one farthest from it, and the farthest on either side of the line
    through both.

    Args:
      u, v: [E, ...] coordinates in the plane.
      depth: [E, ...]; points with a depth of 0 or less are no contacts.

    Returns:
      The indices [4, ...] and which of them count [4, ...].
    """
    there = depth > 0
    first = jnp.argmax(depth, axis=0)
    du, dv = u - _take(u, first), v - _take(v, first)
    far = jnp.where(there, du * du + dv * dv, 0.0)
    second = jnp.argmax(far, axis=0)
    side = jnp.where(there, _take(du, second) * dv - _take(dv, second) * du, 0.0)
    scale = jnp.sqrt(far.max(axis=0)) * MIN_SPREAD
    chosen = jnp.stack([first, second, jnp.argmax(side, 0), jnp.argmin(side, 0)])
    counts = jnp.stack(
        [
            there.any(axis=0),
            far.max(axis=0) > MIN_SPREAD**2,
            side.max(axis=0) > scale,
            side.min(axis=0) < -scale,
        ]
    )
    return chosen, counts


def tangents(normal: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Two unit vectors [3, ...] that complete `normal` [3, ...] to a frame."""
    x, y, z = normal
    flat = jnp.abs(y) < 0.5  # start from y, or from z where the normal is near y
    zero = jnp.zeros_like(x)
    start = jnp.where(flat, jnp.stack([zero, zero + 1, zero]), jnp.stack([zero, zero, zero + 1]))
    first = start - normal * dot(start, normal)
    first = first / jnp.sqrt(dot(first, first))
    return first, cross(normal, first)


def dot(a: jax.Array, b: jax.Array) -> jax.Array:
    """Inner products [...] of vectors [3, ...]."""
    # Written out: as a dot_general XLA would call a matrix product for each pair.
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def cross(a: jax.Array, b: jax.Array) -> jax.Array:
    """Cross products [3, ...]."""
    return jnp.stack([a[i - 2] * b[i - 1] - a[i - 1] * b[i - 2] for i in range(3)])


_SQUARE = ((1.0, 1.0), (-1.0, 1.0), (-1.0, -1.0), (1.0, -1.0))


def _take(values: jax.Array, index: jax.Array) -> jax.Array:
    """`values` [E, ...] at `index` [...]."""
    return jnp.take_along_axis(values, index[None], axis=0)[0]


def _turn(values: jax.Array, index: jax.Array, step: int) -> jax.Array:
    """`values` [3 components, 3 axes, ...] at axis `index + step` modulo 3."""
    x, y, z = (values[:, (k + step) % 3] for k in range(3))
    return jnp.where(index == 0, x, jnp.where(index == 1, y, z))


def _relative(a: Boxes, b: Boxes) -> _Relative:
    rotation = dot(a.axes[:, :, None], b.axes[:, None, :])
    delta = b.center - a.center
    offset_a, offset_b = dot(a.axes, delta[:, None]), dot(b.axes, delta[:, None])
    size = jnp.abs(rotation)
    face_a = jnp.abs(offset_a) - a.half - dot(size.swapaxes(0, 1), b.half[:, None])
    face_b = jnp.abs(offset_b) - b.half - dot(size, a.half[:, None])
    return _Relative(
        rotation,
        offset_a,
        offset_b,
        jnp.concatenate([face_a, face_b]),
        _edge_separations(rotation, offset_a, a.half, b.half),
    )


def _edge_separations(
    rotation: jax.Array, offset: jax.Array, half_a: jax.Array, half_b: jax.Array
) -> jax.Array:
    """Separation [9, ...] along the cross products of a's and b's axes."""

    def next_a(values: jax.Array, step: int) -> jax.Array:
        return jnp.roll(values, -step, axis=0)

    def next_b(values: jax.Array, step: int) -> jax.Array:
        return jnp.roll(values, -step, axis=1)

    size = jnp.abs(rotation)
    distance = jnp.abs(
        next_a(offset, 2)[:, None] * next_a(rotation, 1)
        - next_a(offset, 1)[:, None] * next_a(rotation, 2)
    )
    half_a, half_b = half_a[:, None], half_b[None]
    reach = next_a(half_a, 1) * next_a(size, 2) + next_a(half_a, 2) * next_a(size, 1)
    reach += next_b(half_b, 1) * next_b(size, 2) + next_b(half_b, 2) * next_b(size, 1)
    squared = 1.0 - rotation * rotation
    length = jnp.sqrt(jnp.maximum(squared, PARALLEL))
    edges = jnp.where(squared > PARALLEL, (distance - reach) / length, -jnp.inf)
    return edges.reshape((9,) + edges.shape[2:])


class _Face(NamedTuple):
    """An incident face over a reference face, in the latter's frame (u, v, w up)."""

    center: jax.Array  # [3, ...]
    side_1: jax.Array  # [3, ...]: half edges
    side_2: jax.Array  # [3, ...]
    half: jax.Array  # [3, ...] of the reference box


def _face_points(a: Boxes, b: Boxes, relative: _Relative, face: jax.Array) -> Points:
    """The incident face's part below the reference face, as up to four points."""
    swap, axis = face >= 3, face % 3
    center = jnp.where(swap, b.center, a.center)
    frame = jnp.where(swap, b.axes, a.axes)
    half = jnp.where(swap, b.half, a.half)
    half_incident = jnp.where(swap, a.half, b.half)
    # Columns: the incident box's axes; rows: the reference box's.
    turned = jnp.where(swap, relative.rotation.swapaxes(0, 1), relative.rotation)
    offset = jnp.where(swap, -relative.offset_b, relative.offset_a)
    w, u, v = (_turn(frame, axis, k) for k in range(3))
    order = [_turn(turned.swapaxes(0, 1), axis, k) for k in (1, 2, 0)]
    offset_u, offset_v, offset_w = (
        _turn(offset[None], axis, k)[0] for k in (1, 2, 0)
    )
    up = jnp.where(offset_w >= 0, 1.0, -1.0)
    rotation = jnp.stack([order[0], order[1], up * order[2]])
    place = jnp.stack([offset_u, offset_v, up * offset_w])
    incident = _incident_face(rotation, place, half_incident)
    half_ref = jnp.stack([_turn(half[None], axis, k)[0] for k in (1, 2, 0)])
    x, y, height, inside = _overlap(incident, half_ref)
    depth = jnp.where(inside, half_ref[2] - height, 0.0)
    chosen, counts = spread(x, y, depth)
    x, y, depth = (jnp.take_along_axis(part, chosen, axis=0) for part in (x, y, depth))
    middle = up * (half_ref[2] - 0.5 * depth)
    position = center[:, None] + u[:, None] * x + v[:, None] * y + w[:, None] * middle
    return Points(
        jnp.where(counts, -depth, 1.0), position, w * jnp.where(swap, -up, up)
    )


def _incident_face(
    rotation: jax.Array, place: jax.Array, half: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Centre and half edges [3, ...] of the face that looks down most."""
    axis = jnp.argmax(jnp.abs(rotation[2]), axis=0)
    spans = rotation * half
    down, side_1, side_2 = (_turn(spans, axis, k) for k in range(3))
    return place - down * jnp.sign(down[2]), side_1, side_2


def _overlap(
    incident: tuple[jax.Array, jax.Array, jax.Array], half: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    """Twelve points that contain the overlap's corners: u, v, w and which exist.

    Each edge of the incident face gives the start and the end of what lies inside the
    reference face; each corner of the latter the point above it.
    """
    center, side_1, side_2 = incident
    corners = [center + s * side_1 + t * side_2 for s, t in _SQUARE]
    start = jnp.stack(corners, axis=1)  # [3, 4, ...]
    along = jnp.stack(corners[1:] + corners[:1], axis=1) - start
    safe = jnp.where(jnp.abs(along) < 1e-12, 1e-12, along)[:2]
    low, high = (-half[:2, None] - start[:2]) / safe, (half[:2, None] - start[:2]) / safe
    enter = jnp.maximum(jnp.minimum(low, high).max(axis=0), 0.0)
    leave = jnp.minimum(jnp.maximum(low, high).min(axis=0), 1.0)
    inside = enter <= leave
    above, covered = _above_corners(incident, half)
    points = jnp.concatenate([start + enter * along, start + leave * along, above], 1)
    exists = jnp.concatenate([inside, inside & (leave < 1.0), covered])
    return points[0], points[1], points[2], exists


def _above_corners(
    incident: tuple[jax.Array, jax.Array, jax.Array], half: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """The incident face's points [3, 4, ...] above the reference face's corners."""
    center, side_1, side_2 = incident
    signs = jnp.array(_SQUARE).reshape((4, 2) + (1,) * (half.ndim - 1))
    du, dv = signs[:, 0] * half[0] - center[0], signs[:, 1] * half[1] - center[1]
    area = side_1[0] * side_2[1] - side_1[1] * side_2[0]
    area = jnp.where(jnp.abs(area) < 1e-12, 1e-12, area)
    s = (du * side_2[1] - dv * side_2[0]) / area
    t = (side_1[0] * dv - side_1[1] * du) / area
    point = center[:, None] + side_1[:, None] * s + side_2[:, None] * t
    return point, (jnp.abs(s) <= 1.0) & (jnp.abs(t) <= 1.0)


def _edge_point(a: Boxes, b: Boxes, relative: _Relative, edge: jax.Array) -> Points:
    """The one contact of two crossing edges."""
    axis_a, axis_b = edge // 3, edge % 3
    along_a, along_b = _turn(a.axes, axis_a, 0), _turn(b.axes, axis_b, 0)
    normal = cross(along_a, along_b)
    normal = normal / jnp.sqrt(jnp.maximum(dot(normal, normal), PARALLEL))
    delta = b.center - a.center
    normal = normal * jnp.where(dot(normal, delta) >= 0, 1.0, -1.0)
    point_a = a.center + _corner_towards(a, axis_a, normal)
    point_b = b.center + _corner_towards(b, axis_b, -normal)
    gap = point_b - point_a
    cosine = dot(along_a, along_b)
    on_a, on_b = dot(gap, along_a), dot(gap, along_b)
    sine = jnp.maximum(1.0 - cosine * cosine, PARALLEL)
    near_a = point_a + along_a * ((on_a - cosine * on_b) / sine)
    near_b = point_b + along_b * ((cosine * on_a - on_b) / sine)
    depth = _take(relative.edges, edge)
    missing = jnp.ones_like(depth)
    return Points(
        jnp.stack([depth, missing, missing, missing]),
        (0.5 * (near_a + near_b))[:, None],
        normal,
    )


def _corner_towards(
    box: Boxes, axis: jax.Array, direction: jax.Array
) -> jax.Array:
    """From the centre to the middle of the edge along `axis` farthest that way."""
    spans = box.axes * box.half
    sides = (_turn(spans, axis, 1), _turn(spans, axis, 2))
    return sum(side * jnp.sign(dot(side, direction)) for side in sides)
