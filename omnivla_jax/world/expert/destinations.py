"""Where an object of a goal goes: a body to place it at, an offset, a free height.

Lengths in m, angles in rad. Offsets are along the world's axes, turned with the target.
"""

import itertools
import math
from typing import NamedTuple

import numpy as np

from omnivla_jax.sim.assets import primitives
from omnivla_jax.sim.assets.category import Region
from omnivla_jax.sim.assets.objects import CATEGORIES
from omnivla_jax.sim.libero.tasks import Goal, Task, split_region
from omnivla_jax.sim.rotation import matrix
from omnivla_jax.world.expert import waypoints
from omnivla_jax.world.expert.start_layout import (
    StartPose,
    rotated,
    starts,
    table_height,
)

ABOVE_GROUND = 0.006  # of an object that is let go
_IN_BOWL = 0.022  # of a bowl's origin above that of the bowl that it goes into
_SITE_GAP = 0.004  # sites lie a little inside of the boards that they are on
_ZONE_INSET = 0.02  # kept from the edges of a rectangle of the workspace
_ASIDE = 0.045  # from the middle of a region that two objects go to


class Destination(NamedTuple):
    """A place of one goal."""

    category: str  # of the target; "" where it is the workspace
    instance: str
    part: str  # the target's part, such as "top_level"
    anchor: str  # the body, or WORLD
    offset: tuple[float, float, float]  # of what is placed: its origin at rest
    walls: float  # highest point of the target above the anchor
    region: Region | None


def find(task: Task, goal: Goal, *, order: int = 0, count: int = 1) -> Destination:
    """Where the subject of an `on` or `in` goal goes.

    Args:
      task: of the goal.
      goal: one of the task.
      order: how many things went into the same target before.
      count: how many go there.

    Returns:
      The place.
    """
    layout = starts(task)
    subject = layout[goal.subject]
    low = subject.extent.low + ABOVE_GROUND
    if goal.zone is not None:
        x, y = _free_point(goal, layout)
        ground = table_height(task)
        offset = (x, y, ground + low)
        return Destination("", "", "", waypoints.WORLD, offset, ground, None)
    instance, name = split_region(
        goal.target, {one: start.category for one, start in layout.items()}
    )
    target = layout[instance]
    parts = CATEGORIES[target.category].parts
    part = next((part for part in parts if name in part.regions), parts[0])
    region = part.regions.get(name)
    x, y = region.position[:2] if region is not None else (0.0, 0.0)
    ceiling = math.inf
    if region is not None:
        half = _half_extent(region)
        shift = min(_ASIDE, max(half[:2]) / 2) * (2 * order - count + 1)
        x, y = (x + shift, y) if half[0] >= half[1] else (x, y + shift)
        ceiling = region.position[2] + _half_extent(region)[2] + _SITE_GAP
    surface = support_height(target.category, part.name, x, y, ceiling)
    # A region without a floor of its own is over the workspace.
    ground = table_height(task) - target.z if surface is None else surface
    if _is_bowl(target.category) and _is_bowl(subject.category):
        ground = _IN_BOWL
    corners = primitives.corners(part.collision, _turn(target.category))
    dx, dy = rotated(x, y, target.yaw if region is not None else 0.0)
    return Destination(
        target.category,
        instance,
        part.name,
        f"{instance}_{part.name}" if part.name else instance,
        (dx, dy, ground + low),
        float(corners[:, 2].max()) if goal.predicate == "in" else ground,
        region,
    )


def support_height(
    category: str, part: str, x: float, y: float, below: float
) -> float | None:
    """The highest surface of a part under a point, up to a height.

    Args:
      category: of the target.
      part: its name.
      x: in the part's frame, m.
      y: the same.
      below: the largest height that counts, m.

    Returns:
      Its height in the part's frame, m; None where there is none.
    """
    heights = []
    for one in CATEGORIES[category].parts:
        if one.name != part:
            continue
        for shape in one.collision:
            corners = primitives.corners((shape,), _turn(category))
            lowest, highest = corners.min(axis=0), corners.max(axis=0)
            inside = np.all(lowest[:2] <= (x, y)) and np.all((x, y) <= highest[:2])
            if inside and highest[2] <= below:
                heights.append(float(highest[2]))
    return max(heights, default=None)


def _turn(category: str) -> tuple[float, ...]:
    return CATEGORIES[category].init_rotation.quaternion


def _is_bowl(category: str) -> bool:
    return CATEGORIES[category].grasp_like in ("akita_black_bowl", "white_bowl")


def _half_extent(region: Region) -> np.ndarray:
    """Half the size [3] of a region along the axes of its part."""
    turn = np.array(region.quaternion)
    axes = matrix(turn / np.linalg.norm(turn), np)
    return np.abs(axes) @ np.array(region.half_size)


def _free_point(goal: Goal, layout: dict[str, StartPose]) -> tuple[float, float]:
    """The point of a rectangle that is clear of what stands around, or most so."""
    zone, subject = goal.zone, layout[goal.subject]
    assert zone is not None
    others = [
        one
        for name, one in layout.items()
        if name != goal.subject and not CATEGORIES[one.category].fixture
    ]
    steps = (0.0, 0.5, -0.5, 1.0, -1.0)
    spans = [max(half - _ZONE_INSET, 0.0) for half in zone.half_size[:2]]
    ranked = []
    for u, v in sorted(itertools.product(steps, steps), key=lambda p: math.hypot(*p)):
        x, y = zone.center[0] + u * spans[0], zone.center[1] + v * spans[1]
        gaps = [
            math.dist((x, y), (one.x, one.y)) - one.extent.reach - subject.extent.reach
            for one in others
        ]
        ranked.append((min(gaps, default=math.inf), (x, y)))
        if ranked[-1][0] >= 0.0:
            return x, y
    return max(ranked)[1]
