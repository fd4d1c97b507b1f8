"""The constraint rows of a batch: contact cones, joint limits and joint friction.

MuJoCo's soft constraints: each row pulls the acceleration J a towards a reference,
with a weight that follows from the row's impedance. Limits and joint friction act on
single degrees of freedom, so their rows need no Jacobian.
Axes: B environments, K contacts, of boxes before those of S slots with the ground, V
degrees of freedom; the 4 rows of a contact are its normal, two tangents and the spin
about the normal.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import mujoco
import numpy as np

from omnivla_jax.sim.engines.mjx.contact import jacobian
from omnivla_jax.sim.engines.mjx.contact.geometry import Contacts, cross, tangents
from omnivla_jax.sim.engines.mjx.contact.impedance import impedance, reference_gains
from omnivla_jax.sim.engines.mjx.contact.tables import ContactTables

MIN_VALUE = mujoco.mjMINVAL


class FrictionContacts(NamedTuple):
    """Frictional contacts."""

    jacobian: jacobian.Jacobian
    reference: jax.Array  # [B, 4, K]: acceleration aimed at
    weight: jax.Array  # [B, 4, K]
    friction: jax.Array  # [B, 4, K]: regularised, sliding twice, spin


class Joints(NamedTuple):
    """Limits and friction, one row per degree of freedom; a weight of 0 is no row."""

    side: jax.Array  # [B, V]: +1 at the lower limit, -1 at the upper
    limit_reference: jax.Array  # [B, V]
    limit_weight: jax.Array  # [B, V]
    drag_reference: jax.Array  # [B, V]
    drag_weight: jax.Array  # [B, V]
    drag: jax.Array  # [B, V]: greatest friction force


class JointTables(NamedTuple):
    """What the model says about limits and joint friction."""

    address: jax.Array  # [V] of qpos; 0 where there is no limit
    limited: jax.Array  # bool [V]
    low: jax.Array  # [V] rad or m
    high: jax.Array  # [V] rad or m
    stiffness: jax.Array  # [V] 1/s^2
    damping: jax.Array  # [V] 1/s
    impedance: jax.Array  # [5, V]
    inverse_weight: jax.Array  # [V]
    drag_damping: jax.Array  # [V] 1/s
    drag_weight: jax.Array  # [V]
    drag: jax.Array  # [V]


class Motion(NamedTuple):
    """How each degree of freedom moves a point: angular and linear at the origin."""

    angular: jax.Array  # [B, V, 3]
    linear: jax.Array  # [B, V, 3]


def joint_tables(model: mujoco.MjModel) -> JointTables:
    """The limit and friction rows of `model`'s hinges and slides."""
    joint = model.dof_jntid
    single = model.jnt_type[joint] >= int(mujoco.mjtJoint.mjJNT_SLIDE)
    limited = single & (model.jnt_limited[joint] > 0)
    stiffness, damping, clipped = reference_gains(
        model.jnt_solref[joint], model.jnt_solimp[joint], model.opt.timestep
    )
    _, drag_damping, drag_clipped = reference_gains(
        model.dof_solref, model.dof_solimp, model.opt.timestep
    )
    share = drag_clipped[0]  # the impedance of a row that is never displaced
    resistance = model.dof_invweight0 * (1 - share) / share
    rubs = model.dof_frictionloss > 0
    tables = {
        "address": np.where(limited, model.jnt_qposadr[joint], 0),
        "limited": limited,
        "low": model.jnt_range[joint, 0],
        "high": model.jnt_range[joint, 1],
        "stiffness": stiffness,
        "damping": damping,
        "impedance": clipped,
        "inverse_weight": model.dof_invweight0,
        "drag_damping": drag_damping,
        "drag_weight": np.where(rubs, 1 / np.maximum(resistance, MIN_VALUE), 0.0),
        "drag": model.dof_frictionloss,
    }
    return JointTables(**{name: jnp.asarray(row) for name, row in tables.items()})


def joint_rows(tables: JointTables, qpos: jax.Array, qvel: jax.Array) -> Joints:
    """The rows of limits and joint friction at `qpos` [B, nq] and `qvel` [B, V]."""
    place = qpos[:, tables.address]
    from_low, to_high = place - tables.low, tables.high - place
    room = jnp.minimum(from_low, to_high)
    side = jnp.where(from_low < to_high, 1.0, -1.0)
    stiff = impedance(tables.impedance[:, None], room)
    beyond = tables.limited & (room < 0)
    pull = -tables.damping * side * qvel - tables.stiffness * stiff * room
    return Joints(
        side=side,
        limit_reference=pull,
        limit_weight=jnp.where(beyond, _weight(stiff, tables.inverse_weight), 0.0),
        drag_reference=-tables.drag_damping * qvel,
        drag_weight=jnp.broadcast_to(tables.drag_weight, qvel.shape),
        drag=jnp.broadcast_to(tables.drag, qvel.shape),
    )


def contact_rows(
    tables: ContactTables,
    contacts: Contacts,
    standing: Contacts,
    motion: Motion,
    qvel: jax.Array,
) -> FrictionContacts:
    """The rows of contacts; empty places have a Jacobian and a reference of 0.

    Args:
      tables: of the model.
      contacts: [B, K] of boxes.
      standing: [B, 4 S] of each slot's body with a ground that does not move.
      motion: of the degrees of freedom, those of the slots last.
      qvel: [B, V].
    """
    every = jax.tree.map(
        lambda *parts: jnp.concatenate(parts, axis=-1), contacts, standing
    )
    moves = _jacobian(tables, contacts, standing, motion)
    response = jnp.asarray(tables.response)[:, every.entry]  # [10, B, K + 4 S]
    friction, spin, stiffness, damping, inverse_weight = response[:5]
    stiff = impedance(response[5:], every.distance)
    push = stiffness * stiff * jnp.minimum(every.distance, 0.0)
    reference = -damping[:, None] * jacobian.along(moves, qvel)
    normal = _weight(stiff, inverse_weight)
    slide = normal * tables.impratio
    turn = slide * (spin / friction) ** 2
    regular = friction / np.sqrt(tables.impratio)
    return FrictionContacts(
        moves,
        reference.at[:, 0].add(-push),
        jnp.stack([normal, slide, slide, turn], axis=1),
        jnp.stack([regular, friction, friction, spin], axis=1),
    )


def _weight(stiff: jax.Array, inverse_weight: jax.Array) -> jax.Array:
    """The weights of rows with impedance `stiff` on bodies of `inverse_weight`."""
    return 1 / jnp.maximum(inverse_weight * (1 - stiff) / stiff, MIN_VALUE)


def _jacobian(
    tables: ContactTables, contacts: Contacts, standing: Contacts, motion: Motion
) -> jacobian.Jacobian:
    first, second = jnp.asarray(tables.bodies)[:, contacts.entry]
    moves = jnp.asarray(tables.moves, jnp.float32)
    share = moves[second] - moves[first]  # [B, K, V]
    share = jnp.where(contacts.distance[..., None] < 0, share, 0.0)
    axes = jnp.concatenate([motion.angular, motion.linear], axis=-1).mT  # [B, 6, V]
    met = _spans(contacts).reshape(len(axes), -1, 6) @ axes
    stood = _stood(standing, axes)
    return jacobian.Jacobian(met * jnp.tile(share, (1, 4, 1)), stood)


def _stood(standing: Contacts, axes: jax.Array) -> jax.Array:
    """[B * S, 4 * 4, 6] of the slots, whose `axes` are the last of [B, 6, V]."""
    (batch, count), feet = standing.distance.shape, jacobian.FEET
    slots, free = count // feet, jacobian.FREE
    there = jnp.where(standing.distance < 0, 1.0, 0.0)[:, None, :, None]
    spans = (_spans(standing) * there).reshape(batch, 4, slots, feet, 6)
    spans = spans.swapaxes(1, 2).reshape(batch * slots, 4 * feet, 6)
    own = axes[..., axes.shape[-1] - slots * free :].reshape(batch, 6, slots, free)
    return spans @ own.swapaxes(1, 2).reshape(batch * slots, 6, free)


def _spans(contacts: Contacts) -> jax.Array:
    """What turn and slide at the origin are multiplied by: [B, 4, K, 6]."""
    normal = contacts.normal
    directions = jnp.stack([normal, *tangents(normal)])  # [3, 3, B, K]
    moments = jnp.stack([cross(contacts.position, row) for row in directions])
    turns = jnp.concatenate([moments, normal[None]])  # [4, 3, B, K]
    slides = jnp.concatenate([directions, jnp.zeros_like(normal)[None]])
    return jnp.concatenate([turns, slides], axis=1).transpose(2, 0, 3, 1)
