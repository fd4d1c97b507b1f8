"""Drawers, knobs and doors: waypoints that move a joint by its handle.

Lengths in m, angles in rad; offsets in the frame of the moving body.
"""

import math

from omnivla_jax.world.expert.grasps import THIN, WIDE
from omnivla_jax.world.expert.waypoints import (
    CLOSED,
    FIXED,
    OPEN,
    STEADY,
    Skill,
    Waypoint,
    rise,
    wait,
)

_INTO_FRONT = (math.radians(85), 0.0, 0.0)  # the hand points at the cabinet's front
_HANDLE_Y = -0.1016
_HANDLE_Z = {"top_level": 0.184, "middle_level": 0.1143, "bottom_level": 0.0457}
_DRAWER_LIMIT = 0.155  # pulled this far: LIBERO asks for 0.14, the stop is at 0.16
_DRAG = -0.5  # z command on a handle's top
_KNOB_GRIP = (0.0, -0.018, 0.038)
_KNOB_PITCH = math.radians(25)  # pointing straight down, joints 4 and 6 hit limits


def open_drawer(cabinet: str, level: str) -> Skill:
    """Take a drawer's handle between upper and lower finger and pull.

    Args:
      cabinet: the cabinet's instance.
      level: "top_level", "middle_level" or "bottom_level", LIBERO's joint names.
    """
    drawer, y, z = f"{cabinet}_{level}", _HANDLE_Y, _HANDLE_Z[level]
    at_handle = Waypoint(drawer, (0.0, y, z), frame="x", hand=_INTO_FRONT)
    in_front = at_handle._replace(offset=(0.0, y - 0.10, z), tolerance=0.02)
    inserted = at_handle._replace(offset=(0.0, y + 0.004, z))
    pull = Waypoint(
        cabinet,
        (0.0, -_DRAWER_LIMIT, 0.0),
        CLOSED,
        moved=drawer,
        frame="x",
        hand=_INTO_FRONT,
        speed=0.6,
        tolerance=0.004,
    )
    return (
        at_handle._replace(offset=(0.0, y - 0.12, z + 0.12), tolerance=0.05),
        in_front._replace(angle_tolerance=0.15),
        inserted._replace(speed=0.5, tolerance=0.005),
        wait(CLOSED, THIN),
        pull,
        wait(OPEN, 5),
        in_front._replace(offset=(0.0, y - 0.08, z)),
    )


def drag_drawer(cabinet: str, level: str) -> Skill:
    """Pull a drawer by friction, closed fingers pressed on its handle from above.

    For a low one, whose handle cannot be taken from in front: the hand is wide.
    """
    drawer, y, z = f"{cabinet}_{level}", _HANDLE_Y, _HANDLE_Z[level]
    # Clear of the handles above; askew, so that of two equal orientations of the hand
    # the one is taken in which the last joint is far from its limit.
    leaning = (0.0, -math.radians(45), math.radians(82))
    on_handle = Waypoint(
        drawer, (0.0, y - 0.007, z + 0.024), CLOSED, frame="x", hand=leaning
    )
    above = on_handle._replace(offset=(0.0, y - 0.06, z + 0.07), tolerance=0.02)
    pull = Waypoint(
        cabinet,
        (0.0, -_DRAWER_LIMIT, 0.0),
        CLOSED,
        moved=drawer,
        frame="x",
        hand=leaning,
        speed=0.5,
        tolerance=0.004,
        press_command=_DRAG,
        max_steps=80,
        held=drawer,
        slip_distance=0.165,
        rewind=3,
    )
    return (
        above._replace(offset=(0.0, y - 0.10, z + 0.15), tolerance=0.04),
        above._replace(angle_tolerance=0.15),
        on_handle._replace(tolerance=0.006, max_steps=25),
        pull._replace(speed=0.0, min_steps=5, max_steps=5, slip_distance=math.inf),
        pull,
        rise(0.12, OPEN),
    )


def close_drawer(cabinet: str, level: str) -> Skill:
    """Push a drawer's handle home with closed fingers; see `open_drawer`."""
    drawer, y, z = f"{cabinet}_{level}", _HANDLE_Y, _HANDLE_Z[level]
    # Steeper, the hand meets the handles above; flatter, the wrist reaches far back.
    pushing = (0.0, -math.radians(28), math.pi / 2)
    at_handle = Waypoint(drawer, (0.0, y, z), CLOSED, frame="x", hand=pushing)
    in_front = at_handle._replace(offset=(0.0, y - 0.07, z), tolerance=0.02)
    push = Waypoint(
        cabinet,
        (0.0, 0.009, 0.0),
        CLOSED,
        moved=drawer,
        frame="x",
        hand=pushing,
        speed=0.7,
        tolerance=0.0,
    )
    return (
        at_handle._replace(offset=(0.0, y - 0.10, z + 0.15), tolerance=0.03),
        in_front._replace(angle_tolerance=0.15),
        push,
    )


def close_door(door: str) -> Skill:
    """Push a door, hinged at its origin, from outside by its upper edge."""
    hand = (0.0, 0.0, math.pi / 2)  # the fingers along the door
    at_edge = Waypoint(door, (0.14, -0.045, 0.078), CLOSED, frame="x", hand=hand)
    outside = at_edge._replace(offset=(0.14, -0.08, 0.078), tolerance=0.02)
    return (
        at_edge._replace(offset=(0.14, -0.10, 0.16), tolerance=0.03),
        outside._replace(angle_tolerance=0.3),
        at_edge._replace(tolerance=0.0, heading_offset=0.35, max_steps=150),
    )


def open_door(door: str) -> Skill:
    """Pull a door, hinged at its origin, by its handle's upper bar, then push it wide.

    The first part takes the bar from above and leads it round as far as the arm
    reaches; then closed fingers push the door from inside.
    """
    bar = (0.2375, -0.047, 0.068)
    x, y, z = bar
    # A little off the bar's direction, so that the hand turns towards its home.
    hold = Waypoint(door, bar, frame="x", hand=(0.0, 0.0, -math.radians(80)))
    grip = hold._replace(gripper=CLOSED)
    leaning = (0.0, -math.radians(35), -math.radians(110))
    inside = Waypoint(door, (0.15, 0.03, 0.07), CLOSED, frame="x", hand=leaning)
    return (
        hold._replace(offset=(x, y, z + 0.12), tolerance=0.03, angle_tolerance=0.15),
        hold._replace(tolerance=0.005, max_steps=30),
        grip._replace(tolerance=math.inf, min_steps=WIDE, max_steps=WIDE),
        grip._replace(tolerance=0.0, heading_offset=-0.2, max_steps=70),
        wait(OPEN, 6),
        rise(0.12, OPEN),
        inside._replace(offset=(0.15, 0.05, 0.2), tolerance=0.03, angle_tolerance=0.3),
        inside._replace(tolerance=0.015, max_steps=30),
        inside._replace(tolerance=0.0, heading_offset=-0.35, max_steps=120),
    )


def turn_knob_back(knob: str) -> Skill:
    """Push a knob's ridge from its far side with closed fingers, back to its stop."""
    beside = Waypoint(knob, (-0.03, 0.044, 0.034), CLOSED, frame="x", hand=STEADY)
    over = beside._replace(offset=(-0.05, 0.05, 0.16), tolerance=0.03, speed=1.0)
    lean = rise(0.05, CLOSED)._replace(frame=FIXED, hand=(0.0, _KNOB_PITCH, 0.0))
    push = (
        over,
        beside._replace(offset=(-0.05, 0.045, 0.034), tolerance=0.01, max_steps=30),
        beside._replace(tolerance=0.0, heading_offset=-0.8, max_steps=110),
        rise(0.12, CLOSED),
    )
    # Twice: slipped to the middle of the ridge, the fingers have no lever.
    return (lean._replace(angle_tolerance=0.2), *push, *push)


def turn_knob(knob: str) -> Skill:
    """Take the knob across its handle and lead it round until time is up."""
    x, y, z = _KNOB_GRIP
    hand = (0.0, _KNOB_PITCH, -math.pi / 2)
    hold = Waypoint(knob, _KNOB_GRIP, frame="x", hand=hand)
    grip = hold._replace(gripper=CLOSED)
    return (
        hold._replace(offset=(x, y - 0.062, z + 0.122), tolerance=0.04),
        hold._replace(offset=(x, y, z + 0.052), tolerance=0.015),
        hold._replace(tolerance=0.004, max_steps=16),
        grip._replace(tolerance=math.inf, min_steps=8, max_steps=8),
        grip._replace(tolerance=0.0, heading_offset=0.12, max_steps=45),
        wait(OPEN, 6),
        rise(0.15, OPEN),
    )
