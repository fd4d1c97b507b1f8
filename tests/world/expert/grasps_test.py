"""Grasps: where the hand lines up, which way the fingers close, and when."""

import math

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from omnivla_jax.world.expert import grasps
from omnivla_jax.world.expert.waypoints import CLOSED, OPEN

BOWL = "akita_black_bowl_1"


@pytest.mark.parametrize("hand", [(0, 0, 0), (0.4, 0, 0), (0.2, -0.5, 1.3)])
def test_pregrasp_is_back_along_the_pointing_direction(hand):
    pointing = Rotation.from_euler("xyz", hand).apply([0, 0, -1])
    found = grasps.pregrasp_position((0.1, 0.2, 0.3), hand, 0.07)
    np.testing.assert_allclose(found, np.array([0.1, 0.2, 0.3]) - 0.07 * pointing)


def test_a_grasp_lines_up_comes_in_and_closes():
    held = grasps.grasp(BOWL, (0.0, 0.0, 0.04), hand=(0.0, 0.0, 0.0), closing_steps=9)
    above, at, closing = held.waypoints
    assert above.offset == pytest.approx((0, 0, 0.04 + grasps.HOVER))
    assert at.offset == (0.0, 0.0, 0.04)
    assert (above.gripper, at.gripper, closing.gripper) == (OPEN, OPEN, CLOSED)
    assert closing.min_steps == closing.max_steps == 9
    assert held.body == BOWL and held.distance == pytest.approx(0.04)


@pytest.mark.parametrize("side", np.linspace(-math.pi, math.pi, 9))
def test_rim_grasps_close_along_the_radius(side):
    held = grasps.grasp_rim(BOWL, radius=0.05, height=0.03, side=side)
    at = held.waypoints[1]
    radius = np.array(at.offset[:2])
    toward = np.array([math.cos(side), math.sin(side)])
    np.testing.assert_allclose(radius, 0.05 * toward, atol=1e-9)
    roll, pitch, yaw = at.hand
    fingers = Rotation.from_euler("z", yaw).apply([0, 1, 0])[:2]
    assert abs(fingers @ radius) == pytest.approx(0.05)
    assert roll == pitch == 0 and abs(yaw) <= math.pi / 2 + 1e-6


@pytest.mark.parametrize("side", [0.3, 2.0, -2.5])
def test_swapping_the_fingers_keeps_the_lean(side):
    """Whichever twin is chosen, the hand lines up on the same side."""
    lean = 0.6
    at = grasps.grasp_rim(
        BOWL, radius=0.05, height=0.03, side=side, lean=lean
    ).waypoints[1]
    plain = (0.0, lean, side - math.pi / 2)
    found = grasps.pregrasp_position((0, 0, 0), at.hand, 1.0)
    np.testing.assert_allclose(
        found, grasps.pregrasp_position((0, 0, 0), plain, 1.0), atol=1e-9
    )


def test_a_steep_hand_goes_straight_down_last():
    grip = (0.01, 0.02, 0.04)
    slight, steep = (grasps.grasp(BOWL, grip, hand=(0.0, h, 0.0)) for h in (0.2, 0.9))
    assert len(slight.waypoints) == 3
    over, at = (np.array(waypoint.offset) for waypoint in steep.waypoints[1:3])
    np.testing.assert_allclose(over - at, (0.0, 0.0, grasps.OVER_RIM), atol=1e-9)
    np.testing.assert_array_equal(at, grip)


def test_wall_grasps_use_the_mugs_frame():
    mug = "porcelain_mug_1"
    at = grasps.grasp_wall(mug, center=0.01, radius=0.04, side=0.0).waypoints[1]
    assert at.frame == "x"
    assert at.offset == pytest.approx((0.05, 0.0, grasps.MUG_RIM))
    assert at.hand == pytest.approx((0.0, 0.0, -math.pi / 2))
