"""What follows a grasp: the way, its guard and the release."""

import pytest

from omnivla_jax.sim.assets import panda
from omnivla_jax.world.expert import grasps, places
from omnivla_jax.world.expert.phases import CLOSED, OPEN

BOWL, PLATE = "akita_black_bowl_1", "plate_1"


@pytest.fixture()
def held():
    return grasps.grasp(BOWL, (0.0, 0.03, 0.04), hand=(0.0, 0.0, 0.0))


@pytest.mark.parametrize("aside", [None, (0.1, 0.0, 0.0)])
def test_what_is_lost_is_grasped_again(held, aside):
    script = places.carry(held, PLATE, (0.0, 0.0, 0.01), aside=aside)
    watched = [i for i, row in enumerate(script) if row.held == BOWL]
    assert len(watched) == 4 + (aside is not None)
    for index in watched:
        row = script[index]
        assert index - row.back == 0  # the grasp's first row
        assert row.reach == pytest.approx(0.05 + grasps.SLIP)
        assert row.gripper == CLOSED


def test_the_body_not_the_hand_is_lowered_onto_the_place(held):
    script = places.carry(held, PLATE, (0.01, 0.02, 0.03), above=0.2)
    lowered = [row for row in script if row.moved == BOWL]
    assert [row.offset[2] for row in lowered] == pytest.approx([0.23, 0.06, 0.03])
    assert all(row.offset[:2] == (0.01, 0.02) for row in lowered)
    assert all(row.anchor == PLATE for row in lowered)
    release, leave = script[-2:]
    assert (release.gripper, leave.gripper) == (OPEN, OPEN)
    assert leave.moved == panda.EEF_BODY and leave.offset[2] > 0


def test_a_push_presses_only_once_it_is_on_the_plate():
    script = places.push(PLATE, to=(0.1, 0.2, 0.9), rim=0.02, yaw=1.0)
    pressed = [row.press == places.PRESS for row in script]
    assert pressed == [False, False, True, True]
    slide = script[-1]
    assert slide.moved == slide.held == PLATE and slide.back == len(script) - 1
