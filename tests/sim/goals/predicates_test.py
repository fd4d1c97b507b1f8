"""Tests of omnivla_jax.sim.goals.predicates: hand-worked cases, thresholds included."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from omnivla_jax.sim import scene as scenes
from omnivla_jax.sim.goals import predicates
from omnivla_jax.sim.libero.tasks import Goal, suite
from omnivla_jax.sim.state import PhysicsState

BOWL, PLATE, BOTTLE = "akita_black_bowl_1", "plate_1", "wine_bottle_1"
UPRIGHT = [1.0, 0.0, 0.0, 0.0]


def world(scene, positions=None, *, quaternions=None, joints=None, touching=()):
    """One environment with bodies where the case puts them, all else at the origin."""
    model = scene.model
    xpos = np.zeros((1, model.nbody, 3), np.float32)
    xquat = np.tile(np.array(UPRIGHT, np.float32), (1, model.nbody, 1))
    qpos = np.zeros((1, model.nq), np.float32)
    for name, value in (positions or {}).items():
        xpos[0, scene.bodies[name]] = value
    for name, value in (quaternions or {}).items():
        xquat[0, scene.bodies[name]] = value
    for name, value in (joints or {}).items():
        qpos[0, scene.joints[name][0]] = value
    contact = [[pair in touching for pair in scene.contact_pairs]]
    empty = jnp.zeros((1, 0))
    fields = {field.name: empty for field in dataclasses.fields(PhysicsState)}
    for name, value in (("qpos", qpos), ("xpos", xpos), ("xquat", xquat)):
        fields[name] = jnp.asarray(value)
    return PhysicsState(**(fields | {"touching": jnp.array(contact)}))


def verdict(scene, physics, *goal):
    return bool(predicates.goal_satisfied(scene, physics, Goal(*goal))[0])


@pytest.mark.parametrize(
    "offset, touches, expected",
    [
        ((0.0, 0.0, 0.0), True, True),  # equal heights count
        ((0.0, 0.0, 0.01), False, False),  # hovering
        ((0.0, 0.0, -0.001), True, False),  # under
        ((0.029, 0.0, 0.01), True, True),
        ((0.031, 0.0, 0.01), True, False),
        ((0.022, 0.022, 0.01), True, False),  # 31 mm along the diagonal
    ],
)
def test_on_object(scene, offset, touches, expected):
    plate = np.array([0.1, 0.2, 0.9])
    touching = ((BOWL, PLATE),) if touches else ()
    physics = world(scene, {PLATE: plate, BOWL: plate + offset}, touching=touching)
    assert verdict(scene, physics, "on", BOWL, PLATE) == expected


@pytest.mark.parametrize(
    "offset, touches, expected",
    [
        ((0.0, 0.0, 0.0), True, True),
        ((0.0, 0.0, 0.0), False, False),
        ((0.0, 0.0, -0.004), True, True),  # half height - 5 mm is the lower edge
        ((0.0, 0.0, -0.0061), True, False),
        ((0.0, 0.0, 0.0995), True, True),
        ((0.0, 0.0, 0.1005), True, False),
        ((0.0745, 0.0, 0.0), True, True),
        ((0.0755, 0.0, 0.0), True, False),
        ((0.0, -0.0755, 0.0), True, False),
    ],
)
def test_on_fixture_site(scene, offset, touches, expected):
    stove = np.array([-0.4, 0.2, 0.905])
    top = stove + [0.15, 0.0, 0.0025]  # the cook region is 15 cm along the stove's x
    touching = ((BOWL, "flat_stove_1"),) if touches else ()
    places = {"flat_stove_1": stove, BOWL: top + offset}
    physics = world(scene, places, touching=touching)
    goal = ("on", BOWL, "flat_stove_1_cook_region")
    assert verdict(scene, physics, *goal) == expected


def test_on_site_multiplies_by_r_not_its_transpose(scene):
    # LIBERO's slip: at a yaw of 30 degrees the test box is turned the other way.
    yaw = Rotation.from_euler("z", 30, degrees=True)
    quaternion = yaw.as_quat(scalar_first=True)
    center = np.array([0.0, 0.0, 1.0])
    site = yaw.apply([0.00354, 0.01567, 0.0]) + [0, 0, 0.22152] + center
    for direction, expected in ((yaw.inv(), True), (yaw, False)):
        bottle = site + direction.apply([0.12, 0.0, 0.0])
        physics = world(
            scene,
            {"wooden_cabinet_1": center, BOTTLE: bottle},
            quaternions={"wooden_cabinet_1": quaternion},
            touching=((BOTTLE, "wooden_cabinet_1"),),
        )
        goal = ("on", BOTTLE, "wooden_cabinet_1_top_side")
        # R R^T x is along x; R R x is 60 degrees off it and leaves through y.
        assert verdict(scene, physics, *goal) == expected


@pytest.mark.parametrize(
    "position, expected",
    [
        ((-0.05, 0.21, 0.9025), True),
        ((-0.0895, 0.2495, 0.9025), True),
        ((-0.0905, 0.21, 0.9025), False),
        ((-0.05, 0.2505, 0.9025), False),
        ((-0.05, 0.21, 0.8972), True),  # 0.895 + 0.007 - 0.005 is the lower edge
        ((-0.05, 0.21, 0.8968), False),
        ((-0.05, 0.21, 1.0015), True),
        ((-0.05, 0.21, 1.0025), False),
    ],
)
def test_on_table_region_needs_no_contact(scene, position, expected):
    physics = world(scene, {PLATE: position})
    goal = scene.tasks[5].goal[0]
    assert goal[:3] == ("on", PLATE, "main_table_stove_front_region")
    assert verdict(scene, physics, *goal) == expected


def test_region_names_belong_to_their_task():
    # Task 4 has a region of the same name elsewhere.
    (zone,) = [goal.zone for goal in suite("libero_10").tasks[6].goal if goal.zone]
    np.testing.assert_allclose(zone.center, (0.15, 0.1, 0.41))
    np.testing.assert_allclose(zone.half_size, (0.05, 0.05, 0.007))


@pytest.mark.parametrize(
    "offset, expected",
    [
        ((0.0, 0.0, 0.0), True),
        # The region's frame is tipped by 90 degrees about y: x and z trade places.
        ((0.1015, 0.0, 0.0), True),
        ((0.103, 0.0, 0.0), False),
        ((0.0, 0.075, 0.0), True),
        ((0.0, 0.0765, 0.0), False),
        ((0.0, 0.0, 0.0295), True),
        ((0.0, 0.0, 0.0305), False),
        ((0.0, 0.0, -0.0395), True),  # 1 cm lower than the region
        ((0.0, 0.0, -0.0405), False),
    ],
)
def test_in_drawer(scene, offset, expected):
    drawer = np.array([0.5, 0.1, 1.0])
    center = drawer + [0.00328, 0.01128, 0.18563]
    physics = world(
        scene, {"wooden_cabinet_1_top_level": drawer, BOWL: center + offset}
    )
    goal = ("in", BOWL, "wooden_cabinet_1_top_region")
    assert verdict(scene, physics, *goal) == expected


DRAWER, KNOB = "wooden_cabinet_1_middle_level", "flat_stove_1_button"
REGION = {DRAWER: "wooden_cabinet_1_middle_region", KNOB: "flat_stove_1"}


@pytest.mark.parametrize(
    "word, joint, value, expected",
    [
        ("open", DRAWER, -0.1401, True),
        ("open", DRAWER, -0.14, False),  # strict
        ("close", DRAWER, 0.0001, True),
        ("close", DRAWER, 0.0, False),  # strict
        ("turnon", KNOB, 0.5, True),  # not strict
        ("turnon", KNOB, 0.4999, False),
        ("turnoff", KNOB, -0.0001, True),
        ("turnoff", KNOB, 0.0, False),  # strict
    ],
)
def test_joint_thresholds(scene, word, joint, value, expected):
    physics = world(scene, joints={joint: value})
    assert verdict(scene, physics, word, REGION[joint]) == expected


@pytest.mark.parametrize(
    "word, value, expected",
    [
        ("open", -1.3001, True),
        ("open", -1.2999, False),
        ("close", -0.0049, True),
        ("close", -0.0051, False),
    ],
)
def test_microwave_thresholds(word, value, expected):
    kitchen = scenes.make("libero_10", tasks=(9,), engine="mujoco")
    physics = world(kitchen, joints={"microwave_1_microjoint": value})
    assert verdict(kitchen, physics, word, "microwave_1") == expected


def test_cabinets_open_by_any_drawer(scene):
    drawers = [f"wooden_cabinet_1_{name}_level" for name in ("top", "middle", "bottom")]
    one_open = world(scene, joints=dict(zip(drawers, (0.001, -0.15, 0.001))))
    whole = "wooden_cabinet_1"
    assert verdict(scene, one_open, "open", whole)
    assert not verdict(scene, one_open, "close", whole)
    shut = world(scene, joints=dict.fromkeys(drawers, 0.001))
    assert verdict(scene, shut, "close", whole)
    assert not verdict(scene, shut, "open", whole)


@pytest.mark.parametrize("height, expected", [(1.0, True), (0.999, False)])
def test_up_asks_for_a_metre(scene, height, expected):
    physics = world(scene, {BOWL: np.array([0.0, 0.0, height])})
    assert verdict(scene, physics, "up", BOWL) == expected


def test_each_environment_is_judged_by_its_own_task(scene):
    physics = world(scene, joints={KNOB: 0.6})
    twice = PhysicsState(
        **{
            field.name: jnp.repeat(jnp.asarray(getattr(physics, field.name)), 2, axis=0)
            for field in dataclasses.fields(PhysicsState)
        }
    )
    goals_satisfied = predicates.success(scene, twice, jnp.array([7, 0]))
    np.testing.assert_array_equal(goals_satisfied, [True, False])
