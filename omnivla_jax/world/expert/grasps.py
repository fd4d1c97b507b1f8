"""Grasps: waypoints that end with an object between closed fingers.

Lengths in m, angles in rad; offsets from the object's origin.
"""

import math
from typing import NamedTuple

from omnivla_jax.world.expert.waypoints import (
    CLOSED,
    FIXED,
    Skill,
    Vector,
    Waypoint,
    wait,
)

WIDE, THIN = 9, 12  # control steps until the fingers meet boxes; walls of 5 mm
MUG_RIM = 0.09  # where a mug's wall is pinched, above its origin
HOVER = 0.07  # above the grip before going down
# A hand that leans steeply goes straight down the last stretch: along itself, it would
# push a bowl away by the rim that it passes over.
STEEP, OVER_RIM = math.radians(30), 0.03
SLIP = 0.04  # how much further than when gripped an object counts as lost


class Grasp(NamedTuple):
    """The waypoints that take hold of a body, and its distance from the hand then."""

    body: str
    waypoints: Skill
    distance: float


def grasp(
    body: str,
    grip: Vector,
    *,
    frame: str = FIXED,
    hand: Vector,
    closing_steps: int = WIDE,
    approach: float = HOVER,
) -> Grasp:
    """Come to `grip`, an offset in `frame`, along the hand and close the fingers.

    Args:
      body: the body to grasp.
      grip: target of the grip site.
      frame: of offset and hand, see `waypoints`.
      hand: roll, pitch and yaw; the fingers close along y.
      closing_steps: control steps until the fingers have closed.
      approach: distance from the grip at which the hand lines up.

    Returns:
      The grasp.
    """
    at_grip = Waypoint(body, grip, frame=frame, hand=hand)
    ahead = at_grip._replace(offset=pregrasp_position(grip, hand, approach))
    x, y, z = grip
    over = at_grip._replace(offset=(x, y, z + OVER_RIM), tolerance=0.012)
    waypoints = (
        ahead._replace(tolerance=0.02, angle_tolerance=0.15),
        *((over,) if abs(hand[1]) > STEEP else ()),
        at_grip._replace(tolerance=0.004, max_steps=18),
        wait(CLOSED, closing_steps),
    )
    return Grasp(body, waypoints, math.hypot(*grip))


def pregrasp_position(grip: Vector, hand: Vector, distance: float) -> Vector:
    """The point from which the hand comes to a grip, straight along its fingers.

    Args:
      grip: target of the grip site, m.
      hand: roll, pitch and yaw, rad.
      distance: from the grip, m.

    Returns:
      The point, in the grip's frame, m.
    """
    roll, pitch, yaw = hand
    ahead = distance * math.cos(roll) * math.sin(pitch)
    left = -distance * math.sin(roll)
    x, y, z = grip
    return (
        x + ahead * math.cos(yaw) - left * math.sin(yaw),
        y + ahead * math.sin(yaw) + left * math.cos(yaw),
        z + distance * math.cos(roll) * math.cos(pitch),
    )


def grasp_rim(
    body: str, *, radius: float, height: float, side: float, lean: float = 0.0
) -> Grasp:
    """Pinch the wall of a bowl, one finger inside.

    Args:
      body: the bowl.
      radius: of the gripped wall.
      height: of the grip above the bowl's origin.
      side: direction, in the world, from the bowl's axis to the gripped wall.
      lean: angle of the hand along the wall, out of the fingers' plane.

    Returns:
      The grasp.
    """
    grip = (radius * math.cos(side), radius * math.sin(side), height)
    yaw = math.remainder(side - math.pi / 2, 2 * math.pi)
    if abs(yaw) > math.pi / 2 + 1e-6:  # the same with swapped fingers, nearer to home
        yaw, lean = yaw - math.copysign(math.pi, yaw), -lean
    return grasp(body, grip, hand=(0.0, lean, yaw), closing_steps=THIN)


def grasp_wall(
    body: str, *, center: float, radius: float, side: float, height: float = MUG_RIM
) -> Grasp:
    """Pinch the wall of a mug.

    Args:
      body: the mug.
      center: x of the mug's axis in its body's frame.
      radius: of the gripped wall.
      side: direction, in the body's frame, from the axis to the gripped wall.
      height: of the grip above the mug's origin.

    Returns:
      The grasp.
    """
    x, y = center + radius * math.cos(side), radius * math.sin(side)
    hand = (0.0, 0.0, side - math.pi / 2)
    grip = (x, y, height)
    return grasp(body, grip, frame="x", hand=hand, closing_steps=THIN)


def grasp_across(
    body: str,
    grip: Vector,
    *,
    axis: str = "x",
    yaw: float = 0.0,
    approach: float = HOVER,
) -> Grasp:
    """Straddle a box, bottle or bar: the fingers close across its `axis`.

    Args:
      body: the body to grasp.
      grip: offset along that axis, across it and upwards.
      axis: "x", "y" or "z" of the body.
      yaw: of the hand from the axis.
      approach: distance from the grip at which the hand lines up.

    Returns:
      The grasp.
    """
    hand = (0.0, 0.0, yaw)
    return grasp(body, grip, frame=axis, hand=hand, approach=approach)
