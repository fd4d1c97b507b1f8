"""Tests of omnivla_jax.sim.rotation against SciPy, in both array modules."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from omnivla_jax.sim import rotation

MODULES = pytest.mark.parametrize("xp", [np, jnp], ids=["numpy", "jax"])
TOLERANCE = 3e-6


def _random(count=16, seed=0):
    turns = Rotation.random(count, random_state=seed)
    return turns, turns.as_quat(scalar_first=True)


@MODULES
def test_matrix_and_rotate_agree_with_scipy(xp):
    turns, quaternions = _random()
    vectors = np.random.default_rng(1).normal(size=(16, 3))
    q, v = xp.asarray(quaternions), xp.asarray(vectors)
    np.testing.assert_allclose(
        rotation.matrix(q, xp), turns.as_matrix(), atol=TOLERANCE
    )
    turned = rotation.rotate(q, v, xp)
    np.testing.assert_allclose(turned, turns.apply(vectors), atol=TOLERANCE)
    back = rotation.rotate(rotation.inverse(q, xp), turned, xp)
    np.testing.assert_allclose(back, vectors, atol=1e-5)


@MODULES
def test_products_compose_as_matrices(xp):
    (first, q), (second, r) = _random(seed=2), _random(seed=3)
    product = rotation.multiply(xp.asarray(q), xp.asarray(r), xp)
    expected = (first * second).as_matrix()
    np.testing.assert_allclose(rotation.matrix(product, xp), expected, atol=TOLERANCE)


@MODULES
def test_axis_angle_round_trip_including_zero(xp):
    vectors = np.random.default_rng(4).normal(size=(8, 3))
    vectors[0] = 0.0
    quaternions = rotation.from_axis_angle(xp.asarray(vectors), xp)
    expected = Rotation.from_rotvec(vectors).as_quat(scalar_first=True)
    expected *= np.sign(expected[:, :1] * np.asarray(quaternions)[:, :1])
    np.testing.assert_allclose(quaternions, expected, atol=TOLERANCE)
    back = rotation.to_axis_angle(quaternions, xp)
    np.testing.assert_allclose(back, vectors, atol=1e-5)


def test_axis_angles_are_not_wrapped():
    # robosuite's quat2axisangle lets the angle run to 2 pi.
    turn = rotation.from_axis_angle(np.array([0.0, 0.0, 5.0]), np)
    np.testing.assert_allclose(rotation.to_axis_angle(turn, np), [0, 0, 5.0])


def test_wrong_sizes_are_refused():
    quaternion, vector = np.eye(4), np.ones((4, 3))
    for wrong in (
        lambda: rotation.matrix(vector, np),
        lambda: rotation.rotate(vector, vector, np),
        lambda: rotation.multiply(quaternion, vector, np),
    ):
        with pytest.raises(AssertionError, match="shape|axis"):
            wrong()
