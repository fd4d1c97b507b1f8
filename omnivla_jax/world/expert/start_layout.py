"""Where the instances of a task start, on average, and how tall they are.

What plans keep clear of. Lengths in m in the world, angles in rad.
"""

import functools
import math
from typing import NamedTuple

import mujoco
import numpy as np

from omnivla_jax.sim.assets import primitives
from omnivla_jax.sim.assets.arenas import ARENAS
from omnivla_jax.sim.assets.objects import CATEGORIES
from omnivla_jax.sim.libero.tasks import ObjectInit, Task


class Extent(NamedTuple):
    """How far the collision shapes of a category reach, as it starts."""

    low: float  # from its lowest point up to its origin
    top: float  # from its origin up to its highest point
    reach: float  # largest horizontal distance from its origin


class StartPose(NamedTuple):
    """The middle of where an instance starts."""

    category: str
    x: float
    y: float
    z: float  # of its origin: a fixture's, an object's at rest
    yaw: float
    extent: Extent


@functools.cache
def extent(category: str) -> Extent:
    """The extent of `category` in its initial rotation, all parts closed."""
    kind = CATEGORIES[category]
    turn = kind.init_rotation.quaternion
    corners = [
        primitives.corners(part.collision, turn) + np.array(part.position)
        for part in kind.parts
    ]
    every = np.concatenate(corners)
    reach = float(np.linalg.norm(every[:, :2], axis=-1).max())
    return Extent(-float(every[:, 2].min()), float(every[:, 2].max()), reach)


def starts(task: Task) -> dict[str, StartPose]:
    """Where each object and fixture of `task` starts, by instance."""
    inits = {start.name: start for start in (*task.fixtures, *task.objects)}
    return {name: _start(task, inits, init) for name, init in inits.items()}


def table_height(task: Task) -> float:
    """The height of the workspace, in the world."""
    table = ARENAS[task.arena].table
    return 0.0 if table is None else table.high[2]


def axis_heading(start: StartPose, axis: str) -> float:
    """The direction in the world of axis "x", "y" or "z" of an object, seen from above.

    Args:
      start: of the object.
      axis: of its body; one that is upright as it starts has the heading 0.
    """
    matrix = np.zeros(9)
    turn = CATEGORIES[start.category].init_rotation.quaternion
    mujoco.mju_quat2Mat(matrix, np.array(turn, float))
    x, y, _ = matrix.reshape(3, 3)[:, "xyz".index(axis)]
    return start.yaw + math.atan2(y, x)


def rotated(x: float, y: float, yaw: float) -> tuple[float, float]:
    """Turn a horizontal vector.

    Args:
      x: its first component.
      y: its second.
      yaw: by which it is turned, rad.

    Returns:
      Both components.
    """
    cos, sin = math.cos(yaw), math.sin(yaw)
    return cos * x - sin * y, sin * x + cos * y


def _start(task: Task, inits: dict[str, ObjectInit], init: ObjectInit) -> StartPose:
    kind = CATEGORIES[init.category]
    turn = init.yaw if kind.fixture else kind.init_rotation.yaw
    yaw, size = sum(turn) / 2, extent(init.category)
    arena = ARENAS[task.arena]
    z = table_height(task) + size.low
    if kind.fixture and not kind.pinned:
        z = arena.offset[2] + arena.fixture_lift - kind.bottom
    if init.ranges:
        x0, y0, x1, y1 = np.mean(init.ranges, axis=0)
        dx, dy, _ = arena.offset
        x, y = (x0 + x1) / 2 + dx, (y0 + y1) / 2 + dy
        return StartPose(init.category, float(x), float(y), z, yaw, size)
    below = _start(task, inits, inits[init.reference])
    offset, support = (0.0, 0.0), below.z + below.extent.top
    for part in CATEGORIES[below.category].parts:
        if init.region in part.regions:
            x, y, height = part.regions[init.region].position
            offset, support = (x, y), below.z + height
    dx, dy = rotated(*offset, below.yaw)
    z = support + size.low
    return StartPose(init.category, below.x + dx, below.y + dy, z, yaw, size)
