"""Meshes: a primitive survives the trip through a MuJoCo model."""

import mujoco
import numpy as np
import pytest

from omnivla_jax.render import types
from omnivla_jax.sim.assets import meshes
from omnivla_jax.sim.assets.primitives import add_primitive, cone, cup, polytope

SHAPES = [
    cup((0, 0, 0), (0, 0.01, 0.05), (0.03, 0.05)),
    cone((0, 0.1, 0), (0, 0.1, 0.1), (0.02, 0.04)),
    polytope([(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0)]),
]


@pytest.fixture(scope="module")
def model():
    spec = mujoco.MjSpec()
    spec.add_material(name="plain")
    body = spec.worldbody.add_body(pos=(0, 0, 1))
    for shape in SHAPES:
        meshes.add(spec, shape.kind, shape.size, shape.vertices)
        meshes.add(spec, shape.kind, shape.size, shape.vertices)  # once is enough
        add_primitive(body, shape, collides="nothing")
    return spec.compile()


@pytest.mark.parametrize("geom", range(len(SHAPES)))
def test_frames_and_sizes_come_back(model, geom):
    assert model.nmesh == len(SHAPES)
    position, quaternion = meshes.frame(model, geom)
    np.testing.assert_allclose(position, SHAPES[geom].position, atol=1e-9)
    sign = np.sign(quaternion @ SHAPES[geom].quaternion)
    np.testing.assert_allclose(sign * quaternion, SHAPES[geom].quaternion, atol=1e-9)
    np.testing.assert_allclose(model.geom_user[geom], SHAPES[geom].size)


def test_planes_touch_every_vertex_from_outside(model):
    planes = meshes.planes(model, 2)
    reach = planes[:, :3] @ np.array(SHAPES[2].vertices).T - planes[:, 3:]
    assert reach.max() < 1e-4 and len(planes) == 5  # its oblique quadrangle is one
    assert ((np.abs(reach) < 1e-4).sum(1) >= 3).all()


@pytest.mark.parametrize("kind", ["cone", "cup"])
def test_turned_meshes_are_closed(kind):
    size = (0.03, 0.05, 0.02)
    corners, faces = meshes._turned(meshes._profile(kind, size))
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    there = {tuple(edge) for edge in edges}
    assert len(there) == len(edges) and all((b, a) in there for a, b in there)
    volume = np.linalg.det(corners[faces]).sum() / 6

    def frustum(low, high, height):
        return np.pi / 3 * height * (low**2 + low * high + high**2)

    wanted = frustum(0.03, 0.05, 0.04)
    if kind == "cup":
        wall = meshes.CUP_WALL * 0.05
        floor = 0.03 + 0.02 * wall / 0.04 - wall
        wanted -= frustum(floor, 0.05 - wall, 0.04 - wall)
    np.testing.assert_allclose(volume, wanted, rtol=2e-3)


def test_simulator_and_renderer_agree_on_a_cups_wall():
    assert meshes.CUP_WALL == types.CUP_WALL
