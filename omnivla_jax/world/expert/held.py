"""How the expert takes hold of an object, by its category and what stands around it.

Lengths in m, angles in rad; directions in the world: +x is away from the robot, +y on
its left.
"""

import math
from typing import Callable, Iterable, NamedTuple

from omnivla_jax.sim.assets.category import AcrossGrip, Grip, RimGrip, WallGrip
from omnivla_jax.sim.assets.objects import CATEGORIES
from omnivla_jax.world.expert.grasps import (
    Grasp,
    grasp_across,
    grasp_rim,
    grasp_wall,
)
from omnivla_jax.world.expert.start_layout import StartPose, axis_heading

LEFT, RIGHT, AHEAD, BEHIND = math.pi / 2, -math.pi / 2, 0.0, math.pi
PALM = 0.031  # of the hand above the grip site
_HALF_WIDTH, _HALF_DEPTH = 0.10, 0.03  # of the palm, along and across the fingers' axis
_FINGER = 0.055  # outwards from the grip: an open finger
_GAP = 0.01  # kept between the hand and what it passes


class Held(NamedTuple):
    """A grasp and the height of its grip above the object's origin."""

    grasp: Grasp
    height: float


def grip_of(category: str) -> Grip | None:
    """Where a category or the one that it is grasped like is gripped, if anywhere."""
    record = CATEGORIES[category]
    return record.grip or CATEGORIES[record.grasp_like].grip


def hold(
    name: str,
    start: StartPose,
    around: Iterable[StartPose],
    *,
    side: float | None = None,
    lean: float = 0.0,
    far: bool = False,
) -> Held | None:
    """Grasp an instance clear of what stands around it.

    Args:
      name: the instance.
      start: where it starts.
      around: where the others do.
      side: of bowls, the direction from the axis to the gripped wall; None: the first
        of left, behind, right and ahead that keeps clear.
      lean: of bowls, see `grasp_rim`.
      far: whether the arm has to stretch: bowls and mugs are then taken by the wall
        on the robot's side.

    Returns:
      The grasp; None where objects of this category have none.
    """
    grip = grip_of(start.category)
    if isinstance(grip, WallGrip):
        ways = (grip.side, grip.side + LEFT, grip.side + RIGHT)  # not the handle's
        wall = min(ways, key=lambda way: math.cos(start.yaw + way))
        held = grasp_wall(
            name,
            center=grip.center,
            radius=grip.radius,
            side=wall if far else grip.side,
            height=grip.height,
        )
        return Held(held, grip.height)
    others = list(around)
    if isinstance(grip, RimGrip):
        if side is None:
            side = _clearest(
                (BEHIND,) if far else (LEFT, BEHIND, RIGHT, AHEAD),
                lambda way: _finger_clearance(start, way, grip.radius, others),
            )
        # Leaning, the inner finger's lower corner needs more height.
        height = grip.height + 0.024 * abs(math.sin(lean))
        rim = grasp_rim(name, radius=grip.radius, height=height, side=side, lean=lean)
        return Held(rim, height)
    if isinstance(grip, AcrossGrip):
        return _across(name, start, grip, others)
    return None


def _across(
    name: str, start: StartPose, grip: AcrossGrip, others: Iterable[StartPose]
) -> Held:
    """Grasp from above, turned so that the palm keeps clear of what stands higher."""
    palm = start.extent.low + grip.position[2] + PALM - _GAP
    tall = [one for one in others if one.extent.low + one.extent.top > palm]
    turns = 12 if grip.round else 1
    yaws = [math.pi * (k // 2 + k % 2) * (-1) ** k / turns for k in range(turns)]
    yaw = _clearest(yaws, lambda turn: _palm_clearance(start, grip, turn, tall))
    approach = 0.17 - start.extent.low - grip.position[2]
    across = grasp_across(
        name, grip.position, axis=grip.axis, yaw=yaw, approach=max(0.05, approach)
    )
    return Held(across, grip.position[2])


def _clearest(choices: Iterable[float], clearance: Callable[[float], float]) -> float:
    """The first choice that keeps clear, or the one that comes nearest to it."""
    ranked = [(clearance(choice), choice) for choice in choices]
    for gap, choice in ranked:
        if gap >= _GAP:
            return choice
    return max(ranked, key=lambda row: row[0])[1]


def _finger_clearance(
    start: StartPose, side: float, radius: float, others: list[StartPose]
) -> float:
    """Between the outer finger at a bowl's rim and the nearest other."""
    distance = radius + _FINGER
    x, y = start.x + distance * math.cos(side), start.y + distance * math.sin(side)
    gaps = [math.dist((x, y), (one.x, one.y)) - one.extent.reach for one in others]
    return min(gaps, default=math.inf)


def _palm_clearance(
    start: StartPose, grip: AcrossGrip, yaw: float, tall: list[StartPose]
) -> float:
    """Between the palm's rectangle and the nearest of those that reach up to it."""
    along = axis_heading(start, grip.axis) + yaw + math.pi / 2
    gaps = []
    for one in tall:
        dx, dy = one.x - start.x, one.y - start.y
        u = abs(dx * math.cos(along) + dy * math.sin(along))
        v = abs(-dx * math.sin(along) + dy * math.cos(along))
        outside = math.hypot(max(u - _HALF_WIDTH, 0.0), max(v - _HALF_DEPTH, 0.0))
        gaps.append(outside - min(one.extent.reach, 0.05))
    return min(gaps, default=math.inf)
