"""Errors of geometry on predictions whose errors are known."""

import jax.numpy as jnp
import numpy as np
from scipy.spatial.transform import Rotation

from omnivla_jax.train.spatial import metrics
from omnivla_jax.train.spatial.alignment import align
from tests.train.spatial.losses_test import VALID, moved, plane


def test_a_scaled_truth_has_no_error():
    true = plane()
    errors = metrics.accuracy(align(moved(true, 3.0), true, VALID), VALID)
    for name in ("abs_rel", "camera_translation", "point_error"):
        np.testing.assert_allclose(errors[name], 0, atol=1e-4)
    np.testing.assert_allclose(errors["delta_1.25"], 1)
    np.testing.assert_allclose(errors["camera_rotation"], 0, atol=0.05)
    np.testing.assert_allclose(errors["normal_angle"], 0, atol=0.05)


def test_known_errors_are_found():
    """A quarter of the pixels 50 % too deep, normals and one camera turned."""
    true = plane()
    turn = Rotation.from_euler("y", 7, degrees=True).as_matrix().astype(np.float32)
    quarter = jnp.zeros(VALID.shape, bool).at[..., :5, :5].set(True)
    predicted = true._replace(
        points=true.points * jnp.where(quarter, 1.5, 1.0)[:, :, None],
        normals=jnp.einsum("ij,bvjrc->bvirc", turn, true.normals),
        rotation=true.rotation.at[:, 1].set(true.rotation[:, 1] @ turn),
        translation=true.translation.at[:, 1, 0].add(0.02),
    )
    errors = metrics.accuracy(align(predicted, true, VALID), VALID)
    np.testing.assert_allclose(errors["abs_rel"], 0.5 / 4, rtol=2e-2)
    np.testing.assert_allclose(errors["delta_1.25"], 0.75, atol=1e-6)
    np.testing.assert_allclose(errors["normal_angle"], 7, rtol=0.1)
    np.testing.assert_allclose(errors["camera_rotation"], 7, rtol=2e-2)
    assert (errors["camera_translation"] > 0.015).all()
    assert (errors["point_error"] > 0.1).all()
