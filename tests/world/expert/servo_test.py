"""The servo against scipy's rotations and the waypoints' own limits."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from omnivla_jax.sim import osc
from omnivla_jax.sim.assets import panda
from omnivla_jax.world import expert
from omnivla_jax.world.expert import servo
from omnivla_jax.world.expert.waypoints import KEPT, START, WORLD, Waypoint

BOWL = "akita_black_bowl_1"
DOWN = Rotation.from_matrix([[0, 1, 0], [1, 0, 0], [0, 0, -1]])
HAND = np.array([0.1, -0.2, 1.1])
NEAR = {"tolerance": 0.02}


@pytest.fixture()
def at_hand(still, pose):
    """The hand at HAND, pointing straight down."""
    return pose(still, panda.EEF_BODY, position=HAND, turn=DOWN)


def point(offset, **fields):
    x, y, z = HAND + offset
    return Waypoint(WORLD, (x, y, z), **fields)


def turned(expert_state):
    """The orientation that the expert aimed at."""
    return Rotation.from_quat(np.roll(np.asarray(expert_state.orientation), -1))


def test_a_near_target_is_approached_in_proportion(at_hand, follow):
    action, _ = follow(at_hand, point([0.004, -0.008, 0.01]))
    wanted = 2 * np.array([0.004, -0.008, 0.01]) / osc.POSITION_SCALE
    np.testing.assert_allclose(action[:3], wanted, atol=1e-5)
    np.testing.assert_allclose(action[3:6], 0.0, atol=1e-5)


@pytest.mark.parametrize("speed", [1.0, 0.5])
def test_far_targets_keep_direction_at_the_limit(at_hand, follow, speed):
    away = np.array([0.5, -0.25, 0.1])
    action, _ = follow(at_hand, point(away, speed=speed))
    np.testing.assert_allclose(action[:3], speed * away / 0.5, atol=1e-5)


def test_a_press_replaces_the_height(at_hand, follow):
    action, _ = follow(at_hand, point([0.5, 0.0, 0.4], press_command=-0.15))
    np.testing.assert_allclose(action[:3], [1.0, 0.0, -0.15], atol=1e-6)


def test_another_body_than_the_hand_may_arrive(at_hand, pose, follow):
    carried = pose(at_hand, BOWL, position=HAND - [0, 0, 0.05])
    action, _ = follow(carried, point([0, 0, 0], moved=BOWL))
    np.testing.assert_allclose(action[:3], [0, 0, 1.0], atol=1e-6)


@pytest.mark.parametrize("axis", ["x", "y", "z"])
def test_offsets_turn_with_the_anchors_axis(at_hand, pose, follow, axis):
    turn = Rotation.from_euler("zyx", [2.0, 0.3, -0.4])
    anchored = pose(at_hand, BOWL, position=HAND, turn=turn)
    action, _ = follow(anchored, Waypoint(BOWL, (0.01, 0.002, 0.003), frame=axis))
    ahead = turn.apply(np.eye(3)["xyz".index(axis)])
    heading = Rotation.from_euler("z", np.arctan2(ahead[1], ahead[0]))
    wanted = heading.apply([0.01, 0.002, 0.003])
    np.testing.assert_allclose(action[:3], 40 * wanted, atol=1e-4)


@pytest.mark.parametrize("hand", [(0.4, 0.0, 0.0), (0.0, -0.5, 0.3), (1.4, 0.2, -0.6)])
def test_the_hand_rolls_then_pitches_then_yaws(at_hand, follow, hand):
    action, expert_state = follow(at_hand, point([0, 0, 0], hand=hand))
    wanted = Rotation.from_euler("xyz", hand) * DOWN
    assert (turned(expert_state) * wanted.inv()).magnitude() < 1e-3
    left = (wanted * DOWN.inv()).as_rotvec()
    command = np.clip(1.2 * left / osc.ROTATION_SCALE, -1, 1)
    np.testing.assert_allclose(action[3:6], command, atol=1e-3)


@pytest.mark.parametrize("heading", [0.3, 1.4, 1.8, 3.0, -2.0])
def test_fingers_swap_rather_than_turn_far(at_hand, pose, follow, heading):
    turn = Rotation.from_euler("z", heading)
    box = pose(at_hand, BOWL, position=HAND, turn=turn)
    _, expert_state = follow(box, Waypoint(BOWL, (0, 0, 0), frame="x"))
    difference = turned(expert_state) * (turn * DOWN).inv()
    assert difference.magnitude() == pytest.approx(0, abs=1e-3) or (
        difference.magnitude() == pytest.approx(np.pi, abs=1e-3)
    )
    assert (turned(expert_state) * DOWN.inv()).magnitude() < np.pi / 2


def test_a_kept_hand_keeps_its_orientation(at_hand, follow):
    _, before = follow(at_hand, point([0, 0, 0], hand=(0.2, 0.3, 0.4)))
    batched = jax.tree.map(lambda leaf: leaf[None], before)
    _, after = follow(at_hand, Waypoint(START, (0, 0, 0), frame=KEPT), batched)
    np.testing.assert_allclose(after.orientation, before.orientation)


def test_start_is_the_hand_at_the_waypoints_begin(at_hand, pose, follow):
    waypoint = Waypoint(START, (0, 0, 0.02), frame=KEPT)
    _, expert_state = follow(at_hand, waypoint)
    np.testing.assert_allclose(expert_state.start, HAND, atol=1e-6)
    later = pose(at_hand, panda.EEF_BODY, position=HAND + [0, 0, 0.015])
    action, _ = follow(
        later, waypoint, jax.tree.map(lambda leaf: leaf[None], expert_state)
    )
    np.testing.assert_allclose(action[2], 40 * 0.005, atol=1e-4)


@pytest.mark.parametrize(
    "fields, elapsed, expected",
    [
        ({"tolerance": 0.02}, 0, (1, 0)),  # there
        ({"tolerance": 0.005}, 0, (0, 1)),  # not yet
        ({"tolerance": 0.02, "min_steps": 5}, 2, (0, 3)),  # there, too early
        ({"tolerance": 0.005, "max_steps": 4}, 3, (1, 0)),  # time is up
        ({"tolerance": 0.02, "hand": (0, 0, 0.5), "angle_tolerance": 0.1}, 0, (0, 1)),
        ({"held": BOWL, "slip_distance": 0.1, "rewind": 2, **NEAR}, 7, (-2, 0)),
        ({"held": BOWL, "slip_distance": 9.0, "rewind": 2, **NEAR}, 7, (1, 0)),
    ],
)
def test_a_waypoint_ends_by_its_own_limits(at_hand, follow, fields, elapsed, expected):
    expert_state = servo.init(at_hand)._replace(elapsed=jnp.array([elapsed]))
    expert_state = expert_state._replace(start=jnp.array([HAND]))
    _, after = follow(at_hand, point([0.01, 0, 0], **fields), expert_state)
    assert (int(after.waypoint), int(after.elapsed)) == expected


def test_acting_compiles_once_and_stays_legal(scene, settled):
    program = jax.jit(chex.assert_max_traces(lambda s, m: expert.act(scene, s, m), n=1))
    expert_state = expert.init(settled)
    for _ in range(3):
        action, expert_state = program(settled, expert_state)
        assert action.shape == (settled.task.shape[0], 7)
        assert np.abs(action).max() <= 1.0
        assert set(np.unique(action[:, 6])) <= {expert.OPEN, expert.CLOSED}
