"""Tests of contact.cost: forces, Hessians and slopes are derivatives of the costs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from omnivla_jax.sim.engines.mjx.contact import cost as costs
from omnivla_jax.sim.engines.mjx.contact.constraint import (
    FrictionContacts,
    JointConstraints,
)

SLOTS = 60


@pytest.fixture(scope="module")
def contacts():
    rng = np.random.default_rng(0)
    weight, friction = rng.uniform(0.5, 2.0, (2, 4, SLOTS, 1)).astype(np.float32)
    # MuJoCo's rows of one contact: weights in the ratio of the squared frictions.
    weight = weight[:1] * (friction / friction[:1]) ** 2
    return FrictionContacts(jnp.zeros(0), jnp.asarray(weight), jnp.asarray(friction))


@pytest.fixture(scope="module")
def residual():
    scale = jnp.array([1.0, 0.5, 0.5, 0.5])[:, None, None]
    return jax.random.normal(jax.random.key(1), (4, SLOTS, 1)) * scale


def half_cost(contacts, residual):
    return 0.5 * jnp.sum(costs.contact_cost(contacts, residual))


@pytest.fixture(scope="module")
def zone(contacts, residual):
    return jax.jit(costs.cone_zone)(contacts, residual)


@pytest.fixture(scope="module")
def force(contacts, residual):
    return jax.jit(costs.contact_force)(contacts, residual)


def test_all_three_zones_are_there_and_apart(contacts, residual, zone):
    assert not np.any(zone.sticks & zone.slides)
    parts = ~(zone.sticks | zone.slides)
    assert min(int(x.sum()) for x in (zone.sticks, zone.slides, parts)) > 3
    cost = jax.jit(costs.contact_cost)(contacts, residual)
    np.testing.assert_array_equal(cost[parts], 0.0)


def test_forces_are_minus_the_gradient(contacts, residual, force):
    gradient = jax.jit(jax.grad(half_cost, argnums=1))(contacts, residual)
    np.testing.assert_allclose(force, -gradient, atol=1e-4)


def test_hessians_are_second_derivatives(contacts, residual):
    full = jax.jit(jax.hessian(half_cost, argnums=1))(contacts, residual)[
        :, :, 0, :, :, 0
    ]
    expected = jnp.einsum("ikjk->ijk", full)
    ours = jax.jit(costs.contact_hessian)(contacts, residual)[..., 0]
    np.testing.assert_allclose(ours, expected, atol=1e-3)


def test_slopes_are_directional_derivatives(contacts, residual):
    direction = jax.random.normal(jax.random.key(2), residual.shape)

    def cost(step):
        return 0.5 * costs.contact_cost(contacts, residual + step * direction)

    def slope(step):
        return jax.jvp(cost, (step,), (1.0,))[1]

    first, second = jax.jit(costs.contact_slopes)(contacts, residual, direction)
    expected = jax.jit(lambda step: jax.jvp(slope, (step,), (1.0,)))(0.0)
    np.testing.assert_allclose(first, expected[0], atol=1e-4)
    np.testing.assert_allclose(second, expected[1], atol=1e-3)


def test_sliding_forces_lie_on_the_friction_cone(contacts, zone, force):
    force, sliding = np.asarray(force), np.asarray(contacts.friction[1:])
    rub = np.sqrt(np.sum((force[1:] / sliding) ** 2, axis=0))
    np.testing.assert_allclose(rub[zone.slides], force[0][zone.slides], rtol=1e-3)


def test_joint_slopes_are_derivatives():
    rng = np.random.default_rng(3)
    side, limit, friction_loss = jnp.float32(rng.normal(size=(3, 1, SLOTS)))
    weights = jnp.float32(rng.uniform(0.5, 2.0, (3, SLOTS)))
    joints = JointConstraints(
        jnp.sign(side), limit, weights[:1], friction_loss, weights[1], weights[2]
    )
    acceleration = jax.random.normal(jax.random.key(4), (1, SLOTS)) * 3

    def cost(x):
        return 0.5 * jnp.sum(costs.joint_cost(joints, x))

    ones = jnp.ones_like(acceleration)
    slopes = jax.jit(costs.joint_slopes)(joints, acceleration)
    expected = jax.jit(lambda x: jax.jvp(jax.grad(cost), (x,), (ones,)))(acceleration)
    for ours, theirs in zip(slopes, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)
