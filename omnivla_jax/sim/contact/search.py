"""Finds a batch's contacts within fixed budgets and counts those that do not fit.

Every candidate pair's world-aligned boxes are compared; the nearest are tested by
separating axes; those that overlap most get contact points. A body's contacts with the
ground, the highest plane, are reduced to four.
Axes: B environments, D driving geoms, G geoms, N near pairs, S solid pairs, L boxes and
W bodies that meet planes, P watched pairs, K contacts. Vectors lead with their
components.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from omnivla_jax.sim.contact.boxes import APART, separation, touch
from omnivla_jax.sim.contact.geometry import (
    Boxes,
    corners_below,
    dot,
    spread,
    take_rows,
)
from omnivla_jax.sim.contact.tables import ContactTables


class Contacts(NamedTuple):
    """Contact points; those at a distance of 0 or more are empty slots."""

    distance: jax.Array  # [B, K]
    position: jax.Array  # [3, B, K]
    normal: jax.Array  # [3, B, K]: from the first body to the second
    entry: jax.Array  # int32 [B, K]: row of the tables


class Found(NamedTuple):
    """The outcome of a search."""

    contacts: Contacts
    touching: jax.Array  # bool [B, P]
    # int32 [B]: overlapping pairs and contact points without room, and 1 where the
    # list of near pairs is full, so that more might overlap.
    overflow: jax.Array


def search(
    tables: ContactTables, center: jax.Array, axes: jax.Array, watched: int
) -> Found:
    """All contacts of a batch.

    Args:
      tables: of the model.
      center: [3, B, G] of the geoms.
      axes: [3, 3, B, G]: world component, then geom axis.
      watched: P.
    """
    geoms = Boxes(center, axes, jnp.asarray(tables.half)[:, None])
    near, gap, crowded = _near_pairs(tables, geoms)
    solid, tight = _solid_contacts(tables, geoms, near, gap)
    flat, height, lines = _ground_contacts(tables, geoms)
    contacts, surplus = _deepest(solid, flat, tables.budget.contacts)
    entry = jnp.concatenate([near, lines], axis=-1)
    overlaps = jnp.concatenate([gap, height], axis=-1) < 0
    touching = _touching(tables, entry, overlaps, watched)
    return Found(contacts, touching, crowded + tight + surplus)


def _near_pairs(
    tables: ContactTables, geoms: Boxes
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Cells [B, N] of the nearest pairs, their separation [B, N], which are full."""
    reach = jnp.abs(geoms.axes) * geoms.half
    reach = reach[:, 0] + reach[:, 1] + reach[:, 2]  # [3, B, G], along world axes
    at, size = (part[..., tables.drivers, None] for part in (geoms.center, reach))
    apart = jnp.abs(at - geoms.center[:, :, None]) - size - reach[:, :, None]
    apart = jnp.maximum(jnp.maximum(apart[0], apart[1]), apart[2])  # [B, D, G]
    apart = jnp.where(tables.candidates, apart, APART)
    rows, apart, left_out = _nearest_drivers(tables, apart)
    _, chosen, geoms_each = apart.shape
    room = min(tables.budget.near, chosen * geoms_each)
    value, rank = jax.lax.top_k(-apart.reshape(len(apart), -1), room)
    driver = jnp.take_along_axis(rows, rank // geoms_each, axis=-1, mode="clip")
    near = driver * geoms_each + rank % geoms_each
    gap = separation(*_pair(tables, geoms, near))
    gap = jnp.where(value > 0, gap, APART)
    # To count what lies beyond would cost as much as finding what lies within.
    # Asking for the last value only would make XLA sort all pairs.
    full = jnp.all(value > 0, axis=-1) & (room < tables.candidates.size)
    return near, gap, full.astype(jnp.int32) + left_out


def _nearest_drivers(
    tables: ContactTables, apart: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Rows [B, R] of the drivers nearest to anything, theirs [B, R, G], the overflow.

    The cells of a scene of many things are too many to be ranked all together.
    """
    batch, drivers, _ = apart.shape
    room = min(tables.budget.drivers, drivers)
    nearest = apart.min(axis=-1)
    if room < drivers:
        _, rows = jax.lax.top_k(-nearest, room)
        apart = jnp.take_along_axis(apart, rows[..., None], axis=1, mode="clip")
    else:
        rows = jnp.broadcast_to(jnp.arange(drivers), (batch, drivers))
    return rows, apart, _beyond(nearest < 0, room)


def _pair(tables: ContactTables, geoms: Boxes, cells: jax.Array) -> tuple[Boxes, Boxes]:
    """The two boxes of each cell [B, N]."""
    count = tables.candidates.shape[1]
    driver = jnp.asarray(tables.drivers)[cells // count]
    return _pick(geoms, driver), _pick(geoms, cells % count)


def _pick(geoms: Boxes, index: jax.Array) -> Boxes:
    """Each environment's geoms `index` [B, N]."""
    half = jnp.broadcast_to(geoms.half, geoms.center.shape)
    flat = geoms.axes.reshape((9,) + geoms.axes.shape[2:])
    every = jnp.concatenate([geoms.center, flat, half])
    taken = jnp.take_along_axis(every, index[None], axis=-1, mode="clip")
    return Boxes(taken[:3], taken[3:12].reshape((3, 3) + index.shape), taken[12:])


def _solid_contacts(
    tables: ContactTables, geoms: Boxes, near: jax.Array, gap: jax.Array
) -> tuple[Contacts, jax.Array]:
    """Contacts [B, 4 S] of the deepest pairs of boxes, and the overflow."""
    room = min(tables.budget.pairs, gap.shape[-1])
    value, rank = jax.lax.top_k(-gap, room)
    cells = jnp.take_along_axis(near, rank, axis=-1, mode="clip")
    points = touch(*_pair(tables, geoms, cells))
    distance = jnp.where(value > 0, points.distance, APART)
    normal = jnp.broadcast_to(points.normal[:, None], points.position.shape)
    found = Contacts(
        _join(distance),
        _join(points.position),
        _join(normal),
        _join(jnp.broadcast_to(cells, distance.shape)),
    )
    return found, _beyond(gap < 0, room)


def _join(values: jax.Array) -> jax.Array:
    """[..., 4, B, N] to [..., B, 4 N]."""
    moved = jnp.moveaxis(values, -3, -2)
    return moved.reshape(moved.shape[:-2] + (-1,))


def _ground_contacts(
    tables: ContactTables, geoms: Boxes
) -> tuple[Contacts, jax.Array, jax.Array]:
    """Contacts [B, 4 W] with the ground; heights above it and entries [B, L]."""
    highest = jnp.argmax(geoms.center[2][:, tables.planes], axis=-1)
    ground = _pick(geoms, jnp.asarray(tables.planes)[highest][:, None])
    up = ground.axes[:, 2]
    solid = Boxes(*(part[..., tables.grounded] for part in geoms))
    height, corner = corners_below(solid, ground.center, up)  # [4, B, L]
    height = jnp.where(jnp.asarray(tables.meets)[highest], height, APART)
    u, v = (dot(corner, ground.axes[:, k, None]) for k in range(2))
    u, v, depth, corner = (_by_group(tables, x) for x in (u, v, -height, corner))
    chosen, counts = spread(u, v, depth)  # [4, B, W]
    depth = take_rows(depth, chosen)
    corner = jnp.take_along_axis(corner, chosen[None], axis=1, mode="clip")
    member = chosen % tables.groups.shape[1]
    row = jnp.asarray(tables.groups)[jnp.arange(len(tables.groups)), member]
    first = tables.candidates.size + len(tables.grounded) * highest[:, None]
    contacts = Contacts(
        _join(jnp.where(counts, -depth, APART)),
        _join(corner + 0.5 * depth * up[:, None]),
        _join(jnp.broadcast_to(up[:, None], corner.shape)),
        _join(first + row),
    )
    return contacts, height.min(axis=0), first + jnp.arange(len(tables.grounded))


def _by_group(tables: ContactTables, values: jax.Array) -> jax.Array:
    """Corners [..., 4, B, L] as candidates [..., 4 S, B, W], the box fastest."""
    grouped = jnp.moveaxis(values[..., tables.groups], -1, -3)  # [..., 4, S, B, W]
    shape = grouped.shape
    return grouped.reshape(shape[:-4] + (shape[-4] * shape[-3],) + shape[-2:])


def _deepest(
    solid: Contacts, flat: Contacts, budget: int
) -> tuple[Contacts, jax.Array]:
    """The K deepest contacts of both kinds, and the overflow."""
    every = jax.tree.map(lambda *x: jnp.concatenate(x, axis=-1), solid, flat)
    room = min(budget, every.distance.shape[-1])
    value, rank = jax.lax.top_k(-every.distance, room)

    def take(values: jax.Array) -> jax.Array:
        index = rank.reshape((1,) * (values.ndim - 2) + rank.shape)
        return jnp.take_along_axis(values, index, axis=-1, mode="clip")

    kept = Contacts(-value, *(take(part) for part in every[1:]))
    return kept, _beyond(every.distance < 0, room)


def _beyond(present: jax.Array, room: int) -> jax.Array:
    """int32 [B]: how many of `present` [B, ...] exceed `room`."""
    count = jnp.sum(present, axis=tuple(range(1, present.ndim)), dtype=jnp.int32)
    return jnp.maximum(count - room, 0)


def _touching(
    tables: ContactTables, entry: jax.Array, overlaps: jax.Array, watched: int
) -> jax.Array:
    """bool [B, P]: which watched pairs of bodies overlap somewhere."""
    row = jnp.where(overlaps, jnp.asarray(tables.watched)[entry], -1)
    return jnp.any(row[:, None] == jnp.arange(watched)[:, None], axis=-1)
