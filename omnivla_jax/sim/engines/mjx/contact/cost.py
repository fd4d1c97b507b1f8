"""The costs of constraint rows and their derivatives.

A residual is how far a row's acceleration is from its reference. A contact costs
nothing where it parts, as a spring where it sticks, and by its distance from the
friction cone where it slides; a limit is one-sided; joint friction costs as Huber's.
Axes: B environments, K contacts, V degrees of freedom, 4 rows a contact.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from omnivla_jax.sim.engines.mjx.contact.constraint import FrictionContacts, Joints

TINY = 1e-15  # MuJoCo's mjMINVAL


class Zone(NamedTuple):
    """Residuals in coordinates in which the friction cone is circular."""

    normal: jax.Array  # [B, K]
    tangent: jax.Array  # [B, 3, K]
    length: jax.Array  # [B, K] of the tangent
    sticks: jax.Array  # bool [B, K]: all rows act as springs
    slides: jax.Array  # bool [B, K]: the force lies on the cone

    def choose(self, sticking: jax.Array, sliding: jax.Array) -> jax.Array:
        """Values [B, ..., K] by zone, 0 for contacts that part."""
        shape = (len(self.sticks),) + (1,) * (sticking.ndim - 2) + (-1,)
        sticks, slides = self.sticks.reshape(shape), self.slides.reshape(shape)
        return jnp.where(sticks, sticking, jnp.where(slides, sliding, 0.0))


def zone(cones: FrictionContacts, residual: jax.Array) -> Zone:
    """Where residuals [B, 4, K] lie."""
    scaled = residual * cones.friction
    normal, tangent = scaled[:, 0], scaled[:, 1:]
    length = jnp.sqrt(jnp.sum(tangent * tangent, axis=1))
    regular = cones.friction[:, 0]
    reach = regular * normal + length
    sticks = jnp.where(length > 0, reach <= 0, normal < 0)
    slides = (length > 0) & (normal < regular * length) & (reach > 0)
    return Zone(normal, tangent, length, sticks, slides)


def contact_cost(cones: FrictionContacts, residual: jax.Array) -> jax.Array:
    """Twice the cost [B, K] of each contact."""
    where = zone(cones, residual)
    spring = jnp.sum(cones.weight * residual**2, axis=1)
    off = where.normal - cones.friction[:, 0] * where.length
    return where.choose(spring, _sliding_weight(cones) * off**2)


def contact_force(cones: FrictionContacts, residual: jax.Array) -> jax.Array:
    """The forces [B, 4, K] of the rows: minus the cost's gradient."""
    where, regular = zone(cones, residual), cones.friction[:, 0]
    off = where.normal - regular * where.length
    press = -_sliding_weight(cones) * off * regular
    rub = -(press / jnp.maximum(where.length, TINY))[:, None] * where.tangent
    sliding = jnp.concatenate([press[:, None], rub * cones.friction[:, 1:]], axis=1)
    return where.choose(-cones.weight * residual, sliding)


def contact_hessian(cones: FrictionContacts, residual: jax.Array) -> jax.Array:
    """Second derivatives [B, 4, 4, K] of each contact's cost."""
    where, regular = zone(cones, residual), cones.friction[:, 0]
    length = jnp.maximum(where.length, TINY)
    unit, ratio = where.tangent / length[:, None], regular * where.normal / length
    eye = jnp.eye(3)[:, :, None]
    square = ratio[:, None, None] * (unit[:, :, None] * unit[:, None] - eye)
    square += (regular**2)[:, None, None] * eye
    side = -regular[:, None] * unit  # [B, 3, K]
    top = jnp.concatenate([jnp.ones_like(side[:, :1]), side], axis=1)
    rest = jnp.concatenate([side[:, :, None], square], axis=2)
    shape = jnp.concatenate([top[:, None], rest], axis=1)
    scale = cones.friction[:, :, None] * cones.friction[:, None]
    sliding = _sliding_weight(cones)[:, None, None] * scale * shape
    return where.choose(jnp.eye(4)[:, :, None] * cones.weight[:, :, None], sliding)


def contact_slopes(
    cones: FrictionContacts, residual: jax.Array, along: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """First and second derivative [B, K] where the residual moves `along` [B, 4, K]."""
    where, scaled = zone(cones, residual), along * cones.friction
    regular, weight = cones.friction[:, 0], _sliding_weight(cones)
    length = jnp.maximum(where.length, TINY)
    rate = jnp.sum(where.tangent * scaled[:, 1:], axis=1) / length
    bend = (jnp.sum(scaled[:, 1:] ** 2, axis=1) - rate**2) / length
    off = where.normal - regular * where.length
    closing = scaled[:, 0] - regular * rate
    spring = cones.weight * along
    return (
        where.choose(jnp.sum(spring * residual, axis=1), weight * off * closing),
        where.choose(
            jnp.sum(spring * along, axis=1),
            weight * (closing**2 - off * regular * bend),
        ),
    )


def _sliding_weight(cones: FrictionContacts) -> jax.Array:
    """The weight [B, K] of a sliding contact's distance from its cone."""
    squared = cones.friction[:, 0] ** 2
    return cones.weight[:, 0] / jnp.maximum(squared * (1 + squared), TINY)


def joint_cost(joints: Joints, acceleration: jax.Array) -> jax.Array:
    """Twice the cost [B, V] of each joint's limit and friction."""
    limit = joints.side * acceleration - joints.limit_reference
    rub = jnp.abs(acceleration - joints.drag_reference)
    knee = joints.drag / jnp.maximum(joints.drag_weight, TINY)
    elastic = joints.drag_weight * jnp.minimum(rub, knee) ** 2
    friction = elastic + 2 * joints.drag * jnp.maximum(rub - knee, 0.0)
    return joints.limit_weight * jnp.minimum(limit, 0.0) ** 2 + friction


def joint_slopes(
    joints: Joints, acceleration: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """First and second derivative [B, V] of the joints' costs."""
    limit = joints.side * acceleration - joints.limit_reference
    active = joints.limit_weight * (limit < 0)
    pull = joints.drag_weight * (acceleration - joints.drag_reference)
    elastic = joints.drag_weight * (jnp.abs(pull) < joints.drag)
    slope = active * limit * joints.side + jnp.clip(pull, -joints.drag, joints.drag)
    return slope, active + elastic
