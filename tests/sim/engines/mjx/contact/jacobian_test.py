"""Tests of contact.jacobian against the same matrices written out in full."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from omnivla_jax.sim.engines.mjx.contact import jacobian

BATCH, BODIES, CONTACTS, FIRST = 2, 3, 5, 4  # FIRST degrees of freedom are not free
SIZE, PLACES = FIRST + 6 * BODIES, CONTACTS + 4 * BODIES


@pytest.fixture(scope="module")
def numbers():
    return np.random.default_rng(0)


@pytest.fixture(scope="module")
def jac(numbers):
    return jacobian.Jacobian(
        numbers.normal(size=(BATCH, 4 * CONTACTS, SIZE)).astype(np.float32),
        numbers.normal(size=(BATCH * BODIES, 16, 6)).astype(np.float32),
    )


@pytest.fixture(scope="module")
def full(jac):
    """[B, 4, K + 4 S, V]."""
    rows = np.zeros((BATCH, 4, PLACES, SIZE), np.float32)
    rows[:, :, :CONTACTS] = jac.box.reshape(BATCH, 4, CONTACTS, SIZE)
    ground = jac.ground.reshape(BATCH, BODIES, 4, 4, 6)
    for body in range(BODIES):
        place, dof = CONTACTS + 4 * body, FIRST + 6 * body
        rows[:, :, place : place + 4, dof : dof + 6] = ground[:, body]
    return rows


def test_contacts_move_with_the_degrees_of_freedom(jac, full, numbers):
    velocity = numbers.normal(size=(SIZE, BATCH)).astype(np.float32)
    expected = np.einsum("brkv,vb->rkb", full, velocity)
    found = jax.jit(jacobian.jac_mul)(jac, velocity)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_forces_act_back_on_the_degrees_of_freedom(jac, full, numbers):
    force = numbers.normal(size=(4, PLACES, BATCH)).astype(np.float32)
    expected = np.einsum("brkv,rkb->vb", full, force)
    found = jax.jit(jacobian.jac_t_mul)(jac, force)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-4)


def test_weights_add_up_to_a_matrix(jac, full, numbers):
    weight = numbers.normal(size=(4, 4, PLACES, BATCH)).astype(np.float32)
    weight += weight.swapaxes(0, 1)
    expected = np.einsum("brkv,rskb,bskw->bvw", full, weight, full)
    found = jax.jit(jacobian.jac_gram)(jac, weight)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-3)


def test_blocks_lie_where_they_end():
    blocks = jnp.arange(1.0, 9.0).reshape(1, 2, 2, 2)
    square = np.zeros((5, 5))
    square[1:3, 1:3], square[3:, 3:] = blocks[0]
    np.testing.assert_array_equal(jacobian.block_diagonal(blocks, 5)[0], square)
