"""After a grasp: the way, slip recovery and the release."""

import pytest

from omnivla_jax.sim.assets import panda
from omnivla_jax.world.expert import grasps, placing
from omnivla_jax.world.expert.waypoints import CLOSED, OPEN

BOWL, PLATE = "akita_black_bowl_1", "plate_1"


@pytest.fixture()
def held():
    return grasps.grasp(BOWL, (0.0, 0.03, 0.04), hand=(0.0, 0.0, 0.0))


@pytest.mark.parametrize("aside", [None, (0.1, 0.0, 0.0)])
def test_a_slipped_body_is_grasped_again(held, aside):
    skill = placing.carry(held, PLATE, (0.0, 0.0, 0.01), aside=aside)
    guarded = [i for i, row in enumerate(skill) if row.held == BOWL]
    assert len(guarded) == 4 + (aside is not None)
    for index in guarded:
        row = skill[index]
        assert index - row.rewind == 0  # the grasp's first row
        assert row.slip_distance == pytest.approx(0.05 + grasps.SLIP)
        assert row.gripper == CLOSED


def test_the_body_not_the_hand_is_lowered(held):
    skill = placing.carry(held, PLATE, (0.01, 0.02, 0.03), above=0.2)
    lowered = [row for row in skill if row.moved == BOWL]
    assert [row.offset[2] for row in lowered] == pytest.approx([0.23, 0.06, 0.03])
    assert all(row.offset[:2] == (0.01, 0.02) for row in lowered)
    assert all(row.anchor == PLATE for row in lowered)
    release, leave = skill[-2:]
    assert (release.gripper, leave.gripper) == (OPEN, OPEN)
    assert leave.moved == panda.EEF_BODY and leave.offset[2] > 0


def test_a_push_presses_only_on_the_plate():
    skill = placing.push(PLATE, to=(0.1, 0.2, 0.9), rim=0.02, yaw=1.0)
    pressed = [row.press_command == placing.PRESS for row in skill]
    assert pressed == [False, False, True, True]
    slide = skill[-1]
    assert slide.moved == slide.held == PLATE and slide.rewind == len(skill) - 1
