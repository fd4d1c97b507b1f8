"""Rays: rays and projection are inverse to each other, tiles to untiled images."""

import jax.numpy as jnp
import numpy as np
import pytest

from omnivla_jax.render import camera as camera_lib
from omnivla_jax.render import rays, types

TURN = np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1]], np.float32)
CAMERA = types.Camera(np.array([1, 2, 3], np.float32), TURN, np.float32(60))


@pytest.mark.parametrize("size", [4, 65])
def test_primary_rays_pass_through_pixel_centres(size):
    plane = rays.TiledImagePlane.of_side(size)
    bundle = rays.primary_rays(CAMERA, plane)
    column, row = (plane.untile(jnp.asarray(w)) for w in bundle.weights[:2])
    weights = jnp.stack([column, row, jnp.full_like(row, bundle.weights[2])], axis=-1)
    points = CAMERA.position + 2.5 * weights @ bundle.basis.T
    found = camera_lib.project(CAMERA, points, size=size)
    centres = np.arange(size) + 0.5
    np.testing.assert_allclose(found[..., 0], np.tile(centres, (size, 1)), atol=1e-3)
    np.testing.assert_allclose(found[..., 1].T, np.tile(centres, (size, 1)), atol=1e-3)
    np.testing.assert_allclose(found[..., 2], 2.5, rtol=1e-5)


@pytest.mark.parametrize("side", [1, 8, 33, 64, 65])
def test_untile_inverts_tile(side):
    plane = rays.TiledImagePlane.of_side(side)
    whole = plane.tiles_across * plane.tile_side
    image = np.arange(whole**2).reshape(whole, whole)
    tiles = plane.tile(image)
    assert tiles.shape == (plane.tiles_across**2, plane.tile_side**2)
    joined = plane.untile(jnp.asarray(tiles))
    np.testing.assert_array_equal(joined, image[:side, :side])


def test_shadow_rays_reach_points_within_their_bounds():
    rng = np.random.default_rng(0)
    points = rng.normal(size=(3, 5, 40)).astype(np.float32)
    points[2] -= 4.0
    lamp = jnp.array([0.3, 0.2, 4.0])
    found = rays.shadow_rays(lamp, tuple(points), jnp.ones((5, 40), bool))
    weights = jnp.stack(found.weights)
    ends = lamp[:, None, None] + jnp.einsum("ij,jtp->itp", found.basis, weights)
    np.testing.assert_allclose(ends, points, atol=1e-5)
    for axis in range(2):
        slope = np.asarray(weights[axis] / -weights[2])
        assert (found.low[axis][:, None] <= slope).all()
        assert (found.high[axis][:, None] >= slope).all()
    assert (found.max_depth[:, None] >= -weights[2]).all()


def test_tiles_with_points_behind_are_unbounded():
    points = np.array([[[0, 0.1], [0, 3]], [[0, 0], [0, 0]], [[-9, -9], [-9, 2]]])
    found = rays.shadow_rays(jnp.zeros(3), tuple(points), jnp.ones((2, 2), bool))
    assert found.high[0][0] < 1 and found.high[0][1] > 1e6 and found.low[0][1] < -1e6
