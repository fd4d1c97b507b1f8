"""Grasps: rows of phases that end with an object between closed fingers.

Lengths in m, angles in rad; offsets from the object's origin.
"""

import math
from typing import NamedTuple

from omnivla_jax.world.expert.phases import (
    CLOSED,
    FIXED,
    Phase,
    Script,
    Vector,
    wait,
)

WIDE, THIN = 9, 12  # control steps until the fingers meet boxes; walls of 5 mm
MUG_RIM = 0.09  # where a mug's wall is pinched, above its origin
HOVER = 0.07  # above the grip before going down
SLIP = 0.04  # how much further than when gripped an object counts as lost


class Grasp(NamedTuple):
    """The rows that take hold of a body, and how far from the hand it then is."""

    body: str
    rows: Script
    distance: float


def grasp(
    body: str,
    grip: Vector,
    *,
    frame: str = FIXED,
    hand: Vector,
    closing: int = WIDE,
    approach: float = HOVER,
) -> Grasp:
    """Come to `grip`, an offset in `frame`, along the hand and close the fingers.

    Args:
      body: what is grasped.
      grip: where the grip site goes.
      frame: of offset and hand, see `phases`.
      hand: roll, pitch and yaw; the fingers close along y.
      closing: control steps until the fingers have closed.
      approach: distance from the grip at which the hand lines up.
    """
    there = Phase(body, grip, frame=frame, hand=hand)
    rows = (
        there._replace(
            offset=behind(grip, hand, approach), tolerance=0.02, turned=0.15
        ),
        there._replace(tolerance=0.004, at_most=18),
        wait(CLOSED, closing),
    )
    return Grasp(body, rows, math.hypot(*grip))


def behind(grip: Vector, hand: Vector, distance: float) -> Vector:
    """The point `distance` away from `grip`, back along where the hand points."""
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

    `side` is the direction, in the world, from the bowl's axis to the gripped wall;
    the hand leans along the wall, out of the fingers' plane, by `lean`.
    """
    grip = (radius * math.cos(side), radius * math.sin(side), height)
    yaw = math.remainder(side - math.pi / 2, 2 * math.pi)
    if abs(yaw) > math.pi / 2 + 1e-6:  # the same with swapped fingers, nearer to home
        yaw, lean = yaw - math.copysign(math.pi, yaw), -lean
    return grasp(body, grip, hand=(0.0, lean, yaw), closing=THIN)


def grasp_wall(body: str, *, center: float, radius: float, side: float) -> Grasp:
    """Pinch the wall of a mug whose axis is at x = `center` of its body.

    `side` is the direction, in the body's frame, from that axis to the gripped wall.
    """
    x, y = center + radius * math.cos(side), radius * math.sin(side)
    hand = (0.0, 0.0, side - math.pi / 2)
    return grasp(body, (x, y, MUG_RIM), frame="x", hand=hand, closing=THIN)


def grasp_across(
    body: str,
    grip: Vector,
    *,
    axis: str = "x",
    yaw: float = 0.0,
    approach: float = HOVER,
) -> Grasp:
    """Straddle a box, bottle or bar: the fingers close across its `axis`.

    `grip` is an offset along that axis, across it and upwards.
    """
    hand = (0.0, 0.0, yaw)
    return grasp(body, grip, frame=axis, hand=hand, approach=approach)
