"""Rays and projection are each other's inverse."""

import jax.numpy as jnp
import numpy as np

from omnivla_jax.render import camera as camera_lib
from omnivla_jax.render import types


def test_rays_pass_through_the_centres_of_their_pixels():
    turn = np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1]], np.float32)
    camera = types.Camera(np.array([1, 2, 3], np.float32), turn, np.float32(60))
    column, row, back = camera_lib.film(size=4)
    weights = jnp.stack([column, row, jnp.full(16, back)])
    points = camera.position + 2.5 * (camera_lib.axes(camera) @ weights).T
    found = camera_lib.project(camera, points, size=4)
    np.testing.assert_allclose(found[:, 0], np.tile(np.arange(4) + 0.5, 4), atol=1e-4)
    np.testing.assert_allclose(found[:, 1], np.repeat(np.arange(4) + 0.5, 4), atol=1e-4)
    np.testing.assert_allclose(found[:, 2], 2.5, rtol=1e-5)


def test_a_stride_picks_samples_of_the_full_film():
    full = np.reshape(camera_lib.film(size=3, supersample=2)[0], (6, 6))
    part = camera_lib.film(size=3, supersample=2, first=1, stride=2)[0]
    part = np.reshape(part, (3, 3))
    np.testing.assert_array_equal(part, full[1::2, 1::2])
