"""Contacts with the ground, the highest plane: at most four for each body.

Axes: B environments; G geoms, F planes, L boxes that meet them, W bodies they are
boxes of and S object slots of a subset, as `candidates` lays them out; n boxes of a
body. Vectors lead with their components.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from omnivla_jax.sim.engines.mjx.contact.box_box import NO_CONTACT
from omnivla_jax.sim.engines.mjx.contact.candidates import CandidatePairs, select_rows
from omnivla_jax.sim.engines.mjx.contact.geometry import (
    Boxes,
    Contacts,
    corners_below,
    dot,
    gather_boxes,
    merge_points,
    select_contact_manifold,
    take_rows,
)


class PlaneContacts(NamedTuple):
    """Contacts of all bodies with the ground."""

    contacts: Contacts  # [B, 4 (W - S)] of bodies in no slot
    ground_contacts: Contacts  # [B, 4 S] of the slots' bodies
    height: jax.Array  # [B, L] m: of the boxes above the ground
    pair: jax.Array  # int32 [B, L]: rows of the subset's pairs


class _FaceCorners(NamedTuple):
    """Corners [..., 4 n, B, W] that may touch the ground."""

    u: jax.Array  # along the ground
    v: jax.Array
    depth: jax.Array
    position: jax.Array  # [3, ...]


def plane_contacts(
    pairs: CandidatePairs, subset: jax.Array, geoms: Boxes
) -> PlaneContacts:
    """Return the contacts of each environment's boxes with its ground.

    Args:
      pairs: of the model.
      subset: int32 [B].
      geoms: [B, G].

    Returns:
      At most four contacts for each body, and the heights of all boxes.
    """
    tables = (
        pairs.planes,
        pairs.boxes_on_plane,
        pairs.body_boxes,
        pairs.collides_with_plane,
    )
    rows = (select_rows(subset, table) for table in tables)
    planes, boxes, body_boxes, collides = (
        jnp.broadcast_to(row, subset.shape + row.shape[1:]) for row in rows
    )  # [B, F], [B, L], [B, W, n] and [B, F, L]

    # The ground is the highest plane.
    heights = jnp.take_along_axis(geoms.center[2], planes, axis=-1, mode="clip")
    highest = jnp.argmax(heights, axis=-1)[:, None]  # [B, 1]
    ground = gather_boxes(
        geoms, jnp.take_along_axis(planes, highest, axis=-1, mode="clip")
    )
    up = ground.axes[:, 2]

    # Heights of all boxes' lowest corners; boxes that do not collide with it are far.
    height, corner = corners_below(gather_boxes(geoms, boxes), ground.center, up)
    on_ground = jnp.take_along_axis(collides, highest[..., None], axis=1, mode="clip")
    height = jnp.where(on_ground[:, 0], height, NO_CONTACT)  # [4, B, L]
    u, v = (dot(corner, ground.axes[:, k, None]) for k in range(2))
    corners = _FaceCorners(u, v, -height, corner)
    position, depth, member = _support_points(body_boxes, corners)

    first = pairs.candidates[0].size + boxes.shape[1] * highest  # behind the grid
    member = member.transpose(1, 2, 0)  # [B, W, 4]
    box = jnp.take_along_axis(body_boxes, member, axis=-1, mode="clip")
    contacts = Contacts(
        jnp.where(depth > 0, -depth, NO_CONTACT),
        position + 0.5 * depth * up[:, None],
        jnp.broadcast_to(up[:, None], position.shape),
        first + box.transpose(2, 0, 1),
    )
    pair = first + jnp.arange(boxes.shape[1])
    split = _split_contacts(contacts, pairs.slots)
    return PlaneContacts(*split, height.min(axis=0), pair)


def _support_points(
    body_boxes: jax.Array, corners: _FaceCorners
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Four corners of each body, which box of it they belong to.

    Returns:
      Positions [3, 4, B, W], depths [4, B, W] (0: no contact) and the boxes' places
      among those of their body, int [4, B, W].
    """
    batch, bodies, size = body_boxes.shape

    def by_body(values: jax.Array) -> jax.Array:
        """Corners [..., 4, B, L] as candidates [..., 4 n, B, W], the box fastest."""
        index = body_boxes.transpose(2, 0, 1)
        index = index.reshape((1,) * (values.ndim - 2) + index.shape)
        rows = jnp.take_along_axis(values[..., None, :, :], index, axis=-1, mode="clip")
        return rows.reshape(
            values.shape[:-3] + (values.shape[-3] * size, batch, bodies)
        )

    face = _FaceCorners(*(by_body(part) for part in corners))
    chosen, valid = select_contact_manifold(face.u, face.v, face.depth)  # [4, B, W]
    depth = jnp.where(valid, take_rows(face.depth, chosen), 0.0)
    position = jnp.take_along_axis(face.position, chosen[None], axis=1, mode="clip")
    return position, depth, chosen % size


def _split_contacts(contacts: Contacts, slots: int) -> tuple[Contacts, Contacts]:
    """Contacts [4, B, W] of bodies in no slot, and of the slots body by body."""
    others = contacts.distance.shape[-1] - slots
    in_slots = (jnp.moveaxis(part[..., others:], -3, -1) for part in contacts)
    ground_contacts = (part.reshape(*part.shape[:-2], -1) for part in in_slots)
    return (
        Contacts(*(merge_points(part[..., :others]) for part in contacts)),
        Contacts(*ground_contacts),
    )
