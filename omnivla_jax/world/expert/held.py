"""How the expert takes hold of an object, by its category and what stands around it.

Lengths in m, angles in rad; directions in the world: +x is away from the robot, +y on
its left.
"""

import math
from typing import Callable, Iterable, NamedTuple

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


class Across(NamedTuple):
    """A grasp between both fingers: the arguments of `grasp_across`."""

    grip: tuple[float, float, float]
    axis: str = "x"
    round: bool = False  # it can be taken from any side


class Rim(NamedTuple):
    """A grasp of a bowl's wall: the arguments of `grasp_rim`."""

    radius: float
    height: float


class Wall(NamedTuple):
    """A grasp of a mug's wall: the arguments of `grasp_wall`."""

    center: float
    radius: float
    side: float
    height: float


_FLAT = 0.003  # the grip site above the middle of a flat box: tips clear the table
GRIPS: dict[str, Across | Rim | Wall] = {
    "akita_black_bowl": Rim(0.047, 0.032),
    "alphabet_soup": Across((0.0, 0.0, 0.017), round=True),
    "bbq_sauce": Across((0.0, 0.0, 0.03)),
    "black_book": Across((-0.012, 0.0, 0.115), axis="y"),
    "butter": Across((0.0, 0.0, _FLAT)),
    "chefmate_8_frypan": Across((0.18, 0.0, 0.043)),
    "chocolate_pudding": Across((0.0, 0.0, _FLAT)),
    "cream_cheese": Across((0.0, 0.0, _FLAT)),
    "ketchup": Across((0.0, 0.0, 0.045)),
    "milk": Across((0.0, 0.0, 0.04)),
    "moka_pot": Across((0.0, -0.001, 0.076)),
    "new_salad_dressing": Across((0.0, 0.0, 0.095)),
    "orange_juice": Across((0.0, 0.0, 0.04)),
    "porcelain_mug": Wall(0.0125, 0.044, AHEAD, 0.09),
    "red_coffee_mug": Wall(-0.0155, 0.043, BEHIND, 0.112),
    "salad_dressing": Across((0.0, 0.0, 0.045)),
    "tomato_sauce": Across((0.0, 0.0, 0.017), round=True),
    "white_bowl": Rim(0.0353, 0.022),
    "white_yellow_mug": Wall(-0.0185, 0.05, BEHIND, 0.09),
    "wine_bottle": Across((0.0, 0.0, 0.13), round=True),
    "yellow_book": Across((0.0, 0.0, 0.1), axis="y"),
}


class Held(NamedTuple):
    """A grasp and the height of its grip above the object's origin."""

    grasp: Grasp
    height: float


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
    grip = GRIPS.get(CATEGORIES[start.category].grasp_like)
    if isinstance(grip, Wall):
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
    if isinstance(grip, Rim):
        if side is None:
            side = _clearest(
                (BEHIND,) if far else (LEFT, BEHIND, RIGHT, AHEAD),
                lambda way: _finger_clearance(start, way, grip.radius, others),
            )
        # Leaning, the inner finger's lower corner needs more height.
        height = grip.height + 0.024 * abs(math.sin(lean))
        rim = grasp_rim(name, radius=grip.radius, height=height, side=side, lean=lean)
        return Held(rim, height)
    if isinstance(grip, Across):
        return _across(name, start, grip, others)
    return None


def _across(
    name: str, start: StartPose, grip: Across, others: Iterable[StartPose]
) -> Held:
    """Grasp from above, turned so that the palm keeps clear of what stands higher."""
    palm = start.extent.low + grip.grip[2] + PALM - _GAP
    tall = [one for one in others if one.extent.low + one.extent.top > palm]
    turns = 12 if grip.round else 1
    yaws = [math.pi * (k // 2 + k % 2) * (-1) ** k / turns for k in range(turns)]
    yaw = _clearest(yaws, lambda turn: _palm_clearance(start, grip, turn, tall))
    approach = 0.17 - start.extent.low - grip.grip[2]
    across = grasp_across(
        name, grip.grip, axis=grip.axis, yaw=yaw, approach=max(0.05, approach)
    )
    return Held(across, grip.grip[2])


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
    start: StartPose, grip: Across, yaw: float, tall: list[StartPose]
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
