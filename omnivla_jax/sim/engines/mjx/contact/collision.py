"""Finds a batch's contacts within fixed budgets and counts those that do not fit.

Every candidate pair's world-aligned boxes are compared; the nearest are tested by
separating axes; those that overlap most get contact points.
Axes: B environments; G geoms, D driving ones, L boxes that meet planes, S object slots
and C bodies of a subset; N near pairs, Q sensors, K contacts. Vectors lead with their
components.
"""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from omnivla_jax.sim.engines.mjx.contact.box_box import (
    NO_CONTACT,
    box_box_contacts,
    separation,
)
from omnivla_jax.sim.engines.mjx.contact.candidates import select_rows
from omnivla_jax.sim.engines.mjx.contact.geometry import (
    Boxes,
    Contacts,
    dot,
    gather_boxes,
    merge_points,
)
from omnivla_jax.sim.engines.mjx.contact.plane_box import plane_contacts
from omnivla_jax.sim.engines.mjx.contact.tables import ContactTables


class CollisionResult(NamedTuple):
    """The contacts of a batch."""

    contacts: Contacts  # [B, K]
    ground_contacts: Contacts  # [B, 4 S]: four of each slot's body with the ground
    touching: jax.Array  # bool [B, Q]
    # int32 [B]: overlapping pairs and contact points over budget, and 1 where the list
    # of near pairs is full, so that more might overlap.
    overflow: jax.Array


def geom_boxes(
    tables: ContactTables, subset: jax.Array, position: jax.Array, matrix: jax.Array
) -> Boxes:
    """Return the geoms [B, G] of bodies in the world.

    Args:
      tables: of the model.
      subset: int32 [B].
      position: [B, C, 3] m, of the bodies.
      matrix: [B, C, 3, 3], of the bodies.

    Returns:
      Centres (m), axes and half sizes (m) of the geoms.
    """
    chex.assert_equal_shape_prefix([position, matrix], 2)
    body = select_rows(subset, tables.geom_body)
    flat = jnp.concatenate([position, matrix.reshape(*matrix.shape[:2], 9)], axis=-1)
    flat = jnp.take_along_axis(flat.transpose(2, 0, 1), body[None], -1, mode="clip")
    columns = flat[3:].reshape(3, 3, *flat.shape[1:]).swapaxes(0, 1)  # axis, component
    local_position, local_axes, half = (
        jnp.moveaxis(select_rows(subset, table), 0, -2)
        for table in (tables.geom_pos, tables.geom_axes, tables.geom_half)
    )
    center = flat[:3] + dot(columns, local_position[:, None])
    axes = dot(columns[:, :, None], local_axes[:, None])
    return Boxes(center, axes, half)


def collide(
    tables: ContactTables, subset: jax.Array, geoms: Boxes, num_sensors: int
) -> CollisionResult:
    """Return all contacts of a batch.

    Args:
      tables: of the model.
      subset: int32 [B].
      geoms: [B, G].
      num_sensors: Q.

    Returns:
      Contact points, pairs in touch and the overflow of each environment.
    """
    near, gap, near_overflow = _near_pairs(tables, subset, geoms)
    solid, pair_overflow = _box_contacts(tables, geoms, near, gap)
    plane = plane_contacts(tables.pairs, subset, geoms)
    contacts, point_overflow = _deepest(solid, plane.contacts, tables.budget.contacts)

    # Pairs are numbered from the first subset to the last.
    start = (subset * tables.pairs.num_pairs)[:, None]
    pair = start + jnp.concatenate([near, plane.pair], axis=-1)
    overlaps = jnp.concatenate([gap, plane.height], axis=-1) < 0
    ground = plane.ground_contacts
    contacts = contacts._replace(pair=start + contacts.pair)
    ground = ground._replace(pair=start + ground.pair)
    sensor = jnp.where(overlaps, jnp.asarray(tables.sensor)[pair], -1)
    touching = jnp.any(sensor[:, None] == jnp.arange(num_sensors)[:, None], axis=-1)
    overflow = near_overflow + pair_overflow + point_overflow
    return CollisionResult(contacts, ground, touching, overflow)


def _near_pairs(
    tables: ContactTables, subset: jax.Array, geoms: Boxes
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Cells [B, N] of the nearest pairs, their separation [B, N], the overflow [B]."""
    _, drivers, count = tables.pairs.candidates.shape

    # Distances of world-aligned bounding boxes.
    reach, center = jnp.abs(geoms.axes) * geoms.half, geoms.center[:, None]
    # Reductions, so that XLA computes a box once and not for each of its pairs.
    low, high = (
        jnp.sum(jnp.concatenate([center, side * reach], axis=1), axis=1)
        for side in (-1.0, 1.0)
    )
    beyond = low[..., :drivers, None] - high[:, :, None]
    before = low[:, :, None] - high[..., :drivers, None]
    x, y, z = jnp.maximum(beyond, before)
    distance = jnp.maximum(jnp.maximum(x, y), z)  # [B, D, G]
    candidates = select_rows(subset, tables.pairs.candidates)
    distance = jnp.where(candidates, distance, NO_CONTACT)

    rows, distance, driver_overflow = _nearest_drivers(tables, distance)
    budget = min(tables.budget.near, distance.shape[1] * count)
    value, rank = jax.lax.top_k(-distance.reshape(len(distance), -1), budget)
    driver = jnp.take_along_axis(rows, rank // count, axis=-1, mode="clip")
    near = driver * count + rank % count
    gap = separation(*_boxes_of_cells(geoms, near))
    gap = jnp.where(value > 0, gap, NO_CONTACT)
    # To count what lies beyond would cost as much as finding what lies within.
    # Asking for the last value only would make XLA sort all pairs.
    full = jnp.all(value > 0, axis=-1) & (budget < drivers * count)
    return near, gap, full.astype(jnp.int32) + driver_overflow


def _nearest_drivers(
    tables: ContactTables, distance: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Rows [B, R] of the drivers nearest to anything, theirs [B, R, G], the overflow.

    The cells of a scene of many things are too many to be ranked all together.
    """
    batch, drivers, _ = distance.shape
    budget = min(tables.budget.drivers, drivers)
    nearest = distance.min(axis=-1)
    if budget < drivers:
        _, rows = jax.lax.top_k(-nearest, budget)
        distance = jnp.take_along_axis(distance, rows[..., None], axis=1, mode="clip")
    else:
        rows = jnp.broadcast_to(jnp.arange(drivers), (batch, drivers))
    return rows, distance, _excess(nearest < 0, budget)


def _boxes_of_cells(geoms: Boxes, cells: jax.Array) -> tuple[Boxes, Boxes]:
    """The two boxes of each cell [B, N]."""
    count = geoms.center.shape[-1]
    return gather_boxes(geoms, cells // count), gather_boxes(geoms, cells % count)


def _box_contacts(
    tables: ContactTables, geoms: Boxes, near: jax.Array, gap: jax.Array
) -> tuple[Contacts, jax.Array]:
    """Contacts [B, 4 n] of the n deepest pairs of boxes, and the overflow [B]."""
    budget = min(tables.budget.pairs, gap.shape[-1])
    value, rank = jax.lax.top_k(-gap, budget)
    cells = jnp.take_along_axis(near, rank, axis=-1, mode="clip")
    points = box_box_contacts(*_boxes_of_cells(geoms, cells))
    distance = jnp.where(value > 0, points.distance, NO_CONTACT)
    normal = jnp.broadcast_to(points.normal[:, None], points.position.shape)
    contacts = Contacts(
        merge_points(distance),
        merge_points(points.position),
        merge_points(normal),
        merge_points(jnp.broadcast_to(cells, distance.shape)),
    )
    return contacts, _excess(gap < 0, budget)


def _deepest(
    solid: Contacts, plane: Contacts, budget: int
) -> tuple[Contacts, jax.Array]:
    """The K deepest contacts of both kinds, and the overflow [B]."""
    every = jax.tree.map(lambda *x: jnp.concatenate(x, axis=-1), solid, plane)
    budget = min(budget, every.distance.shape[-1])
    value, rank = jax.lax.top_k(-every.distance, budget)

    def take(values: jax.Array) -> jax.Array:
        index = rank.reshape((1,) * (values.ndim - 2) + rank.shape)
        return jnp.take_along_axis(values, index, axis=-1, mode="clip")

    contacts = Contacts(-value, *(take(part) for part in every[1:]))
    return contacts, _excess(every.distance < 0, budget)


def _excess(present: jax.Array, budget: int) -> jax.Array:
    """int32 [B]: how many of `present` [B, ...] exceed `budget`."""
    count = jnp.sum(present, axis=tuple(range(1, present.ndim)), dtype=jnp.int32)
    return jnp.maximum(count - budget, 0)
