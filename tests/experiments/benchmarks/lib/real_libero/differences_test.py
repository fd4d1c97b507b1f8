"""Tests of the first pose that differs, what touched it, and errors of rest poses."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from experiments.benchmarks.lib.real_libero import differences
from experiments.benchmarks.lib.real_libero.differences import Joint
from omnivla_jax.sim import scene as scenes

BOWL = Joint("bowl_1", "bowl_1", 9, 7, False)
PLATE = Joint("plate_1", "plate_1", 16, 7, False)
DRAWER = Joint("cabinet_1_middle", "cabinet_1", 23, 1, False)
DOOR = Joint("microwave_1_door", "microwave_1", 24, 1, True)
JOINTS = (BOWL, PLATE, DRAWER, DOOR)


def still(steps=20):
    """Positions [T, 25] in which everything stands at the origin."""
    qpos = np.zeros((steps, 25))
    qpos[:, [12, 19]] = 1.0  # quaternions
    return qpos


def differs(real, touches=None):
    """The first difference of `real` from standing still; there must be one."""
    found = differences.first_difference(JOINTS, still(), real, touches or {})
    assert found is not None
    return found


def test_equal_trajectories_do_not_differ():
    assert differences.first_difference(JOINTS, still(), still(), {}) is None


@pytest.mark.parametrize(
    ("entry", "below", "beyond", "name"),
    [
        (9, 0.0099, 0.0101, "bowl_1"),
        (23, 0.0099, 0.0101, "cabinet_1_middle"),
        (24, np.radians(9.9), np.radians(10.1), "microwave_1_door"),
    ],
)
def test_a_pose_differs_from_its_tolerance_on(entry, below, beyond, name):
    real = still()
    real[5:, entry] = below
    assert differences.first_difference(JOINTS, still(), real, {}) is None
    real[7:, entry] = beyond
    found = differs(real)
    assert found.name == name and found.step == 7


def test_a_turn_differs_like_a_distance():
    real = still()
    turned = Rotation.from_euler("z", 12, degrees=True).as_quat()
    real[3:, 12:16] = np.roll(turned, 1)
    found = differs(real)
    assert (found.name, found.step, found.mm) == ("bowl_1", 3, 0.0)
    assert found.degrees == pytest.approx(12, abs=0.1)


def test_the_earlier_wins_then_the_farther():
    real = still()
    real[6:, 9], real[6:, 16], real[8:, 23] = 0.02, 0.03, 0.5
    found = differs(real)
    assert (found.name, found.step, found.mm) == ("plate_1", 6, 30.0)


def test_the_shorter_trajectory_is_compared():
    real = still()
    real[10:, 9] = 1.0
    assert differences.first_difference(JOINTS, still(10), real, {}) is None
    assert differences.first_difference(JOINTS, real[:10], still(), {}) is None


def test_what_touched_it_shortly_before_is_named():
    real = still()
    real[12:, 9] = 0.02
    touches = {
        ("bowl_1_main", "robot0_link5"): [(0, 2), (9, 13)],
        ("bowl_1_main", "gripper0_leftfinger"): [(0, 6)],
        ("plate_1_main", "robot0_link6"): [(11, 12)],
        ("bowl_10_main", "robot0_link4"): [(11, 12)],
    }
    found = differs(real, touches or {})
    assert found.touched_by == ("robot0_link5",)


def test_parts_of_an_instance_never_touch():
    touches = {("cabinet_1_base", "cabinet_1_middle"): [(0, 9)]}
    assert differences.touching("cabinet_1", touches, first=0, last=9) == ()


def test_only_links_against_others_are_arm_touches():
    touches = {
        ("robot0_link5", "wine_rack_1_main"): [(40, 44), (60, 61)],
        ("cabinet_1_base", "robot0_link6"): [(30, 31)],
        ("gripper0_leftfinger", "robot0_link7"): [(0, 1)],
        ("bowl_1_main", "gripper0_leftfinger"): [(2, 3)],
    }
    assert differences.arm_touches(touches) == (
        (30, "robot0_link6", "cabinet_1_base"),
        (40, "robot0_link5", "wine_rack_1_main"),
    )


def test_palm_touches_count_steps_longest_first():
    touches = {
        ("basket_1_main", "gripper0_right_gripper"): [(3, 3)],
        ("gripper0_right_gripper", "milk_1_main"): [(40, 44), (60, 61)],
        ("gripper0_leftfinger", "milk_1_main"): [(0, 90)],
    }
    assert differences.palm_touches(touches) == (
        (7, "milk_1_main"),
        (1, "basket_1_main"),
    )


def test_touches_join_to_spans():
    pair, other = ("a", "b"), ("a", "c")
    spans = differences.spans_of([[pair], [pair, other], [], [pair]])
    assert spans == {pair: [(0, 1), (3, 3)], other: [(1, 1)]}


@pytest.mark.parametrize("seed", range(3))
def test_tilt_ignores_the_turn_about_the_vertical(seed):
    rng = np.random.default_rng(seed)
    turn = Rotation.from_euler("z", rng.uniform(0, 360), degrees=True)
    tilt = rng.uniform(1, 80)
    leaning = turn * Rotation.from_euler("x", tilt, degrees=True)
    upright = np.array([[1.0, 0, 0, 0]])
    place = rng.normal(size=(1, 3))
    moved = place + np.array([[0.003, 0.004, -0.002]])
    errors = differences.rest_errors(
        moved, np.roll(leaning.as_quat(), 1)[None], place, upright
    )
    assert errors["tilt_deg"][0] == pytest.approx(tilt)
    assert errors["xy_mm"][0] == pytest.approx(5) and errors["z_mm"][
        0
    ] == pytest.approx(2)


def test_joints_of_a_task_follow_liberos_order():
    scene = scenes.make("libero_goal", tasks=(7,), engine="mujoco")
    table = differences.joints(scene, 7)
    starts = [joint.start for joint in table]
    assert starts == [9 + sum(j.size for j in table[:n]) for n in range(len(table))]
    by_name = {joint.name: joint for joint in table}
    assert by_name["akita_black_bowl_1"].size == 7
    stove = next(joint for joint in table if joint.instance == "flat_stove_1")
    assert stove.size == 1 and stove.hinge
    drawers = [joint for joint in table if joint.instance == "wooden_cabinet_1"]
    assert len(drawers) == 3 and not any(joint.hinge for joint in drawers)
