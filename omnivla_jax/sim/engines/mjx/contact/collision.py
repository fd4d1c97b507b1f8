"""Finds a batch's contacts within fixed budgets and counts those that do not fit.

Every candidate pair's world-aligned boxes are compared; the nearest are tested by
separating axes; those that overlap most get contact points.
Axes: B environments; G geoms, D driving ones, L boxes that meet planes, S slots and C
bodies of a cast; N near pairs, Q watched pairs, K contacts. Vectors lead with their
components.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from omnivla_jax.sim.engines.mjx.contact.box_box import APART, separation, touch
from omnivla_jax.sim.engines.mjx.contact.candidates import of
from omnivla_jax.sim.engines.mjx.contact.geometry import (
    Boxes,
    Contacts,
    dot,
    join,
    pick,
)
from omnivla_jax.sim.engines.mjx.contact.plane_box import ground_contacts
from omnivla_jax.sim.engines.mjx.contact.tables import ContactTables


class CollisionResult(NamedTuple):
    """The outcome of a search."""

    contacts: Contacts
    standing: Contacts  # [B, 4 S]: four of each slot's body with the ground
    touching: jax.Array  # bool [B, Q]
    # int32 [B]: overlapping pairs and contact points without room, and 1 where the
    # list of near pairs is full, so that more might overlap.
    overflow: jax.Array


def boxes(
    tables: ContactTables, cast: jax.Array, position: jax.Array, matrix: jax.Array
) -> Boxes:
    """The geoms [B, G] of casts [B] whose bodies are at `position` and `matrix`.

    Args:
      tables: of the model.
      cast: int32 [B].
      position: [B, C, 3].
      matrix: [B, C, 3, 3].
    """
    body = of(cast, tables.body)
    flat = jnp.concatenate([position, matrix.reshape(*matrix.shape[:2], 9)], axis=-1)
    flat = jnp.take_along_axis(flat.transpose(2, 0, 1), body[None], -1, mode="clip")
    columns = flat[3:].reshape(3, 3, *flat.shape[1:]).swapaxes(0, 1)  # axis, component
    place, turn, half = (
        jnp.moveaxis(of(cast, table), 0, -2)
        for table in (tables.place, tables.turn, tables.half)
    )
    center = flat[:3] + dot(columns, place[:, None])
    axes = dot(columns[:, :, None], turn[:, None])
    return Boxes(center, axes, half)


def search(
    tables: ContactTables, cast: jax.Array, geoms: Boxes, watched: int
) -> CollisionResult:
    """All contacts of a batch.

    Args:
      tables: of the model.
      cast: int32 [B].
      geoms: [B, G].
      watched: Q.
    """
    near, gap, crowded = _near_pairs(tables, cast, geoms)
    solid, tight = _solid_contacts(tables, geoms, near, gap)
    ground = ground_contacts(tables.pairs, cast, geoms)
    contacts, surplus = _deepest(solid, ground.contacts, tables.budget.contacts)
    start = (cast * tables.pairs.entries)[:, None]
    entry = start + jnp.concatenate([near, ground.entry], axis=-1)
    overlaps = jnp.concatenate([gap, ground.height], axis=-1) < 0
    return CollisionResult(
        contacts._replace(entry=start + contacts.entry),
        ground.standing._replace(entry=start + ground.standing.entry),
        _touching(tables, entry, overlaps, watched),
        crowded + tight + surplus,
    )


def _near_pairs(
    tables: ContactTables, cast: jax.Array, geoms: Boxes
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Cells [B, N] of the nearest pairs, their separation [B, N], which are full."""
    _, drivers, every = tables.pairs.candidates.shape
    low, high = _bounds(geoms)
    beyond = low[..., :drivers, None] - high[:, :, None]
    before = low[:, :, None] - high[..., :drivers, None]
    x, y, z = jnp.maximum(beyond, before)
    apart = jnp.maximum(jnp.maximum(x, y), z)  # [B, D, G]
    apart = jnp.where(of(cast, tables.pairs.candidates), apart, APART)
    rows, apart, left_out = _nearest_drivers(tables, apart)
    room = min(tables.budget.near, apart.shape[1] * every)
    value, rank = jax.lax.top_k(-apart.reshape(len(apart), -1), room)
    driver = jnp.take_along_axis(rows, rank // every, axis=-1, mode="clip")
    near = driver * every + rank % every
    gap = separation(*_pair(geoms, near))
    gap = jnp.where(value > 0, gap, APART)
    # To count what lies beyond would cost as much as finding what lies within.
    # Asking for the last value only would make XLA sort all pairs.
    full = jnp.all(value > 0, axis=-1) & (room < drivers * every)
    return near, gap, full.astype(jnp.int32) + left_out


def _bounds(geoms: Boxes) -> tuple[jax.Array, jax.Array]:
    """The least and greatest coordinates [3, B, G] of world-aligned boxes around."""
    reach, center = jnp.abs(geoms.axes) * geoms.half, geoms.center[:, None]
    # Reductions, so that XLA computes a box once and not for each of its pairs.
    low, high = (
        jnp.sum(jnp.concatenate([center, side * reach], axis=1), axis=1)
        for side in (-1.0, 1.0)
    )
    return low, high


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


def _pair(geoms: Boxes, cells: jax.Array) -> tuple[Boxes, Boxes]:
    """The two boxes of each cell [B, N]."""
    count = geoms.center.shape[-1]
    return pick(geoms, cells // count), pick(geoms, cells % count)


def _solid_contacts(
    tables: ContactTables, geoms: Boxes, near: jax.Array, gap: jax.Array
) -> tuple[Contacts, jax.Array]:
    """Contacts [B, 4 S] of the deepest pairs of boxes, and the overflow."""
    room = min(tables.budget.pairs, gap.shape[-1])
    value, rank = jax.lax.top_k(-gap, room)
    cells = jnp.take_along_axis(near, rank, axis=-1, mode="clip")
    points = touch(*_pair(geoms, cells))
    distance = jnp.where(value > 0, points.distance, APART)
    normal = jnp.broadcast_to(points.normal[:, None], points.position.shape)
    found = Contacts(
        join(distance),
        join(points.position),
        join(normal),
        join(jnp.broadcast_to(cells, distance.shape)),
    )
    return found, _beyond(gap < 0, room)


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
