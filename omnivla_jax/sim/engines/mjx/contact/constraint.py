"""The constraints of a batch: frictional contacts, joint limits and joint friction.

MuJoCo's soft constraints: each row pulls the acceleration J a towards a reference,
with a weight that follows from the row's impedance. Limits and joint friction act on
single degrees of freedom, so their rows need no Jacobian.
Axes: B environments; K contacts, between boxes before those of the bodies in S object
slots with the ground; V degrees of freedom; the 4 rows of a contact are its normal, two
tangents and the spin about the normal.
"""

from typing import NamedTuple

import chex
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


class JointConstraints(NamedTuple):
    """Limits and friction, one row per degree of freedom; a weight of 0 is no row."""

    side: jax.Array  # [B, V]: +1 at the lower limit, -1 at the upper
    limit_reference: jax.Array  # [B, V]
    limit_weight: jax.Array  # [B, V]
    friction_reference: jax.Array  # [B, V]
    friction_weight: jax.Array  # [B, V]
    friction_loss: jax.Array  # [B, V]: greatest friction force


class JointTables(NamedTuple):
    """The model's limits and joint friction."""

    address: jax.Array  # [V] of qpos; 0 where there is no limit
    limited: jax.Array  # bool [V]
    low: jax.Array  # [V] rad or m
    high: jax.Array  # [V] rad or m
    stiffness: jax.Array  # [V] 1/s^2
    damping: jax.Array  # [V] 1/s
    solimp: jax.Array  # [5, V]
    inverse_weight: jax.Array  # [V]
    friction_damping: jax.Array  # [V] 1/s
    friction_weight: jax.Array  # [V]
    friction_loss: jax.Array  # [V]


class MotionAxes(NamedTuple):
    """How each degree of freedom moves a point: angular and linear at the origin."""

    angular: jax.Array  # [B, V, 3]
    linear: jax.Array  # [B, V, 3]


def joint_tables(model: mujoco.MjModel) -> JointTables:
    """Return the limits and the friction of `model`'s hinges and slides."""
    joint = model.dof_jntid
    single = model.jnt_type[joint] >= int(mujoco.mjtJoint.mjJNT_SLIDE)
    limited = single & (model.jnt_limited[joint] > 0)
    stiffness, damping, solimp = reference_gains(
        model.jnt_solref[joint], model.jnt_solimp[joint], model.opt.timestep
    )
    _, friction_damping, friction_solimp = reference_gains(
        model.dof_solref, model.dof_solimp, model.opt.timestep
    )
    imp = friction_solimp[0]  # the impedance of a row that is never displaced
    resistance = model.dof_invweight0 * (1 - imp) / imp
    weight = np.where(
        model.dof_frictionloss > 0, 1 / np.maximum(resistance, MIN_VALUE), 0.0
    )
    tables = {
        "address": np.where(limited, model.jnt_qposadr[joint], 0),
        "limited": limited,
        "low": model.jnt_range[joint, 0],
        "high": model.jnt_range[joint, 1],
        "stiffness": stiffness,
        "damping": damping,
        "solimp": solimp,
        "inverse_weight": model.dof_invweight0,
        "friction_damping": friction_damping,
        "friction_weight": weight,
        "friction_loss": model.dof_frictionloss,
    }
    return JointTables(**{name: jnp.asarray(row) for name, row in tables.items()})


def joint_constraints(
    tables: JointTables, qpos: jax.Array, qvel: jax.Array
) -> JointConstraints:
    """Return the rows of limits and joint friction.

    Args:
      tables: of the model.
      qpos: [B, nq] rad or m.
      qvel: [B, V] rad or m, per s.

    Returns:
      One row of each kind for every degree of freedom [B, V].
    """
    chex.assert_shape(qvel, (len(qpos), len(tables.limited)))
    position = qpos[:, tables.address]
    from_low, to_high = position - tables.low, tables.high - position
    clearance = jnp.minimum(from_low, to_high)
    side = jnp.where(from_low < to_high, 1.0, -1.0)
    imp = impedance(tables.solimp[:, None], clearance)
    violated = tables.limited & (clearance < 0)
    reference = -tables.damping * side * qvel - tables.stiffness * imp * clearance
    weight = jnp.where(violated, _row_weight(imp, tables.inverse_weight), 0.0)
    return JointConstraints(
        side=side,
        limit_reference=reference,
        limit_weight=weight,
        friction_reference=-tables.friction_damping * qvel,
        friction_weight=jnp.broadcast_to(tables.friction_weight, qvel.shape),
        friction_loss=jnp.broadcast_to(tables.friction_loss, qvel.shape),
    )


def contact_constraints(
    tables: ContactTables,
    contacts: Contacts,
    ground_contacts: Contacts,
    motion: MotionAxes,
    qvel: jax.Array,
) -> FrictionContacts:
    """Return the rows of contacts; padding has a Jacobian and a reference of 0.

    Args:
      tables: of the model.
      contacts: [B, K] between boxes.
      ground_contacts: [B, 4 S] of each slot's body with a ground that does not move.
      motion: of the degrees of freedom, those of the slots last.
      qvel: [B, V].

    Returns:
      Four rows for each of K + 4 S contacts.
    """
    every = jax.tree.map(
        lambda *parts: jnp.concatenate(parts, axis=-1), contacts, ground_contacts
    )
    rows = _contact_jacobian(tables, contacts, ground_contacts, motion)
    params = jnp.asarray(tables.params)[:, every.pair]  # [10, B, K + 4 S]
    friction, spin, stiffness, damping, inverse_weight = params[:5]
    imp = impedance(params[5:], every.distance)
    push = stiffness * imp * jnp.minimum(every.distance, 0.0)
    reference = -damping[:, None] * jacobian.jac_mul(rows, qvel)
    normal = _row_weight(imp, inverse_weight)
    slide = normal * tables.impratio
    turn = slide * (spin / friction) ** 2
    regularized = friction / np.sqrt(tables.impratio)
    return FrictionContacts(
        rows,
        reference.at[:, 0].add(-push),
        jnp.stack([normal, slide, slide, turn], axis=1),
        jnp.stack([regularized, friction, friction, spin], axis=1),
    )


def _row_weight(imp: jax.Array, inverse_weight: jax.Array) -> jax.Array:
    """The weights of rows with impedance `imp` on bodies of `inverse_weight`."""
    return 1 / jnp.maximum(inverse_weight * (1 - imp) / imp, MIN_VALUE)


def _contact_jacobian(
    tables: ContactTables,
    contacts: Contacts,
    ground_contacts: Contacts,
    motion: MotionAxes,
) -> jacobian.Jacobian:
    # Contacts between boxes: dense rows, of the second body less the first.
    first, second = jnp.asarray(tables.pair_bodies)[:, contacts.pair]
    moves = jnp.asarray(tables.moves, jnp.float32)
    sign = moves[second] - moves[first]  # [B, K, V]
    sign = jnp.where(contacts.distance[..., None] < 0, sign, 0.0)
    axes = jnp.concatenate([motion.angular, motion.linear], axis=-1).mT  # [B, 6, V]
    box = _contact_wrenches(contacts).reshape(len(axes), -1, 6) @ axes

    # Contacts of the slots with the ground: the last degrees of freedom, body by body.
    (batch, count), points = ground_contacts.distance.shape, jacobian.GROUND_POINTS
    slots, free = count // points, jacobian.FREE_DOFS
    active = jnp.where(ground_contacts.distance < 0, 1.0, 0.0)[:, None, :, None]
    wrenches = (_contact_wrenches(ground_contacts) * active).reshape(
        batch, 4, slots, points, 6
    )
    wrenches = wrenches.swapaxes(1, 2).reshape(batch * slots, 4 * points, 6)
    slot_axes = axes[..., axes.shape[-1] - slots * free :]
    slot_axes = slot_axes.reshape(batch, 6, slots, free).swapaxes(1, 2)
    ground = wrenches @ slot_axes.reshape(batch * slots, 6, free)
    return jacobian.Jacobian(box * jnp.tile(sign, (1, 4, 1)), ground)


def _contact_wrenches(contacts: Contacts) -> jax.Array:
    """Moment about the origin and force of a unit along each row: [B, 4, K, 6]."""
    normal = contacts.normal
    directions = jnp.stack([normal, *tangents(normal)])  # [3, 3, B, K]
    moments = jnp.stack([cross(contacts.position, row) for row in directions])
    turns = jnp.concatenate([moments, normal[None]])  # [4, 3, B, K]
    slides = jnp.concatenate([directions, jnp.zeros_like(normal)[None]])
    return jnp.concatenate([turns, slides], axis=1).transpose(2, 0, 3, 1)
