"""Drawers, knobs and doors: rows that move a joint by its handle.

Lengths in m, angles in rad; offsets in the frame of the moving body.
"""

import math

from omnivla_jax.world.expert.grasps import THIN
from omnivla_jax.world.expert.phases import (
    CLOSED,
    OPEN,
    Phase,
    Script,
    Vector,
    rise,
    wait,
)

_INTO_FRONT = math.radians(85)  # roll: the hand points at the cabinet's front
_HANDLE_Y = -0.1016
_HANDLE_Z = {"top_level": 0.184, "middle_level": 0.1143, "bottom_level": 0.0457}
_DRAWER_LIMIT = 0.155  # pulled this far: LIBERO asks for 0.14, the stop is at 0.16
_KNOB_GRIP = (0.0, -0.018, 0.038)
_KNOB_PITCH = math.radians(25)  # pointing straight down, joints 4 and 6 hit limits


def open_drawer(cabinet: str, level: str) -> Script:
    """Take a drawer's handle between upper and lower finger and pull.

    `level`: "top_level", "middle_level" or "bottom_level", LIBERO's joint names.
    """
    drawer, handle = f"{cabinet}_{level}", _HANDLE_Z[level]
    facing = (_INTO_FRONT, 0.0, 0.0)
    at_handle = Phase(drawer, (0.0, _HANDLE_Y, handle), frame="x", hand=facing)
    pull = Phase(
        cabinet,
        (0.0, -_DRAWER_LIMIT, 0.0),
        CLOSED,
        moved=drawer,
        frame="x",
        hand=facing,
        speed=0.6,
        tolerance=0.004,
    )
    return (
        _from_handle(at_handle, 0.12, above=0.12)._replace(tolerance=0.05),
        _from_handle(at_handle, 0.10)._replace(tolerance=0.02, turned=0.15),
        at_handle._replace(
            offset=(0.0, _HANDLE_Y + 0.004, handle), speed=0.5, tolerance=0.005
        ),
        wait(CLOSED, THIN),
        pull,
        wait(OPEN, 5),
        _from_handle(at_handle, 0.08)._replace(tolerance=0.02),
    )


def _from_handle(at_handle: Phase, distance: float, above: float = 0.0) -> Phase:
    x, y, z = at_handle.offset
    return at_handle._replace(offset=(x, y - distance, z + above))


def close_drawer(cabinet: str, level: str) -> Script:
    """Push a drawer's handle home with closed fingers."""
    drawer, handle = f"{cabinet}_{level}", _HANDLE_Z[level]
    pushing = (0.0, -math.radians(45), math.pi / 2)  # the hand stays in front
    at_handle = Phase(drawer, (0.0, _HANDLE_Y, handle), CLOSED, frame="x", hand=pushing)
    return (
        _from_handle(at_handle, 0.10, above=0.15)._replace(tolerance=0.03),
        _from_handle(at_handle, 0.07)._replace(tolerance=0.02, turned=0.15),
        Phase(
            cabinet,
            (0.0, 0.009, 0.0),
            CLOSED,
            moved=drawer,
            frame="x",
            hand=pushing,
            speed=0.7,
            tolerance=0.0,
        ),
    )


def close_door(door: str) -> Script:
    """Push a door, hinged at its origin, from outside by its upper edge."""
    along = (0.0, 0.0, math.pi / 2)
    at_edge = Phase(door, (0.14, -0.045, 0.078), CLOSED, frame="x", hand=along)
    return (
        at_edge._replace(offset=(0.14, -0.10, 0.16), tolerance=0.03),
        at_edge._replace(offset=(0.14, -0.08, 0.078), tolerance=0.02, turned=0.3),
        at_edge._replace(tolerance=0.0, lead=0.35, at_most=150),
    )


def turn_knob(knob: str) -> Script:
    """Take the knob across its handle and lead it round; the last row never ends."""
    grip = _KNOB_GRIP
    across: Vector = (0.0, _KNOB_PITCH, -math.pi / 2)
    hold = Phase(knob, grip, frame="x", hand=across)
    x, y, z = grip
    return (
        hold._replace(offset=(x, y - 0.062, z + 0.122), tolerance=0.04),
        hold._replace(offset=(x, y, z + 0.052), tolerance=0.015),
        hold._replace(tolerance=0.004, at_most=16),
        hold._replace(gripper=CLOSED, tolerance=math.inf, at_least=8, at_most=8),
        hold._replace(gripper=CLOSED, tolerance=0.0, lead=0.12, at_most=45),
        wait(OPEN, 6),
        rise(0.15, OPEN),
    )
