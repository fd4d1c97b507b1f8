"""The arm collides where robosuite's meshes do, and with what it can reach."""

import mujoco
import numpy as np
import pytest

from omnivla_jax.sim import scene as scenes
from omnivla_jax.sim.assets import panda
from omnivla_jax.sim.engines import mujoco as engine_mujoco

# Bounds of robosuite 1.4's collision meshes in the frames of their links, m.
MESHES = {
    "link5": ((-0.0550, -0.0551, -0.2646), (0.0551, 0.1299, 0.0522)),
    "link6": ((-0.0480, -0.0514, -0.0440), (0.1322, 0.0817, 0.0563)),
}
LIMIT = 0.013  # m: 95 % of the fitted surfaces deviate by less


@pytest.fixture(scope="module")
def scene():
    return scenes.make("libero_goal", tasks=(0,), engine="mujoco")


@pytest.fixture(scope="module")
def model(scene):
    return engine_mujoco.compile_model(scene.assets, scene.preset, ())


def solid_geoms(model, body):
    return [
        geom
        for geom in np.flatnonzero(model.geom_bodyid == model.body(body).id)
        if model.geom_contype[geom]
    ]


@pytest.mark.parametrize("link", MESHES)
def test_boxes_fill_the_meshes_bounds(model, link):
    signs = np.array(np.meshgrid(*[(-1, 1)] * 3)).reshape(3, 8)
    corners = []
    for geom in solid_geoms(model, link):
        matrix = np.zeros(9)
        mujoco.mju_quat2Mat(matrix, model.geom_quat[geom])
        turned = matrix.reshape(3, 3) @ (signs * model.geom_size[geom][:, None])
        corners.append(model.geom_pos[geom] + turned.T)
    points = np.concatenate(corners)
    bounds = points.min(axis=0), points.max(axis=0)
    np.testing.assert_allclose(bounds, MESHES[link], atol=LIMIT)


def test_the_wrist_meets_things_and_not_itself(model):
    data = mujoco.MjData(model)
    data.qpos[: panda.NUM_JOINTS] = panda.HOME
    mujoco.mj_forward(model, data)
    bowl = model.joint("akita_black_bowl_1_joint0").qposadr[0]
    rack = model.body("wine_rack_1").id
    wrist = data.body("link6").xpos.copy()

    def links_touched(bowl_offset, rack_offset):
        data.qpos[bowl : bowl + 3] = wrist + bowl_offset
        model.body_pos[rack] = wrist + rack_offset
        mujoco.mj_forward(model, data)
        pairs = (model.geom_bodyid[contact.geom] for contact in data.contact)
        names = [{model.body(body).name for body in pair} for pair in pairs]
        return [pair for pair in names if "link6" in pair or "link5" in pair]

    near, far = np.array([0.0, -0.1, 0.0]), np.array([0.0, 3.0, 0.0])
    assert not links_touched(far, 2 * far)  # nor the hand, nor the other link
    assert {"akita_black_bowl_1", "link6"} in links_touched(near, far)
    assert {"wine_rack_1", "link6"} in links_touched(far, near)
