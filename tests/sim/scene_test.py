"""Tests of omnivla_jax.sim.scene: robosuite's and LIBERO's numbers in the model."""

import mujoco
import numpy as np
import pytest

from omnivla_jax.sim import mjcf
from omnivla_jax.sim import scene as scenes
from omnivla_jax.sim.assets import integrator_presets, panda
from omnivla_jax.sim.assets.arenas import ARENAS, table_body
from omnivla_jax.sim.engines import mujoco as mujoco_engine
from omnivla_jax.sim.engines.mjx import engine as mjx
from omnivla_jax.sim.libero import files
from omnivla_jax.sim.resets import region_tables

# kg, from LIBERO's and robosuite's models.
MASSES = {
    "akita_black_bowl_1": 0.0056,
    "plate_1": 0.0115,
    "cream_cheese_1": 0.0062,
    "wine_bottle_1": 0.0154,
    "wooden_cabinet_1_middle_level": 3.0,
    "flat_stove_1_button": 3.0,
    "right_hand": 0.5,
    "right_gripper": 0.3,
    "leftfinger": 0.1,
    "rightfinger_tip": 0.01,
} | dict(zip((f"link{i}" for i in range(8)), (4, 3, 3, 2, 2, 2, 1.5, 0.5)))


@pytest.mark.parametrize("name", MASSES)
def test_masses(scene, name):
    np.testing.assert_allclose(scene.model.body(name).mass, MASSES[name], atol=5e-5)


def test_finger_tips_keep_their_own_inertia(scene):
    # MuJoCo's fluid model reads the tip's 0.01 kg m^2 at 10 g as a large box, whose
    # drag slows wrist turns; merged into the fingers the recorded motion is lost.
    for side in ("leftfinger", "rightfinger"):
        tip = scene.model.body(f"{side}_tip")
        np.testing.assert_allclose(tip.inertia, 0.01)
        assert tip.parentid == scene.bodies[side] and tip.mass == 0.01
    assert scene.model.opt.density == 1.2 and scene.model.opt.viscosity == 2e-5


def test_arm_dynamics(scene):
    dofs = [scene.joints[f"joint{i + 1}"][1] for i in range(7)]
    assert dofs == list(range(7))
    model = scene.model
    armature = [5, 2.5, 1.667, 1.25, 1, 0.833, 0.714]
    np.testing.assert_allclose(model.dof_armature[:7], armature, atol=1e-3)
    np.testing.assert_allclose(model.dof_damping[:7], [0.1] * 5 + [0.01] * 2)
    np.testing.assert_allclose(model.dof_frictionloss[:9], [0.1] * 7 + [1.0] * 2)
    np.testing.assert_allclose(model.dof_damping[7:9], 100.0)
    limits = np.array([80.0] * 5 + [12.0] * 2)
    np.testing.assert_allclose(model.actuator_ctrlrange[:7, 1], limits)


def test_home_pose_is_libero_s(scene):
    # Measured in the real environment after reset: (-0.2085, 0, 1.1733).
    home = scene.home_offset + ARENAS[scene.tasks[0].arena].robot_base
    np.testing.assert_allclose(home, [-0.2085, 0.0, 1.1733], atol=1e-4)
    np.testing.assert_allclose(scene.home_mat @ scene.home_mat.T, np.eye(3), atol=1e-9)


JOINT_RANGES = {
    "wooden_cabinet_1_top_level": (-0.16, 0.01),
    "wooden_cabinet_1_middle_level": (-0.16, 0.01),
    "wooden_cabinet_1_bottom_level": (-0.16, 0.01),
    "flat_stove_1_button": (-0.005, 2.1),
    "joint4": (-3.0718, -0.0698),
    "finger_joint1": (0.0, 0.04),
}


@pytest.mark.parametrize("name", JOINT_RANGES)
def test_joint_ranges(scene, name):
    joint = scene.model.joint(name)
    np.testing.assert_allclose(joint.range, JOINT_RANGES[name])
    assert scene.joints[name] == (joint.qposadr[0], joint.dofadr[0])


def test_moving_parts_have_libero_s_inertials(scene):
    for name in ("top", "middle", "bottom"):
        drawer = scene.model.body(f"wooden_cabinet_1_{name}_level")
        np.testing.assert_allclose(drawer.inertia, 1.0)
        np.testing.assert_allclose(drawer.ipos, 0.0)
        dof = scene.joints[f"wooden_cabinet_1_{name}_level"][1]
        np.testing.assert_allclose(scene.model.dof_damping[dof], 50.0)


def test_explicit_damping_is_capped(scene):
    model = scene.model
    ratio = model.opt.timestep * model.dof_damping / model.dof_M0
    assert ratio.max() <= mjcf.DAMPING_LIMIT + 1e-9
    assert np.any(np.isclose(ratio, mjcf.DAMPING_LIMIT))  # the cream cheese's spin


def test_qpos_follows_libero_s_order(scene):
    assert (scene.model.nq, scene.model.nv) == (41, 37)
    objects = ("akita_black_bowl_1", "cream_cheese_1", "wine_bottle_1", "plate_1")
    starts = [scene.joints[f"{name}_joint0"][0] for name in objects]
    assert starts == [9, 16, 23, 30]
    parts = [f"wooden_cabinet_1_{name}_level" for name in ("top", "middle", "bottom")]
    assert [scene.joints[name][0] for name in parts] == [37, 38, 39]
    assert scene.joints["flat_stove_1_button"][0] == 40


def test_all_models_share_bodies_and_joints(scene):
    planes = mjx.ENGINE.compile(scene.assets, scene.preset, scene.contact_pairs)
    for other in (planes, scene.visual_model):
        assert other.nbody == scene.model.nbody and other.nq == scene.model.nq
        np.testing.assert_array_equal(other.body_pos, scene.model.body_pos)
        np.testing.assert_array_equal(other.body_mass, scene.model.body_mass)
        np.testing.assert_allclose(other.dof_damping, scene.model.dof_damping)
    assert scene.model.nsensor == len(scene.contact_pairs)


@pytest.mark.parametrize("preset", sorted(integrator_presets.PRESETS))
def test_control_steps_last_50_ms(preset):
    choice = integrator_presets.PRESETS[preset]
    np.testing.assert_allclose(choice.timestep * choice.substeps, 0.05)
    refresh = 0.002 if preset == "original" else 0.025  # s: LIBERO's, and measured
    np.testing.assert_allclose(choice.timestep * choice.refresh, refresh)


def test_scenes_are_hashed_by_identity(scene):
    assert hash(scene) == hash(scene) and scene == scene
    assert len(scene.tasks) == 10
    assert panda.EEF_BODY in scene.bodies


@pytest.mark.parametrize(
    "arguments, bad, known",
    [
        ({"name": "libero_moon"}, "libero_moon", "libero_goal"),
        ({"engine": "ode"}, "ode", "mujoco"),
        ({"tasks": (3, 10)}, "10", "0 to 9"),
        ({"preset": "slow"}, "slow", "faithful"),
    ],
)
def test_unknown_names_are_errors_that_list_the_known(arguments, bad, known):
    name = arguments.pop("name", "libero_goal")
    with pytest.raises(ValueError, match=f"(?s){bad}.*{known}"):
        scenes.make(name, **arguments)


@pytest.mark.filterwarnings("ignore::omnivla_jax.sim.libero.task_files.TaskFileWarning")
def test_user_categories_stand_and_weigh_as_given(tmp_path):
    text = files.suite_files("libero_goal").paths[8].read_text()
    for old, new in (("- plate", "- wide_plate"), ("- wine_bottle", "- pole")):
        text = text.replace(old, new)
    path = tmp_path / "mine.bddl"
    path.write_text(text)
    table = {
        "wide_plate": {"base": "plate", "scale": 1.5},
        "pole": {"base": "cylinder", "size": [0.03, 0.2], "fixed": True},
    }
    scene = scenes.make(path, engine="mujoco", horizon=7, categories=table)
    assert scene.suite.horizon == 7 and scene.name == str(path)
    mass = MASSES["plate_1"] * 1.5**3
    np.testing.assert_allclose(scene.model.body("plate_1").mass, mass, atol=2e-4)
    assert "wine_bottle_1_joint0" not in scene.joints  # welded where it is sampled
    assert scene.assets.fixtures["wine_bottle_1"] == "pole"
    rows = region_tables.layout(scene).posed_bodies
    post = scene.posed_bodies.index("wine_bottle_1")
    table_top = ARENAS["tabletop"].table
    assert table_top is not None
    height = table_top.high[2] + 0.1  # half of it stands above the middle
    np.testing.assert_allclose([rows.low[0, post, 2], rows.high[0, post, 2]], height)
    np.testing.assert_allclose(rows.low[0, post, :2], (-0.21, -0.06), atol=1e-9)


def test_tables_are_planes_for_mjx_only():
    scene = scenes.make("libero_10", tasks=(0, 2, 5), engine="mjx")
    plane, box = (int(getattr(mujoco.mjtGeom, f"mjGEOM_{n}")) for n in ("PLANE", "BOX"))
    names = {table_body(name) for name in scene.assets.arenas}
    assert len(names) == 3
    slabs = mujoco_engine.compile_model(scene.assets, scene.preset, scene.contact_pairs)
    for model, kind in ((scene.model, plane), (slabs, box)):
        for name in names:
            (top,) = np.flatnonzero(model.geom_bodyid == model.body(name).id)
            assert model.geom_type[top] == kind
            height = model.geom_pos[top, 2] + model.geom_size[top, 2] * (kind == box)
            slab = ARENAS[name.removesuffix("_table")].table
            assert slab is not None
            np.testing.assert_allclose(height, slab.high[2], atol=1e-9)
    assert not np.any(scene.model.geom_bodyid == 0)  # no floor below the tables
