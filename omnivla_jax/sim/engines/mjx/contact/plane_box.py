"""Contacts with the ground, the highest plane: at most four for each body.

Axes: components lead; G geoms, F planes, L boxes that meet them, W bodies they are
boxes of and S object slots of a subset, as `candidates` lays them out; n boxes of a
body; B environments last.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from omnivla_jax.sim.engines.mjx.contact.box_box import NO_CONTACT
from omnivla_jax.sim.engines.mjx.contact.candidates import CandidatePairs
from omnivla_jax.sim.engines.mjx.contact.geometry import (
    Boxes,
    Contacts,
    corners_below,
    first_max,
    gather_boxes,
    merge_points,
    select_contact_manifold,
)
from omnivla_jax.sim.engines.mjx.lanes import Take
from omnivla_jax.sim.engines.mjx.vectors import dot
from omnivla_jax.sim.rotation import Array


class PlaneTables(NamedTuple):
    """The tables of each environment's subset, [..., B], or static ones, [..., 1]."""

    planes: Array  # int [F, B] in G
    boxes: Array  # int [L, B] in G
    body_boxes: Array  # int [W, n, B] in L
    collides: Array  # [F, L, B]: 1 where they do, else 0


class PlaneContacts(NamedTuple):
    """Contacts of all bodies with the ground."""

    contacts: Contacts  # [4 (W - S), B] of bodies in no slot
    ground_contacts: Contacts  # [4 S, B] of the slots' bodies
    height: jax.Array  # [L, B] m: of the boxes above the ground
    pair: jax.Array  # int32 [L, B]: rows of the subset's pairs


def plane_contacts(
    take: Take, pairs: CandidatePairs, tables: PlaneTables, geoms: Boxes
) -> PlaneContacts:
    """Return the contacts of each environment's boxes with its ground.

    Args:
      take: of the platform.
      pairs: of the model.
      tables: of the subsets.
      geoms: [G, B].

    Returns:
      At most four contacts for each body, and the heights of all boxes.
    """
    # The ground is the highest plane.
    heights = take.gather(geoms.center[2], tables.planes)
    highest = first_max(heights)[None]  # [1, B]
    planes = gather_boxes(geoms, tables.planes, take)
    center, axes, _ = (_row(part, highest) for part in planes)
    up = axes[:, 2]

    # Heights of all boxes' lowest corners; boxes that do not collide with it are far.
    boxes = gather_boxes(geoms, tables.boxes, take)
    height, corner = corners_below(boxes, center, up)
    on_ground = _row(tables.collides.swapaxes(0, 1), highest)[:, 0]
    height = jnp.where(on_ground > 0, height, NO_CONTACT)  # [4, L, B]
    u, v = (dot(corner, axes[:, k, None]) for k in range(2))
    corners = jnp.concatenate([jnp.stack([u, v, -height]), corner])
    position, depth, member = _support_points(take, tables.body_boxes, corners)

    count = len(tables.boxes)
    first = pairs.candidates[0].size + count * highest  # behind the grid
    contacts = Contacts(
        jnp.where(depth > 0, -depth, NO_CONTACT),
        position + 0.5 * depth * up[:, None],
        jnp.broadcast_to(up[:, None], position.shape),
        first + take.rows(tables.body_boxes.swapaxes(0, 1), member),
    )
    rows = jax.lax.broadcasted_iota(jnp.int32, height.shape[1:], 0)
    split = _split_contacts(contacts, pairs.slots)
    return PlaneContacts(*split, height.min(axis=0), first + rows)


def _row(values: jax.Array, index: jax.Array) -> jax.Array:
    """Return `values` [..., F, B] at `index` [1, B], as [..., 1, B]."""
    chosen = values[..., :1, :]
    for row in range(1, values.shape[-2]):
        chosen = jnp.where(index == row, values[..., row : row + 1, :], chosen)
    return chosen


def _support_points(
    take: Take, body_boxes: Array, corners: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Four corners of each body, which box of it they belong to.

    Args:
      take: of the platform.
      body_boxes: int [W, n, B].
      corners: [6, 4, L, B]: along the ground twice, depth, position.

    Returns:
      Positions [3, 4, W, B], depths [4, W, B] (0: no contact) and the boxes' places
      among those of their body, int [4, W, B].
    """
    bodies, size, width = body_boxes.shape
    flat = body_boxes.swapaxes(0, 1).reshape(size * bodies, width)
    # Candidates, the box fastest.
    face = take.gather(corners, flat).reshape(6, 4 * size, bodies, corners.shape[-1])
    chosen, valid = select_contact_manifold(take, *face[:3])  # [4, W, B]
    depth = jnp.where(valid, take.rows(face[2], chosen), 0.0)
    position = jnp.stack([take.rows(part, chosen) for part in face[3:]])
    corner = sum(jnp.where(chosen >= k * size, 1, 0) for k in range(1, 4))
    return position, depth, chosen - size * corner


def _split_contacts(contacts: Contacts, slots: int) -> tuple[Contacts, Contacts]:
    """Contacts [4, W, B] of bodies in no slot, and of the slots body by body."""
    others = contacts.distance.shape[-2] - slots
    in_slots = (part[..., others:, :].swapaxes(-2, -3) for part in contacts)
    return (
        Contacts(*(merge_points(part[..., :others, :]) for part in contacts)),
        Contacts(*(merge_points(part) for part in in_slots)),
    )
