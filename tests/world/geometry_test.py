"""True geometry against the renderer's own points and the camera's projection."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from omnivla_jax.core import compile as compilation
from omnivla_jax.render import camera as cameras
from omnivla_jax.world import geometry, observe, visual_scene

SIZE = 24


@pytest.fixture(scope="module")
def rendered(visuals, settled):
    """Pictures with geometry, and the renderer's world points, of two episodes."""
    physics = jax.tree.map(lambda leaf: leaf[:2], settled.physics)

    def run(physics):
        image = observe.render_images(visuals, physics, size=SIZE, outputs=("point",))
        return geometry.images_and_geometry(visuals, physics, size=SIZE), image.point

    (images, truth, valid), points = compilation.jit(run)(physics)
    return physics, images, truth, valid, points


def test_points_are_the_renderers_in_the_camera_frame(rendered):
    _, _, truth, valid, points = rendered
    world = jnp.einsum("bvij,bvjrc->bvrci", truth.rotation, truth.points)
    world = world + truth.translation[:, :, None, None]
    error = jnp.linalg.norm(world - points, axis=-1)[valid]
    assert valid.mean() > 0.9 and error.max() < 2e-3


def test_points_project_onto_their_pixels(rendered, visuals):
    physics, _, truth, valid, points = rendered
    mount = visuals.cameras[0]
    poses = visual_scene.mounted_camera(mount, physics)
    camera = type(poses)(*(leaf[0] for leaf in poses))
    pixels = cameras.project(camera, points[0, 0], size=SIZE)
    rows, columns = np.indices((SIZE, SIZE)) + 0.5
    shown = np.asarray(valid[0, 0])
    np.testing.assert_allclose(pixels[..., 0][shown], columns[shown], atol=0.02)
    np.testing.assert_allclose(pixels[..., 1][shown], rows[shown], atol=0.02)
    depth = truth.points[0, 0, 2]
    np.testing.assert_allclose(pixels[..., 2][shown], depth[shown], rtol=1e-4)


def test_normals_are_unit_and_face_the_camera(rendered):
    _, _, truth, valid, _ = rendered
    lengths = jnp.linalg.norm(truth.normals, axis=2)[valid]
    np.testing.assert_allclose(lengths, 1, atol=1e-4)
    facing = (truth.normals * truth.points).sum(2)[valid]
    assert (facing < 1e-4).mean() > 0.99


def test_pictures_are_those_of_policies(rendered, visuals):
    physics, images, *_ = rendered
    expected = compilation.jit(
        lambda physics: observe.images(visuals, physics, size=SIZE)
    )(physics)
    difference = abs(images.astype(jnp.int32) - expected.astype(jnp.int32))
    assert difference.max() <= 1
