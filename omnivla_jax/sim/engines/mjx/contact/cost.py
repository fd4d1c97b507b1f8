"""The costs of constraint rows and their derivatives.

A residual is a row's acceleration less its reference. A contact costs nothing where it
parts, as a spring where it sticks, and by its distance from the friction cone where it
slides; a limit is one-sided; joint friction costs as Huber's.
Axes: the 4 rows of a contact lead; K contacts, V degrees of freedom; B environments
last.
"""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from omnivla_jax.sim.engines.mjx.contact.constraint import (
    FrictionContacts,
    JointConstraints,
)

TINY = 1e-15  # MuJoCo's mjMINVAL


class ConeZone(NamedTuple):
    """Residuals in coordinates in which the friction cone is circular."""

    normal: jax.Array  # [K, B]
    tangent: jax.Array  # [3, K, B]
    length: jax.Array  # [K, B] of the tangent
    sticks: jax.Array  # bool [K, B]: all rows act as springs
    slides: jax.Array  # bool [K, B]: the force lies on the cone

    def choose(self, sticking: jax.Array | float, sliding: jax.Array) -> jax.Array:
        """Return values [..., K, B] by zone, 0 for contacts that part.

        Args:
          sticking: [..., K, B], values of contacts that stick.
          sliding: [..., K, B], values of contacts that slide.

        Returns:
          The chosen values [..., K, B].
        """
        return jnp.where(self.sticks, sticking, jnp.where(self.slides, sliding, 0.0))


def cone_zone(contacts: FrictionContacts, residual: jax.Array) -> ConeZone:
    """Return the zones of residuals [4, K, B].

    Args:
      contacts: K of each environment.
      residual: [4, K, B], acceleration less its reference.

    Returns:
      The residuals' coordinates about the cone, and each contact's zone.
    """
    chex.assert_equal_shape([residual, contacts.weight])
    scaled = residual * contacts.friction
    normal, tangent = scaled[0], scaled[1:]
    length = jnp.sqrt(jnp.sum(tangent * tangent, axis=0))
    friction = contacts.friction[0]
    reach = friction * normal + length
    sticks = jnp.where(length > 0, reach, normal) <= 0
    sticks &= (length > 0) | (normal < 0)
    slides = (length > 0) & (normal < friction * length) & (reach > 0)
    return ConeZone(normal, tangent, length, sticks, slides)


def contact_cost(contacts: FrictionContacts, residual: jax.Array) -> jax.Array:
    """Return twice the cost [K, B] of each contact at residuals [4, K, B].

    Args:
      contacts: K of each environment.
      residual: [4, K, B], acceleration less its reference.

    Returns:
      Costs of 0 or more; 0 where a contact parts.
    """
    zone = cone_zone(contacts, residual)
    spring = jnp.sum(contacts.weight * residual**2, axis=0)
    distance = zone.normal - contacts.friction[0] * zone.length
    return zone.choose(spring, _sliding_weight(contacts) * distance**2)


def contact_force(contacts: FrictionContacts, residual: jax.Array) -> jax.Array:
    """Return the forces [4, K, B] of the rows: minus the cost's gradient.

    Args:
      contacts: K of each environment.
      residual: [4, K, B], acceleration less its reference.

    Returns:
      Forces in N and, of the spin, N m.
    """
    zone, friction = cone_zone(contacts, residual), contacts.friction[0]
    distance = zone.normal - friction * zone.length
    normal = -_sliding_weight(contacts) * distance * friction
    tangent = -(normal / jnp.maximum(zone.length, TINY)) * zone.tangent
    sliding = jnp.concatenate([normal[None], tangent * contacts.friction[1:]])
    return zone.choose(-contacts.weight * residual, sliding)


def contact_hessian(contacts: FrictionContacts, residual: jax.Array) -> jax.Array:
    """Return the second derivatives [4, 4, K, B] of each contact's cost.

    Args:
      contacts: K of each environment.
      residual: [4, K, B], acceleration less its reference.

    Returns:
      Symmetric matrices [4, 4] by the residual.
    """
    zone, friction = cone_zone(contacts, residual), contacts.friction[0]
    length = jnp.maximum(zone.length, TINY)
    unit, ratio = zone.tangent / length, friction * zone.normal / length
    weight = _sliding_weight(contacts)

    def sliding(row: int, column: int) -> jax.Array:
        first, second = max(row, column), min(row, column)
        if first == 0:
            return jnp.ones_like(ratio)
        if second == 0:
            return -friction * unit[first - 1]
        value = ratio * unit[first - 1] * unit[second - 1]
        return value + (friction**2 - ratio) if first == second else value

    rows = []
    for row in range(4):
        for column in range(4):
            scale = contacts.friction[row] * contacts.friction[column]
            spring = contacts.weight[row] if row == column else 0.0
            rows.append(zone.choose(spring, weight * scale * sliding(row, column)))
    return jnp.stack(rows).reshape(4, 4, *ratio.shape)


def contact_slopes(
    contacts: FrictionContacts, residual: jax.Array, direction: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Return the first and second derivative [K, B] of each contact's cost.

    Args:
      contacts: [K, B].
      residual: [4, K, B].
      direction: [4, K, B], of the residual by the variable.

    Returns:
      Two arrays [K, B], of the cost itself and not of its double.
    """
    zone, scaled = cone_zone(contacts, residual), direction * contacts.friction
    friction, weight = contacts.friction[0], _sliding_weight(contacts)
    length = jnp.maximum(zone.length, TINY)
    rate = jnp.sum(zone.tangent * scaled[1:], axis=0) / length
    bend = (jnp.sum(scaled[1:] ** 2, axis=0) - rate**2) / length
    distance = zone.normal - friction * zone.length
    closing = scaled[0] - friction * rate
    spring = contacts.weight * direction
    return (
        zone.choose(jnp.sum(spring * residual, axis=0), weight * distance * closing),
        zone.choose(
            jnp.sum(spring * direction, axis=0),
            weight * (closing**2 - distance * friction * bend),
        ),
    )


def _sliding_weight(contacts: FrictionContacts) -> jax.Array:
    """The weight [K, B] of a sliding contact's distance from its cone."""
    squared = contacts.friction[0] ** 2
    return contacts.weight[0] / jnp.maximum(squared * (1 + squared), TINY)


def joint_cost(joints: JointConstraints, acceleration: jax.Array) -> jax.Array:
    """Return twice the cost [V, B] of limits and friction at an acceleration [V, B].

    Args:
      joints: rows of V degrees of freedom.
      acceleration: [V, B] in m/s2 or rad/s2.

    Returns:
      Costs of 0 or more, the row of the limit and that of friction added.
    """
    limit = joints.side * acceleration - joints.limit_reference
    speed = jnp.abs(acceleration - joints.friction_reference)
    knee = joints.friction_loss / jnp.maximum(joints.friction_weight, TINY)
    elastic = joints.friction_weight * jnp.minimum(speed, knee) ** 2
    friction = elastic + 2 * joints.friction_loss * jnp.maximum(speed - knee, 0.0)
    return joints.limit_weight * jnp.minimum(limit, 0.0) ** 2 + friction


def joint_slopes(
    joints: JointConstraints, acceleration: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Return the first and second derivative [V, B] of the joints' costs.

    Args:
      joints: rows of V degrees of freedom.
      acceleration: [V, B] in m/s2 or rad/s2.

    Returns:
      Two arrays [V, B], of the cost itself and not of its double.
    """
    limit = joints.side * acceleration - joints.limit_reference
    active = jnp.where(limit < 0, joints.limit_weight, 0.0)
    pull = joints.friction_weight * (acceleration - joints.friction_reference)
    loss = joints.friction_loss
    elastic = jnp.where(jnp.abs(pull) < loss, joints.friction_weight, 0.0)
    slope = active * limit * joints.side + jnp.clip(pull, -loss, loss)
    return slope, active + elastic
