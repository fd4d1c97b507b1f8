"""Finds a batch's contacts within fixed budgets and counts those that do not fit.

Every candidate pair's world-aligned boxes are compared; the nearest are tested by
separating axes; those that overlap most get contact points.
Axes: components lead; G geoms, D driving ones, L boxes that meet planes, S object slots
and C bodies of a subset; N near pairs, Q sensors, K contacts; B environments last.
"""

import functools
import math
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np

from omnivla_jax.sim.engines.mjx.contact.box_box import (
    NO_CONTACT,
    box_box_contacts,
    separation,
)
from omnivla_jax.sim.engines.mjx.contact.candidates import CandidatePairs
from omnivla_jax.sim.engines.mjx.contact.geometry import (
    Boxes,
    Contacts,
    gather_boxes,
    merge_points,
)
from omnivla_jax.sim.engines.mjx.contact.plane_box import (
    PlaneContacts,
    PlaneTables,
    plane_contacts,
)
from omnivla_jax.sim.engines.mjx.contact.tables import ContactTables
from omnivla_jax.sim.engines.mjx.lanes import Take, gather, in_lanes
from omnivla_jax.sim.engines.mjx.vectors import dot
from omnivla_jax.sim.rotation import Array


class CollisionResult(NamedTuple):
    """The contacts of a batch."""

    contacts: Contacts  # [K, B]
    ground_contacts: Contacts  # [4 S, B]: four of each slot's body with the ground
    touching: jax.Array  # bool [B, Q]
    # int32 [B]: overlapping pairs and contact points over budget, and 1 where the list
    # of near pairs is full, so that more might overlap.
    overflow: jax.Array


class SubsetTables(NamedTuple):
    """The tables of each environment's subset, [..., B], or static ones, [..., 1]."""

    geom_body: Array  # int [G, B]
    geom_pos: Array  # [3, G, B]
    geom_axes: Array  # [3, 3, G, B]
    geom_half: Array  # [3, G, B]
    candidates: Array  # [D, G, B]: 1 for a pair, else 0
    ground: PlaneTables
    first_pair: jax.Array  # int32 [1, B]: row of the subset's first pair


def subset_tables(tables: ContactTables, subset: jax.Array) -> SubsetTables:
    """Return the rows of `tables` at `subset` int32 [B]."""

    def select(table: np.ndarray) -> Array:
        if len(table) == 1:
            return table[0][..., None]
        return jnp.moveaxis(jnp.asarray(table)[subset], 0, -1)

    pairs = tables.pairs
    return SubsetTables(
        geom_body=select(tables.geom_body.astype(np.int32)),
        geom_pos=select(tables.geom_pos),
        geom_axes=select(tables.geom_axes),
        geom_half=select(tables.geom_half),
        candidates=select(pairs.candidates.astype(np.float32)),
        ground=PlaneTables(
            select(pairs.planes.astype(np.int32)),
            select(pairs.boxes_on_plane.astype(np.int32)),
            select(pairs.body_boxes.astype(np.int32)),
            select(pairs.collides_with_plane.astype(np.float32)),
        ),
        first_pair=(subset * pairs.num_pairs)[None],
    )


def geom_boxes(
    take: Take, tables: SubsetTables, position: jax.Array, matrix: jax.Array
) -> Boxes:
    """Return the geoms [G, B] of bodies in the world.

    Args:
      take: of the platform.
      tables: of the subsets.
      position: [3, C, B] m, of the bodies.
      matrix: [3, 3, C, B], of the bodies.

    Returns:
      Centres (m), axes and half sizes (m) of the geoms.
    """
    chex.assert_equal_shape_suffix([position, matrix], 2)
    flat = jnp.concatenate([position, matrix.reshape(9, *matrix.shape[2:])])
    flat = take.gather(flat, tables.geom_body)
    columns = flat[3:].reshape(3, 3, *flat.shape[1:]).swapaxes(0, 1)  # axis, component
    center = flat[:3] + dot(columns, tables.geom_pos[:, None])
    axes = dot(columns[:, :, None], tables.geom_axes[:, None])
    half = jnp.broadcast_to(tables.geom_half, center.shape)
    return Boxes(center, axes, half)


def collide(
    tables: ContactTables,
    subset: SubsetTables,
    position: jax.Array,
    matrix: jax.Array,
    num_sensors: int,
) -> CollisionResult:
    """Return all contacts of a batch.

    Args:
      tables: of the model.
      subset: of the environments.
      position: [3, C, B] m, of the bodies.
      matrix: [3, 3, C, B], of the bodies.
      num_sensors: Q.

    Returns:
      Contact points, pairs in touch and the overflow of each environment.
    """
    pairs = tables.pairs
    geoms, distance = in_lanes(_broad_phase, subset, position, matrix)
    near, full = _near_pairs(tables, distance)
    gap = in_lanes(_separations, geoms, near)
    deepest, cell = smallest(gap, min(tables.budget.pairs, len(gap)), near.cell)
    solid, plane = in_lanes(
        functools.partial(_contact_points, pairs),
        subset.ground,
        geoms,
        _cells(cell, geoms.center.shape[-2], deepest),
    )
    every = jax.tree.map(lambda *x: jnp.concatenate(x, axis=-2), solid, plane.contacts)
    distance, position, normal, pair = smallest(
        every.distance,
        min(tables.budget.contacts, len(every.distance)),
        *every[1:],
    )

    # Pairs are numbered from the first subset to the last.
    start = subset.first_pair
    contacts = Contacts(distance, position, normal, start + pair)
    ground = plane.ground_contacts._replace(pair=start + plane.ground_contacts.pair)
    overlaps = jnp.concatenate([gap, plane.height]) < 0
    sensor = jnp.asarray(tables.sensor)[
        start + jnp.concatenate([near.cell, plane.pair])
    ]
    sensor = jnp.where(overlaps, sensor, -1)
    touching = jnp.any(sensor == jnp.arange(num_sensors)[:, None, None], axis=1).T
    overflow = full + _excess(gap < 0, len(deepest))
    overflow += _excess(every.distance < 0, len(distance))
    return CollisionResult(contacts, ground, touching, overflow)


class _Cells(NamedTuple):
    """Cells of the grid of pairs."""

    cell: jax.Array  # int32 [N, B]
    first: jax.Array  # int32 [N, B]: row of the driving geom
    second: jax.Array  # int32 [N, B]: row of the other geom
    overlaps: jax.Array  # [N, B]: < 0 where the world-aligned boxes do


def _broad_phase(
    take: Take, tables: SubsetTables, position: jax.Array, matrix: jax.Array
) -> tuple[Boxes, jax.Array]:
    """The geoms, and the distances [D, G, B] of their world-aligned boxes."""
    geoms = geom_boxes(take, tables, position, matrix)
    drivers = len(tables.candidates)
    reach, center = jnp.abs(geoms.axes) * geoms.half, geoms.center[:, None]
    # Reductions, so that XLA computes a box once and not for each of its pairs.
    low, high = (
        jnp.sum(jnp.concatenate([center, side * reach], axis=1), axis=1)
        for side in (-1.0, 1.0)
    )
    beyond = low[:, :drivers, None] - high[:, None]
    before = low[:, None] - high[:, :drivers, None]
    x, y, z = jnp.maximum(beyond, before)
    distance = jnp.maximum(jnp.maximum(x, y), z)
    return geoms, jnp.where(tables.candidates > 0, distance, NO_CONTACT)


def _near_pairs(tables: ContactTables, distance: jax.Array) -> tuple[_Cells, jax.Array]:
    """The nearest pairs of distances [D, G, B], and the overflow [B]."""
    drivers, count, batch = distance.shape
    budget = min(tables.budget.drivers, drivers)
    overflow = jnp.zeros(batch, jnp.int32)
    rows = jnp.broadcast_to(jnp.arange(drivers)[:, None], (drivers, batch))
    if budget < drivers:  # too many cells to be ranked all together
        nearest = distance.min(axis=1)
        overflow = _excess(nearest < 0, budget)
        _, rows = smallest(nearest, budget, rows)
        distance = jnp.take_along_axis(distance, rows[:, None], axis=0, mode="clip")
    cells = rows[:, None] * count + jnp.arange(count)[:, None]
    near = min(tables.budget.near, budget * count)
    value, cell = smallest(distance.reshape(-1, batch), near, cells.reshape(-1, batch))
    # To count what lies beyond would cost as much as finding what lies within.
    # Asking for the last value only would make XLA sort all pairs.
    full = jnp.all(value < 0, axis=0) & (near < drivers * count)
    return _cells(cell, count, value), overflow + full.astype(jnp.int32)


def _cells(cell: jax.Array, count: int, overlaps: jax.Array) -> _Cells:
    return _Cells(cell, cell // count, cell % count, overlaps)


def _separations(take: Take, geoms: Boxes, near: _Cells) -> jax.Array:
    """The separation [N, B] of near pairs."""
    gap = separation(*_boxes_of_cells(take, geoms, near))
    return jnp.where(near.overlaps < 0, gap, NO_CONTACT)


def _boxes_of_cells(take: Take, geoms: Boxes, cells: _Cells) -> tuple[Boxes, Boxes]:
    return (
        gather_boxes(geoms, cells.first, take),
        gather_boxes(geoms, cells.second, take),
    )


def _contact_points(
    pairs: CandidatePairs,
    take: Take,
    ground: PlaneTables,
    geoms: Boxes,
    cells: _Cells,
) -> tuple[Contacts, PlaneContacts]:
    """Contacts [4 n, B] of the n deepest pairs of boxes, and those with the ground."""
    points = box_box_contacts(take, *_boxes_of_cells(take, geoms, cells))
    distance = jnp.where(cells.overlaps < 0, points.distance, NO_CONTACT)
    normal = jnp.broadcast_to(points.normal[:, None], points.position.shape)
    solid = Contacts(
        merge_points(distance),
        merge_points(points.position),
        merge_points(normal),
        merge_points(jnp.broadcast_to(cells.cell, distance.shape)),
    )
    return solid, plane_contacts(take, pairs, ground, geoms)


def smallest(
    values: jax.Array, count: int, *others: jax.Array
) -> tuple[jax.Array, ...]:
    """Return the least `count` values and what stands beside them.

    Args:
      values: [n, B].
      count: at most n.
      others: arrays [..., n, B].

    Returns:
      The values [count, B] in order, and the entries [..., count, B] of `others`.
    """
    # A TPU sorts the rows of all its lanes at once; a CPU selects faster than it sorts.
    return jax.lax.platform_dependent(
        values,
        *others,
        tpu=functools.partial(smallest_by_sorting, count),
        default=functools.partial(smallest_by_selection, count),
    )


def smallest_by_selection(
    count: int, values: jax.Array, *others: jax.Array
) -> tuple[jax.Array, ...]:
    """See `smallest`."""
    least, rows = jax.lax.top_k(-values.T, count)
    return (-least.T, *(gather(other, rows.T) for other in others))


def smallest_by_sorting(
    count: int, values: jax.Array, *others: jax.Array
) -> tuple[jax.Array, ...]:
    """See `smallest`."""
    parts = [x.reshape(math.prod(x.shape[:-2]), *values.shape) for x in others]
    flat = [values, *(row for part in parts for row in part)]
    rows = [row[:count] for row in jax.lax.sort(flat, dimension=0, num_keys=1)]
    ends = np.cumsum([1, *(len(part) for part in parts)])
    return (
        rows[0],
        *(
            jnp.stack(rows[start:end]).reshape(*x.shape[:-2], *rows[0].shape)
            for start, end, x in zip(ends[:-1], ends[1:], others)
        ),
    )


def _excess(present: jax.Array, budget: int) -> jax.Array:
    """int32 [B]: how many of `present` [n, B] exceed `budget`."""
    count = jnp.sum(present, axis=0, dtype=jnp.int32)
    return jnp.maximum(count - budget, 0)
