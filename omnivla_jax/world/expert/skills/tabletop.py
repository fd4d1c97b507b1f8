"""Skills of libero_spatial and libero_goal. Lengths in m, angles in rad."""

import math
from typing import Any

from omnivla_jax.world.expert import articulated
from omnivla_jax.world.expert.placing import carry, push
from omnivla_jax.world.expert.skills.grasp_presets import (
    BEHIND,
    BOWL,
    CREAM_CHEESE,
    LEFT,
    PLATE,
    RIGHT,
    STOVE,
    WINE_BOTTLE,
    bowl,
)
from omnivla_jax.world.expert.waypoints import FIXED, WORLD, Skill, Waypoint

_CABINET, _TOP = "wooden_cabinet_1", "wooden_cabinet_1_top_level"
_ON_CABINET = (0.0, 0.0, 0.226)


def _to_plate(side: float, lean: float = 0.0, **way: Any) -> Skill:
    """Grasp the bowl from `side` and carry it to the plate."""
    on_plate = (0.0, 0.0, 0.012)
    return carry(bowl(side, lean), PLATE, on_plate, **way)


# Fingers along the front of the cabinet, which stands askew, the hand over its top.
_ALONG_FRONT, _OVER_TOP = math.radians(154), math.radians(-10)
_BOWL_PLACES: dict[str, Skill] = {
    # Bowl and plate may have caught in each other as they fell: drawn apart first.
    "between the plate and the ramekin": _to_plate(BEHIND, aside=(-0.06, 0.0, 0.01)),
    "next to the ramekin": _to_plate(LEFT),
    "from table center": _to_plate(LEFT),
    "on the cookie box": _to_plate(LEFT),
    "in the top drawer of the wooden cabinet": _to_plate(
        _ALONG_FRONT, _OVER_TOP, above=0.22
    ),
    "on the ramekin": _to_plate(LEFT),
    "next to the cookie box": _to_plate(BEHIND),  # further off, the arm is too short
    "on the stove": _to_plate(LEFT),
    "next to the plate": _to_plate(RIGHT),
    "on the wooden cabinet": _to_plate(BEHIND, above=0.22),
}
BOWL_ON_PLATE: dict[str, Skill] = {
    f"pick up the black bowl {place} and place it on the plate": skill
    for place, skill in _BOWL_PLACES.items()
}

_LEAN = math.radians(50)  # away from the open drawer above the bowl
_CLEAR_OF_DRAWER = Waypoint(
    WORLD,
    (-0.2, 0.1, 1.05),
    hand=(0.0, _LEAN, math.pi / 2),
    tolerance=0.05,
    angle_tolerance=0.2,
)
_DOWN_THE_RACK = (math.radians(59), 0.0, 0.0)  # the bottle lies along its slope

GOALS: dict[str, Skill] = {
    "open the middle drawer of the cabinet": articulated.open_drawer(
        _CABINET, "middle_level"
    ),
    "put the bowl on the stove": carry(bowl(LEFT), STOVE, (0.15, 0.0, 0.034)),
    "put the wine bottle on top of the cabinet": carry(
        WINE_BOTTLE, _CABINET, _ON_CABINET, lift=0.28
    ),
    "open the top drawer and put the bowl inside": (
        *articulated.open_drawer(_CABINET, "top_level"),
        _CLEAR_OF_DRAWER,
        *carry(
            bowl(BEHIND, _LEAN),
            _TOP,
            (0.0, 0.0, 0.165),
            aside=(-0.03, 0.09, 0.03),
            lift=0.25,
        ),
    ),
    "put the bowl on top of the cabinet": carry(
        bowl(LEFT), _CABINET, _ON_CABINET, lift=0.28
    ),
    "push the plate to the front of the stove": push(
        PLATE, to=(-0.05, 0.215, 0.9), rim=0.022, yaw=math.radians(70)
    ),
    "put the cream cheese in the bowl": carry(
        CREAM_CHEESE,
        BOWL,
        (0.0, 0.0, 0.07),
        lift=0.13,
    ),
    "turn on the stove": articulated.turn_knob(f"{STOVE}_button"),
    "put the bowl on the plate": _to_plate(LEFT),
    "put the wine bottle on the rack": carry(
        WINE_BOTTLE,
        "wine_rack_1",
        (0.05, 0.06, 0.24),
        lift=0.25,
        above=0.1,
        frame=FIXED,
        hand=_DOWN_THE_RACK,
    ),
}
