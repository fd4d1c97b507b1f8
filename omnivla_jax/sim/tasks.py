"""The tasks of each suite as rows of a table: instruction, goal and initial layout.

Lengths in m; table coordinates are relative to the centre of the workspace.
"""

import math
from typing import NamedTuple

from omnivla_jax.sim.objects import Quaternion


class Goal(NamedTuple):
    """One predicate of a conjunction: `On`, `In`, `Open`, `Close` or `Turnon`."""

    predicate: str
    subject: str  # an object, or a fixture's moving part
    target: str = ""  # an object, "fixture/region" or a table region


class Task(NamedTuple):
    """What a policy is told and when it has succeeded."""

    name: str
    instruction: str
    goal: tuple[Goal, ...]
    interest: str  # what the gripper must reach first: an object or "fixture/part"


class Placement(NamedTuple):
    """Where an object or fixture starts: a rectangle and an orientation."""

    name: str
    center: tuple[float, float]
    half_width: float
    quaternion: Quaternion


class Suite(NamedTuple):
    """Tasks that share one scene."""

    arena: str
    movables: tuple[Placement, ...]  # in qpos order
    fixtures: tuple[Placement, ...]
    tasks: tuple[Task, ...]
    table_regions: dict[str, tuple[tuple[float, float], tuple[float, float]]]
    horizon: int  # control steps, as openpi and OpenVLA evaluate


# LIBERO writes (x, y, z, w) where MuJoCo reads (w, x, y, z): "rotation pi/2" is a yaw
# of +90 degrees, "rotation 0" one of 180.
_YAW_90: Quaternion = (math.sqrt(0.5), 0.0, 0.0, math.sqrt(0.5))
_YAW_180: Quaternion = (0.0, 0.0, 0.0, 1.0)
_YAW_0: Quaternion = (1.0, 0.0, 0.0, 0.0)


def _task(text: str, interest: str, *goal: Goal) -> Task:
    return Task(text.replace(" ", "_"), text, goal, interest)


_BOWL, _CHEESE = "akita_black_bowl", "cream_cheese"
_BOTTLE, _PLATE = "wine_bottle", "plate"

_LIBERO_GOAL = Suite(
    arena="tabletop",
    # LIBERO's sampler shrinks a region of half width 0.01 by the object's radius
    # (0.025, cheese 0.03); the interval inverts, so the half width is |0.01 - r|.
    movables=(
        Placement(_BOWL, (-0.09, 0.0), 0.015, _YAW_90),
        Placement(_CHEESE, (-0.05, 0.13), 0.02, _YAW_180),
        Placement(_BOTTLE, (-0.20, -0.05), 0.015, _YAW_180),
        Placement(_PLATE, (0.05, -0.02), 0.015, _YAW_90),
    ),
    fixtures=(
        Placement("wooden_cabinet", (0.03, -0.24), 0.01, _YAW_180),
        Placement("flat_stove", (-0.41, 0.21), 0.01, _YAW_0),
        Placement("wine_rack", (-0.26, -0.26), 0.01, _YAW_180),
    ),
    tasks=(
        _task(
            "open the middle drawer of the cabinet",
            "wooden_cabinet/middle",
            Goal("Open", "wooden_cabinet/middle"),
        ),
        _task(
            "put the bowl on the stove",
            _BOWL,
            Goal("On", _BOWL, "flat_stove/cook_region"),
        ),
        _task(
            "put the wine bottle on top of the cabinet",
            _BOTTLE,
            Goal("On", _BOTTLE, "wooden_cabinet/top_side"),
        ),
        _task(
            "open the top drawer and put the bowl inside",
            "wooden_cabinet/top",
            Goal("In", _BOWL, "wooden_cabinet/top_region"),
        ),
        _task(
            "put the bowl on top of the cabinet",
            _BOWL,
            Goal("On", _BOWL, "wooden_cabinet/top_side"),
        ),
        _task(
            "push the plate to the front of the stove",
            _PLATE,
            Goal("On", _PLATE, "stove_front"),
        ),
        _task(
            "put the cream cheese in the bowl",
            _CHEESE,
            Goal("On", _CHEESE, _BOWL),
        ),
        _task(
            "turn on the stove", "flat_stove/knob", Goal("Turnon", "flat_stove/knob")
        ),
        _task("put the bowl on the plate", _BOWL, Goal("On", _BOWL, _PLATE)),
        _task(
            "put the wine bottle on the rack",
            _BOTTLE,
            Goal("On", _BOTTLE, "wine_rack/top_region"),
        ),
    ),
    table_regions={"stove_front": ((-0.05, 0.21), (0.04, 0.04))},
    horizon=300,
)

SUITES: dict[str, Suite] = {"libero_goal": _LIBERO_GOAL}


def suite(name: str) -> Suite:
    """Look up a suite; an unknown name raises and lists the known ones."""
    if name not in SUITES:
        raise ValueError(f"Unknown suite {name!r}: choose one of {sorted(SUITES)}.")
    return SUITES[name]
