"""All skills of a scene as columns, ready to be indexed inside a compiled program.

Axes: S tasks of the suite, P waypoints.
"""

import functools
from typing import Any, NamedTuple, Sequence

import numpy as np

from omnivla_jax.sim.libero.tasks import Suite
from omnivla_jax.sim.state import Scene
from omnivla_jax.world.expert import waypoints
from omnivla_jax.world.expert.matching import find_skill, goal_without_skill
from omnivla_jax.world.expert.waypoints import Skill, Waypoint, body_names

AT_START, AT_WORLD = -1, -2  # anchor ids that are no body
FRAMES = (waypoints.FIXED, waypoints.KEPT, "x", "y", "z")
KEPT, FIRST_AXIS = 1, 2  # rows of FRAMES
_STAND_STILL: Skill = (waypoints.wait(waypoints.OPEN, waypoints.FOREVER),)


class WaypointTable(NamedTuple):
    """The fields of `Waypoint` as arrays [S, P], or one of each environment [B]."""

    anchor: Any  # int32: a body id, AT_START or AT_WORLD
    offset: Any  # float32 [S, P, 3]
    gripper: Any
    moved: Any  # int32 body id
    frame: Any  # int32: a row of FRAMES
    hand: Any  # float32 [S, P, 3]
    heading_offset: Any
    speed: Any
    tolerance: Any
    angle_tolerance: Any
    min_steps: Any
    max_steps: Any
    press_command: Any
    held: Any  # int32 body id
    slip_distance: Any
    rewind: Any


@functools.lru_cache(maxsize=16)
def skill_table(scene: Scene) -> WaypointTable:
    """The skills of all tasks of `scene`, NumPy columns [S, P].

    A task stands still without a skill, and where the scene lacks a body of its skill.
    """
    skills = []
    for task in scene.tasks:
        skill = find_skill(task)
        complete = skill is not None and body_names(skill) <= set(scene.bodies)
        skills.append(skill if skill is not None and complete else _STAND_STILL)
    return stack_skills(scene, skills)


def require_skills(suite: Suite | Scene, tasks: Sequence[int]) -> None:
    """Check that the expert has a skill for each of `tasks`.

    Args:
      suite: the tasks' suite, or a scene of it.
      tasks: rows of the suite.

    Raises:
      ValueError: names the tasks without a skill, the first goal that none reaches,
        and the tasks of the suite that have one.
    """
    missing = [task for task in tasks if find_skill(suite.tasks[task]) is None]
    if not missing:
        return

    def listed(rows: Sequence[int]) -> str:
        shown = ",".join(map(str, rows[:16]))
        return shown if len(rows) <= 16 else f"{shown} and {len(rows) - 16} more"

    first, more = suite.tasks[missing[0]], len(missing) - 1
    known = [i for i, task in enumerate(suite.tasks) if find_skill(task) is not None]
    raise ValueError(
        f"no skill for {first.instruction!r} ({goal_without_skill(first)})"
        + (f" and {more} more of tasks {listed(missing)}" if more else "")
        + ": record with your own policy or give a dataset"
        + (f", or choose tasks with a skill: {listed(known)}." if known else ".")
    )


def stack_skills(scene: Scene, skills: Sequence[Skill]) -> WaypointTable:
    """Stack skills to NumPy columns, each extended by its last waypoint.

    Args:
      scene: whose body ids the columns hold.
      skills: S skills.

    Returns:
      Columns [S, P].

    Raises:
      KeyError: a body that the scene does not have.
    """
    longest = max(len(skill) for skill in skills)
    padded = [skill + skill[-1:] * (longest - len(skill)) for skill in skills]
    anchors = {waypoints.START: AT_START, waypoints.WORLD: AT_WORLD}
    codes = {
        "anchor": {**scene.bodies, **anchors},
        "moved": scene.bodies,
        "held": scene.bodies,
        "frame": {name: code for code, name in enumerate(FRAMES)},
    }
    columns = {}
    for name in WaypointTable._fields:
        values = [[getattr(waypoint, name) for waypoint in row] for row in padded]
        if name in codes:
            values = [[codes[name][value] for value in row] for row in values]
        integer = name in codes or Waypoint.__annotations__[name] is int
        columns[name] = np.array(values, np.int32 if integer else np.float32)
    return WaypointTable(**columns)
