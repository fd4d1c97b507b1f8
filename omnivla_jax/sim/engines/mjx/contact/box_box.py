"""Contacts between boxes, for many pairs at once.

Separating axes, then either the incident face clipped by the reference face or the
closest points of two edges. Of a contact area only four points are kept, which carry
the same forces on a rigid body. Lengths in m.
Axes: vectors lead with their 3 components, then come the points of a contact area,
then any shape `...` shared by all pairs.
"""

import functools
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np

from omnivla_jax.sim.engines.mjx.contact.geometry import (
    SQUARE,
    Boxes,
    axis_at,
    first_max,
    select_contact_manifold,
    side_of,
)
from omnivla_jax.sim.engines.mjx.lanes import Take
from omnivla_jax.sim.engines.mjx.vectors import cross, dot

# An edge contact must be shallower than the best face contact by this factor: two
# boxes that nearly lie flat would otherwise flip between the two kinds.
EDGE_PREFERENCE = 0.95
PARALLEL = 1e-6  # squared sine under which two edges span no axis
MIN_LENGTH = 1e-12  # m or m^2: keeps divisions finite
NO_CONTACT = 1.0  # m: distance of padding


class ContactPoints(NamedTuple):
    """Contact points of each pair; those at a distance >= 0 are padding."""

    distance: jax.Array  # [4, ...]
    position: jax.Array  # [3, 4, ...]: half way between the surfaces
    normal: jax.Array  # [3, ...]: unit, from the first box to the second


class _RelativePose(NamedTuple):
    """Box b in box a's frame, and the separation of both along each axis."""

    rotation: jax.Array  # [3, 3, ...]: axis of a, axis of b
    offset_a: jax.Array  # [3, ...]: from a's centre to b's along a's axes
    offset_b: jax.Array  # [3, ...]: the same along b's axes
    faces: jax.Array  # [6, ...]: separation along a's axes, then b's
    edges: jax.Array  # [9, ...]: along the cross products, a's axis slowest


class _ReferenceFace(NamedTuple):
    """A reference face and the other box in its frame: u, v in the face, w outwards."""

    frame: jax.Array  # [3, 3, ...]: world component, then u, v, w
    half: jax.Array  # [3, ...] of the reference box along u, v, w
    rotation: jax.Array  # [3, 3, ...]: u, v, w, then the incident box's axes
    center: jax.Array  # [3, ...] of the incident box


class _IncidentFace(NamedTuple):
    """The incident face in the reference face's frame."""

    center: jax.Array  # [3, ...]
    side_1: jax.Array  # [3, ...]: half edges
    side_2: jax.Array  # [3, ...]


def separation(a: Boxes, b: Boxes) -> jax.Array:
    """Return the greatest separation [...] over the 15 axes, < 0 for an overlap.

    Args:
      a: boxes [...].
      b: boxes [...], one for each of `a`.

    Returns:
      Distances in m; 0 where the boxes touch.
    """
    relative = _relative_pose(a, b)
    return jnp.maximum(relative.faces.max(axis=0), relative.edges.max(axis=0))


def box_box_contacts(take: Take, a: Boxes, b: Boxes) -> ContactPoints:
    """Return up to four contact points of each pair of boxes a [...] and b [...]."""
    chex.assert_equal_shape([a.center, b.center])
    relative = _relative_pose(a, b)
    face, edge = first_max(relative.faces), first_max(relative.edges)
    face_gap, edge_gap = relative.faces.max(axis=0), relative.edges.max(axis=0)
    on_edge = edge_gap > EDGE_PREFERENCE * face_gap
    area = _face_points(take, a, b, relative, face)
    point = _edge_point(take, a, b, relative, edge)
    distance = jnp.where(on_edge, point.distance, area.distance)
    return ContactPoints(
        jnp.where(jnp.maximum(face_gap, edge_gap) < 0, distance, NO_CONTACT),
        jnp.where(on_edge, point.position, area.position),
        jnp.where(on_edge, point.normal, area.normal),
    )


def _relative_pose(a: Boxes, b: Boxes) -> _RelativePose:
    rotation = dot(a.axes[:, :, None], b.axes[:, None, :])
    delta = (b.center - a.center)[:, None]
    offset_a, offset_b = dot(a.axes, delta), dot(b.axes, delta)
    size = jnp.abs(rotation)
    face_a = jnp.abs(offset_a) - a.half - dot(size.swapaxes(0, 1), b.half[:, None])
    face_b = jnp.abs(offset_b) - b.half - dot(size, a.half[:, None])
    return _RelativePose(
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
    # The axis after each of a's and of b's, and the one after that.
    (next_a, last_a), (next_b, last_b) = (
        [functools.partial(jnp.roll, shift=-step, axis=axis) for step in (1, 2)]
        for axis in (0, 1)
    )
    size, offset = jnp.abs(rotation), offset[:, None]
    distance = jnp.abs(
        last_a(offset) * next_a(rotation) - next_a(offset) * last_a(rotation)
    )
    reach = next_a(half_a) * last_a(size) + last_a(half_a) * next_a(size)
    reach += next_b(half_b) * last_b(size) + last_b(half_b) * next_b(size)
    squared = 1.0 - rotation * rotation
    gap = (distance - reach) / jnp.sqrt(jnp.maximum(squared, PARALLEL))
    gap = jnp.where(squared > PARALLEL, gap, -jnp.inf)
    return gap.reshape((9,) + gap.shape[2:])


def _face_points(
    take: Take, a: Boxes, b: Boxes, relative: _RelativePose, face: jax.Array
) -> ContactPoints:
    """The incident face's part below the reference face, as up to four points."""
    swap = face >= 3  # b has the reference face
    reference = _reference_face(a, b, relative, face)

    # The incident face is the other box's face that is turned down most.
    half = jnp.where(swap, a.half, b.half)
    axis = first_max(jnp.abs(reference.rotation[2]))
    spans = reference.rotation * half
    down, side_1, side_2 = (axis_at(spans, axis, step) for step in range(3))
    center = reference.center - down * side_of(down[2])

    u, v, w, exists = _overlap(_IncidentFace(center, side_1, side_2), reference.half)
    depth = jnp.where(exists, reference.half[2] - w, 0.0)
    chosen, valid = select_contact_manifold(take, u, v, depth)
    u, v, depth = (take.rows(part, chosen) for part in (u, v, depth))
    local = jnp.stack([u, v, reference.half[2] - 0.5 * depth])  # [3, 4, ...]
    offset = dot(reference.frame.swapaxes(0, 1)[:, :, None], local[:, None])
    outwards = reference.frame[:, 2]
    return ContactPoints(
        jnp.where(valid, -depth, NO_CONTACT),
        jnp.where(swap, b.center, a.center)[:, None] + offset,
        jnp.where(swap, -outwards, outwards),
    )


def _reference_face(
    a: Boxes, b: Boxes, relative: _RelativePose, face: jax.Array
) -> _ReferenceFace:
    swap = face >= 3
    axis = jnp.where(swap, face - 3, face)
    frame = jnp.where(swap, b.axes, a.axes)
    half = jnp.where(swap, b.half, a.half)
    rotation = relative.rotation
    rows = jnp.where(swap, rotation, rotation.swapaxes(0, 1))  # incident, reference
    offset = jnp.where(swap, -relative.offset_b, relative.offset_a)
    # [n, 3 axes, ...] each, with the two sides first, then the normal.
    frame, rows, half, center = (
        jnp.stack([axis_at(part, axis, step) for step in (1, 2, 0)], axis=1)
        for part in (frame, rows, half[None], offset[None])
    )
    half, center = half[0], center[0]
    above = jnp.where(center[2] >= 0, 1.0, -1.0)
    flip = jnp.stack([jnp.ones_like(above), jnp.ones_like(above), above])
    rotation = (rows * flip).swapaxes(0, 1)
    return _ReferenceFace(frame * flip, half, rotation, center * flip)


def _overlap(
    incident: _IncidentFace, half: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    """Twelve points among which are the overlap's corners: u, v, w, which exist.

    Each edge of the incident face gives the start and the end of what lies inside the
    reference face; each corner of the latter the point of the incident plane above it.
    """
    center, side_1, side_2 = incident
    corners = [center + s * side_1 + t * side_2 for s, t in SQUARE]
    start = jnp.stack(corners, axis=1)  # [3, 4, ...]
    along = jnp.stack(corners[1:] + corners[:1], axis=1) - start
    slope = jnp.where(jnp.abs(along) < MIN_LENGTH, MIN_LENGTH, along)[:2]
    sides = half[:2, None]
    low, high = (-sides - start[:2]) / slope, (sides - start[:2]) / slope
    enter = jnp.maximum(jnp.minimum(low, high).max(axis=0), 0.0)
    leave = jnp.minimum(jnp.maximum(low, high).min(axis=0), 1.0)
    inside = enter <= leave

    signs = np.array(SQUARE, np.float32).reshape((4, 2) + (1,) * (half.ndim - 1))
    du, dv = signs[:, 0] * half[0] - center[0], signs[:, 1] * half[1] - center[1]
    area = side_1[0] * side_2[1] - side_1[1] * side_2[0]
    area = jnp.where(jnp.abs(area) < MIN_LENGTH, MIN_LENGTH, area)
    s = (du * side_2[1] - dv * side_2[0]) / area
    t = (side_1[0] * dv - side_1[1] * du) / area
    above = center[:, None] + side_1[:, None] * s + side_2[:, None] * t
    covered = (jnp.abs(s) <= 1.0) & (jnp.abs(t) <= 1.0)

    points = jnp.concatenate([start + enter * along, start + leave * along, above], 1)
    exists = jnp.concatenate([inside, inside & (leave < 1.0), covered])
    return points[0], points[1], points[2], exists


def _edge_point(
    take: Take, a: Boxes, b: Boxes, relative: _RelativePose, edge: jax.Array
) -> ContactPoints:
    """The one contact of two crossing edges."""

    def midpoint(box: Boxes, axis: jax.Array, direction: jax.Array) -> jax.Array:
        """Midpoint [3, ...] of the edge along `axis` farthest in `direction`."""
        spans = box.axes * box.half
        sides = [axis_at(spans, axis, step) for step in (1, 2)]
        first, second = (side * side_of(dot(side, direction)) for side in sides)
        return box.center + first + second

    # The edge's axes; divisions of integers are slow in lanes.
    axis_a = jnp.where(edge >= 6, 2, jnp.where(edge >= 3, 1, 0))
    axis_b = edge - 3 * axis_a
    along_a, along_b = axis_at(a.axes, axis_a, 0), axis_at(b.axes, axis_b, 0)
    normal = cross(along_a, along_b)
    normal = normal / jnp.sqrt(jnp.maximum(dot(normal, normal), PARALLEL))
    normal = normal * jnp.where(dot(normal, b.center - a.center) >= 0, 1.0, -1.0)
    point_a = midpoint(a, axis_a, normal)
    point_b = midpoint(b, axis_b, -normal)
    gap, cosine = point_b - point_a, dot(along_a, along_b)
    on_a, on_b = dot(gap, along_a), dot(gap, along_b)
    sine = jnp.maximum(1.0 - cosine * cosine, PARALLEL)
    near_a = point_a + along_a * ((on_a - cosine * on_b) / sine)
    near_b = point_b + along_b * ((cosine * on_a - on_b) / sine)
    depth = take.rows(relative.edges, edge[None])
    padding = jnp.full_like(depth, NO_CONTACT)
    return ContactPoints(
        jnp.concatenate([depth, padding, padding, padding]),
        0.5 * (near_a + near_b)[:, None],
        normal,
    )
