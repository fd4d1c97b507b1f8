"""The constraints of a batch: frictional contacts, joint limits and joint friction.

MuJoCo's soft constraints: each row pulls the acceleration J a towards a reference,
with a weight that follows from the row's impedance. Limits and joint friction act on
single degrees of freedom, so their rows need no Jacobian.
Axes: components lead; the 4 rows of a contact are its normal, two tangents and the spin
about the normal; K contacts, between boxes before those of the bodies in S object slots
with the ground; V degrees of freedom; B environments last.
"""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import mujoco
import numpy as np

from omnivla_jax.sim.engines.mjx.contact.geometry import Contacts, tangents
from omnivla_jax.sim.engines.mjx.contact.impedance import impedance, reference_gains
from omnivla_jax.sim.engines.mjx.contact.tables import ContactTables
from omnivla_jax.sim.engines.mjx.lanes import columns
from omnivla_jax.sim.engines.mjx.vectors import cross, take_rows
from omnivla_jax.sim.rotation import Array

MIN_VALUE = mujoco.mjMINVAL


class FrictionContacts(NamedTuple):
    """Frictional contacts."""

    reference: jax.Array  # [4, K, B]: acceleration aimed at
    weight: jax.Array  # [4, K, B]
    friction: jax.Array  # [4, K, B]: regularised, sliding twice, spin


class ContactRows(NamedTuple):
    """How contacts move with the bodies, and what they aim at; 0 for padding."""

    wrenches: jax.Array  # [6, 4, K, B]: moment about the origin and force of a unit
    bodies: jax.Array  # int32 [2, K, B]: the first and the second
    push: jax.Array  # [K, B]: acceleration aimed at along the normal, at rest
    damping: jax.Array  # [K, B] 1/s: by which the rows' velocities are to fall
    weight: jax.Array  # [4, K, B]
    friction: jax.Array  # [4, K, B]: regularised, sliding twice, spin


class JointConstraints(NamedTuple):
    """Limits and friction, one row per degree of freedom; a weight of 0 is no row."""

    side: jax.Array  # [V, B]: +1 at the lower limit, -1 at the upper
    limit_reference: jax.Array  # [V, B]
    limit_weight: jax.Array  # [V, B]
    friction_reference: jax.Array  # [V, B]
    friction_weight: jax.Array  # [V, B]
    friction_loss: jax.Array  # [V, B]: greatest friction force


class JointTables(NamedTuple):
    """The model's limits and joint friction."""

    address: np.ndarray  # int [V] of qpos; 0 where there is no limit
    limited: Array  # bool [V, 1]
    low: Array  # [V, 1] rad or m
    high: Array  # [V, 1] rad or m
    stiffness: Array  # [V, 1] 1/s^2
    damping: Array  # [V, 1] 1/s
    solimp: Array  # [5, V, 1]
    inverse_weight: Array  # [V, 1]
    friction_damping: Array  # [V, 1] 1/s
    friction_weight: Array  # [V, 1]
    friction_loss: Array  # [V, 1]


class MotionAxes(NamedTuple):
    """How each degree of freedom moves a point: angular and linear at the origin."""

    angular: jax.Array  # [3, V, B]
    linear: jax.Array  # [3, V, B]


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
    return JointTables(
        np.where(limited, model.jnt_qposadr[joint], 0),
        **{name: row[..., None] for name, row in tables.items()},
    )


def joint_constraints(
    tables: JointTables, qpos: jax.Array, qvel: jax.Array
) -> JointConstraints:
    """Return the rows of limits and joint friction.

    Args:
      tables: of the model.
      qpos: [nq, B] rad or m.
      qvel: [V, B] rad or m, per s.

    Returns:
      One row of each kind for every degree of freedom [V, B].
    """
    chex.assert_shape(qvel, (len(tables.limited), qpos.shape[1]))
    position = take_rows(qpos[None], tables.address)[0]
    from_low, to_high = position - tables.low, tables.high - position
    clearance = jnp.minimum(from_low, to_high)
    side = jnp.where(from_low < to_high, 1.0, -1.0)
    imp = impedance(tables.solimp, clearance)
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
    tables: ContactTables, contacts: Contacts, ground_contacts: Contacts
) -> ContactRows:
    """Return the rows of contacts.

    Args:
      tables: of the model.
      contacts: [K, B] between boxes.
      ground_contacts: [4 S, B] of each slot's body with a ground that does not move.
    """
    every = jax.tree.map(
        lambda *parts: jnp.concatenate(parts, axis=-2), contacts, ground_contacts
    )
    params = columns(tables.params, every.pair)  # [10, K + 4 S, B]
    friction, spin, stiffness, damping, inverse_weight = params[:5]
    imp = impedance(params[5:], every.distance)
    push = -stiffness * imp * jnp.minimum(every.distance, 0.0)
    normal = _row_weight(imp, inverse_weight)
    slide = normal * tables.impratio
    turn = slide * (spin / friction) ** 2
    regularized = friction / np.sqrt(tables.impratio)
    return ContactRows(
        jnp.where(every.distance < 0, _contact_wrenches(every), 0.0),
        columns(tables.pair_bodies.astype(np.int32), every.pair),
        push,
        damping,
        jnp.stack([normal, slide, slide, turn]),
        jnp.stack([regularized, friction, friction, spin]),
    )


def friction_contacts(
    velocity: jax.Array,
    push: jax.Array,
    damping: jax.Array,
    weight: jax.Array,
    friction: jax.Array,
) -> FrictionContacts:
    """Return contacts of `ContactRows`' fields whose rows move at `velocity`.

    Args:
      velocity: [4, K, B].
      push, damping: [K, B].
      weight, friction: [4, K, B].
    """
    aim = -damping * velocity
    reference = jnp.concatenate([aim[:1] + push, aim[1:]])
    return FrictionContacts(reference, weight, friction)


def _row_weight(imp: jax.Array, inverse_weight: jax.Array) -> jax.Array:
    """The weights of rows with impedance `imp` on bodies of `inverse_weight`."""
    return 1 / jnp.maximum(inverse_weight * (1 - imp) / imp, MIN_VALUE)


def _contact_wrenches(contacts: Contacts) -> jax.Array:
    """Moment about the origin and force of a unit along each row: [6, 4, K, B]."""
    normal = contacts.normal
    directions = jnp.stack([normal, *tangents(normal)], axis=1)  # [3, 3, K, B]
    moments = cross(contacts.position[:, None], directions)
    turns = jnp.concatenate([moments, normal[:, None]], axis=1)  # [3, 4, K, B]
    slides = jnp.concatenate([directions, jnp.zeros_like(normal)[:, None]], axis=1)
    return jnp.concatenate([turns, slides])
