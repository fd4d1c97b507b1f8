"""Handles and edges against the fixtures' shapes, targets against LIBERO's limits."""

import pytest

from omnivla_jax.sim.assets.objects import CATEGORIES
from omnivla_jax.world.expert import articulated
from omnivla_jax.world.expert.waypoints import CLOSED, OPEN

CABINET, LEVELS = "wooden_cabinet", ("top_level", "middle_level", "bottom_level")
OPEN_BELOW, CLOSED_ABOVE, ON_FROM = -0.14, 0.0, 0.5  # LIBERO's predicates


def part(category, name):
    return next(row for row in CATEGORIES[category].parts if row.name == name)


@pytest.mark.parametrize("level", LEVELS)
def test_fingers_close_on_the_handles_middle(level):
    """The bar is the box that stands out furthest."""
    drawer = part(CABINET, level)
    bar = min(drawer.collision, key=lambda shape: shape.position[1])
    inserted = articulated.open_drawer(f"{CABINET}_1", level)[2]
    _, y, z = inserted.offset
    assert z == pytest.approx(bar.position[2], abs=0.002)
    assert y == pytest.approx(bar.position[1], abs=0.006)
    assert 2 * bar.size[2] < 0.06 and inserted.gripper == OPEN


def test_drawers_are_pulled_beyond_open_below_the_stop():
    (pull,) = [
        row
        for row in articulated.open_drawer(f"{CABINET}_1", "top_level")
        if row.moved == f"{CABINET}_1_top_level"
    ]
    stop = part(CABINET, "top_level").joint.range[0]
    assert stop < pull.offset[1] < OPEN_BELOW
    assert pull.gripper == CLOSED


def test_a_drawer_is_pushed_beyond_liberos_closed():
    push = articulated.close_drawer("white_cabinet_1", "bottom_level")[-1]
    stop = part("white_cabinet", "bottom_level").joint.range[1]
    assert CLOSED_ABOVE < push.offset[1] <= stop
    assert push.moved == "white_cabinet_1_bottom_level"


def test_doors_are_pushed_by_their_upper_edge():
    door = part("microwave", "microjoint")
    panel = next(shape for shape in door.collision if shape.kind == "box")
    push = articulated.close_door("microwave_1_microjoint")[-1]
    x, y, z = push.offset
    assert y < panel.position[1] - panel.size[1]
    assert abs(x - panel.position[0]) < panel.size[0]
    top = panel.position[2] + panel.size[2]
    assert z - 0.0095 < top < z + 0.031  # below the tips, under the hand
    assert push.heading_offset > 0
    assert door.joint.range[1] == 0.0  # it opens to the negative


def test_knobs_turn_in_the_on_direction():
    rows = articulated.turn_knob("flat_stove_1_button")
    closed = [row for row in rows if row.gripper == CLOSED]
    assert [row.heading_offset > 0 for row in closed] == [False, True]
    low, high = part("flat_stove", "button").joint.range
    assert low < ON_FROM < high  # the positive way
    assert len({row.offset for row in closed}) == 1
