"""Waypoints, of which skills are sequences.

Lengths in m, angles in rad, times in control steps of 50 ms.
"""

import math
from typing import NamedTuple, TypeAlias

from omnivla_jax.sim.assets import panda

Vector: TypeAlias = tuple[float, float, float]

OPEN, CLOSED = -1.0, 1.0  # gripper commands
# Anchors that are no body: the hand's position when the waypoint began; the origin.
START, WORLD = "start", "world"
# Frames of a waypoint's offset and hand. KEPT: along the world, with the orientation
# wanted by the waypoint before. "x", "y", "z": about z with that axis of the anchor.
FIXED, KEPT = "fixed", "kept"
DOWN: Vector = (0.0, 0.0, 0.0)  # pointing down, fingers opening along y
STEADY: Vector = (math.nan,) * 3  # oriented as wanted by the waypoint before
FOREVER = 10_000


class Waypoint(NamedTuple):
    """Servo one body to a point relative to another until it arrives or times out."""

    anchor: str  # a body, START or WORLD
    offset: Vector
    gripper: float = OPEN
    moved: str = panda.EEF_BODY  # the body that arrives: the hand, or held or pushed
    frame: str = FIXED
    hand: Vector = DOWN  # roll, pitch, yaw from pointing down, in the frame
    heading_offset: float = 0.0  # added to the frame's heading: leads a hinge round
    speed: float = 1.0  # largest component of the translation command
    tolerance: float = 0.01
    angle_tolerance: float = math.inf
    min_steps: int = 0
    max_steps: int = 60
    press_command: float = math.nan  # a constant z command instead of the servo's
    held: str = panda.EEF_BODY  # has slipped when further than this from the hand:
    slip_distance: float = math.inf
    rewind: int = 0  # waypoints that the skill goes back by after a slip


Skill: TypeAlias = tuple[Waypoint, ...]


def body_names(skill: Skill) -> set[str]:
    """The bodies that a skill refers to."""
    names = {name for row in skill for name in (row.anchor, row.moved, row.held)}
    return names - {START, WORLD}


def wait(gripper: float, steps: int) -> Waypoint:
    """Hold still while the fingers move."""
    return Waypoint(
        START,
        (0, 0, 0),
        gripper,
        frame=KEPT,
        tolerance=math.inf,
        min_steps=steps,
        max_steps=steps,
    )


def rise(height: float, gripper: float) -> Waypoint:
    """Move straight up by `height`."""
    return Waypoint(START, (0, 0, height), gripper, frame=KEPT, tolerance=0.02)


# The end of every task: away upwards with open fingers, for good.
REST = rise(0.1, OPEN)._replace(tolerance=0.0, max_steps=FOREVER)
