"""Contacts with the ground, the highest plane: at most four for each body.

Axes: B environments; G geoms, F planes, L boxes that meet them, W bodies they are
boxes of and S slots of a cast, as `candidates` lays them out; n boxes of a body.
Vectors lead with their components.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from omnivla_jax.sim.engines.mjx.contact.box_box import APART
from omnivla_jax.sim.engines.mjx.contact.candidates import Pairs, of
from omnivla_jax.sim.engines.mjx.contact.geometry import (
    Boxes,
    Contacts,
    corners_below,
    dot,
    join,
    pick,
    spread,
    take_rows,
)


class Ground(NamedTuple):
    """What stands on the ground."""

    contacts: Contacts  # [B, 4 (W - S)]
    standing: Contacts  # [B, 4 S]: of the slots' bodies
    height: jax.Array  # [B, L] m: of the boxes above it
    entry: jax.Array  # int32 [B, L]: rows of the cast's entries


class _Sole(NamedTuple):
    """Corners [..., 4 n, B, W] that may touch the ground."""

    u: jax.Array  # along the ground
    v: jax.Array
    depth: jax.Array
    corner: jax.Array  # [3, ...]


def ground_contacts(pairs: Pairs, cast: jax.Array, geoms: Boxes) -> Ground:
    """Contacts of casts [B] with `geoms` [B, G]."""
    planes, grounded, groups, meets = _rows(pairs, cast)
    heights = jnp.take_along_axis(geoms.center[2], planes, axis=-1, mode="clip")
    highest = jnp.argmax(heights, axis=-1)[:, None]  # [B, 1]
    ground = pick(geoms, jnp.take_along_axis(planes, highest, axis=-1, mode="clip"))
    up = ground.axes[:, 2]
    height, corner = corners_below(pick(geoms, grounded), ground.center, up)
    lies = jnp.take_along_axis(meets, highest[..., None], axis=1, mode="clip")[:, 0]
    height = jnp.where(lies, height, APART)  # [4, B, L]
    u, v = (dot(corner, ground.axes[:, k, None]) for k in range(2))
    feet, depth, member = _feet(groups, _Sole(u, v, -height, corner))
    first = pairs.cells + grounded.shape[1] * highest
    member = member.transpose(1, 2, 0)  # [B, W, 4]
    line = jnp.take_along_axis(groups, member, axis=-1, mode="clip")
    contacts = Contacts(
        jnp.where(depth > 0, -depth, APART),
        feet + 0.5 * depth * up[:, None],
        jnp.broadcast_to(up[:, None], feet.shape),
        first + line.transpose(2, 0, 1),
    )
    lines = first + jnp.arange(grounded.shape[1])
    return Ground(*_apart(contacts, pairs.slots), height.min(axis=0), lines)


def _rows(pairs: Pairs, cast: jax.Array) -> tuple[jax.Array, ...]:
    """[B, F], [B, L], [B, W, n] and [B, F, L]."""
    tables = (pairs.planes, pairs.grounded, pairs.groups, pairs.meets)
    rows = (of(cast, table) for table in tables)
    return tuple(jnp.broadcast_to(row, cast.shape + row.shape[1:]) for row in rows)


def _feet(groups: jax.Array, corners: _Sole) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Four corners [3, 4, B, W] of each body, depths (0: none), members of groups."""
    sole = _Sole(*(_by_group(groups, part) for part in corners))
    chosen, counts = spread(sole.u, sole.v, sole.depth)  # [4, B, W]
    depth = jnp.where(counts, take_rows(sole.depth, chosen), 0.0)
    corner = jnp.take_along_axis(sole.corner, chosen[None], axis=1, mode="clip")
    return corner, depth, chosen % groups.shape[-1]


def _by_group(groups: jax.Array, values: jax.Array) -> jax.Array:
    """Corners [..., 4, B, L] as candidates [..., 4 n, B, W], the box fastest."""
    batch, bodies, size = groups.shape
    index = groups.transpose(2, 0, 1)
    index = index.reshape((1,) * (values.ndim - 2) + index.shape)
    every = jnp.take_along_axis(values[..., None, :, :], index, axis=-1, mode="clip")
    shape = values.shape[:-3] + (values.shape[-3] * size, batch, bodies)
    return every.reshape(shape)


def _apart(contacts: Contacts, slots: int) -> tuple[Contacts, Contacts]:
    """Contacts [4, B, W] by environment, and those of the slots body by body."""
    others = contacts.distance.shape[-1] - slots
    standing = (jnp.moveaxis(part[..., others:], -3, -1) for part in contacts)
    flat = (part.reshape(*part.shape[:-2], -1) for part in standing)
    return Contacts(*(join(part[..., :others]) for part in contacts)), Contacts(*flat)
