"""The costs of constraint rows and their derivatives.

A residual is a row's acceleration less its reference. A contact costs nothing where it
parts, as a spring where it sticks, and by its distance from the friction cone where it
slides; a limit is one-sided; joint friction costs as Huber's.
Axes: B environments, K contacts, V degrees of freedom, 4 rows a contact.
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

    normal: jax.Array  # [B, K]
    tangent: jax.Array  # [B, 3, K]
    length: jax.Array  # [B, K] of the tangent
    sticks: jax.Array  # bool [B, K]: all rows act as springs
    slides: jax.Array  # bool [B, K]: the force lies on the cone

    def choose(self, sticking: jax.Array, sliding: jax.Array) -> jax.Array:
        """Return values [B, ..., K] by zone, 0 for contacts that part.

        Args:
          sticking: [B, ..., K], values of contacts that stick.
          sliding: [B, ..., K], values of contacts that slide.

        Returns:
          The chosen values [B, ..., K].
        """
        shape = (len(self.sticks),) + (1,) * (sticking.ndim - 2) + (-1,)
        sticks, slides = self.sticks.reshape(shape), self.slides.reshape(shape)
        return jnp.where(sticks, sticking, jnp.where(slides, sliding, 0.0))


def cone_zone(contacts: FrictionContacts, residual: jax.Array) -> ConeZone:
    """Return the zones of residuals [B, 4, K].

    Args:
      contacts: K of each environment.
      residual: [B, 4, K], acceleration less its reference.

    Returns:
      The residuals' coordinates about the cone, and each contact's zone.
    """
    chex.assert_equal_shape([residual, contacts.weight])
    scaled = residual * contacts.friction
    normal, tangent = scaled[:, 0], scaled[:, 1:]
    length = jnp.sqrt(jnp.sum(tangent * tangent, axis=1))
    friction = contacts.friction[:, 0]
    reach = friction * normal + length
    sticks = jnp.where(length > 0, reach <= 0, normal < 0)
    slides = (length > 0) & (normal < friction * length) & (reach > 0)
    return ConeZone(normal, tangent, length, sticks, slides)


def contact_cost(contacts: FrictionContacts, residual: jax.Array) -> jax.Array:
    """Return twice the cost [B, K] of each contact at residuals [B, 4, K].

    Args:
      contacts: K of each environment.
      residual: [B, 4, K], acceleration less its reference.

    Returns:
      Costs of 0 or more; 0 where a contact parts.
    """
    zone = cone_zone(contacts, residual)
    spring = jnp.sum(contacts.weight * residual**2, axis=1)
    distance = zone.normal - contacts.friction[:, 0] * zone.length
    return zone.choose(spring, _sliding_weight(contacts) * distance**2)


def contact_force(contacts: FrictionContacts, residual: jax.Array) -> jax.Array:
    """Return the forces [B, 4, K] of the rows: minus the cost's gradient.

    Args:
      contacts: K of each environment.
      residual: [B, 4, K], acceleration less its reference.

    Returns:
      Forces in N and, of the spin, N m.
    """
    zone, friction = cone_zone(contacts, residual), contacts.friction[:, 0]
    distance = zone.normal - friction * zone.length
    normal = -_sliding_weight(contacts) * distance * friction
    tangent = -(normal / jnp.maximum(zone.length, TINY))[:, None] * zone.tangent
    sliding = jnp.concatenate(
        [normal[:, None], tangent * contacts.friction[:, 1:]], axis=1
    )
    return zone.choose(-contacts.weight * residual, sliding)


def contact_hessian(contacts: FrictionContacts, residual: jax.Array) -> jax.Array:
    """Return the second derivatives [B, 4, 4, K] of each contact's cost.

    Args:
      contacts: K of each environment.
      residual: [B, 4, K], acceleration less its reference.

    Returns:
      Symmetric matrices [4, 4] by the residual.
    """
    zone, friction = cone_zone(contacts, residual), contacts.friction[:, 0]
    length = jnp.maximum(zone.length, TINY)
    unit, ratio = zone.tangent / length[:, None], friction * zone.normal / length
    eye = jnp.eye(3)[:, :, None]
    square = ratio[:, None, None] * (unit[:, :, None] * unit[:, None] - eye)
    square += (friction**2)[:, None, None] * eye
    side = -friction[:, None] * unit  # [B, 3, K]
    top = jnp.concatenate([jnp.ones_like(side[:, :1]), side], axis=1)
    rest = jnp.concatenate([side[:, :, None], square], axis=2)
    shape = jnp.concatenate([top[:, None], rest], axis=1)
    scale = contacts.friction[:, :, None] * contacts.friction[:, None]
    sliding = _sliding_weight(contacts)[:, None, None] * scale * shape
    sticking = jnp.eye(4)[:, :, None] * contacts.weight[:, :, None]
    return zone.choose(sticking, sliding)


def contact_slopes(
    contacts: FrictionContacts, residual: jax.Array, direction: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Return the first and second derivative [B, K] of each contact's cost.

    Args:
      contacts: [B, K].
      residual: [B, 4, K].
      direction: [B, 4, K], of the residual by the variable.

    Returns:
      Two arrays [B, K], of the cost itself and not of its double.
    """
    zone, scaled = cone_zone(contacts, residual), direction * contacts.friction
    friction, weight = contacts.friction[:, 0], _sliding_weight(contacts)
    length = jnp.maximum(zone.length, TINY)
    rate = jnp.sum(zone.tangent * scaled[:, 1:], axis=1) / length
    bend = (jnp.sum(scaled[:, 1:] ** 2, axis=1) - rate**2) / length
    distance = zone.normal - friction * zone.length
    closing = scaled[:, 0] - friction * rate
    spring = contacts.weight * direction
    return (
        zone.choose(jnp.sum(spring * residual, axis=1), weight * distance * closing),
        zone.choose(
            jnp.sum(spring * direction, axis=1),
            weight * (closing**2 - distance * friction * bend),
        ),
    )


def _sliding_weight(contacts: FrictionContacts) -> jax.Array:
    """The weight [B, K] of a sliding contact's distance from its cone."""
    squared = contacts.friction[:, 0] ** 2
    return contacts.weight[:, 0] / jnp.maximum(squared * (1 + squared), TINY)


def joint_cost(joints: JointConstraints, acceleration: jax.Array) -> jax.Array:
    """Return twice the cost [B, V] of limits and friction at an acceleration [B, V].

    Args:
      joints: rows of V degrees of freedom.
      acceleration: [B, V] in m/s2 or rad/s2.

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
    """Return the first and second derivative [B, V] of the joints' costs.

    Args:
      joints: rows of V degrees of freedom.
      acceleration: [B, V] in m/s2 or rad/s2.

    Returns:
      Two arrays [B, V], of the cost itself and not of its double.
    """
    limit = joints.side * acceleration - joints.limit_reference
    active = joints.limit_weight * (limit < 0)
    pull = joints.friction_weight * (acceleration - joints.friction_reference)
    loss = joints.friction_loss
    elastic = joints.friction_weight * (jnp.abs(pull) < loss)
    slope = active * limit * joints.side + jnp.clip(pull, -loss, loss)
    return slope, active + elastic
