"""Which skills solve which task.

Directions in the world: the robot looks along +x, +y is its left. Lengths in m.
"""

import math

from omnivla_jax.world.expert import furniture, grasps, places
from omnivla_jax.world.expert.phases import FOREVER, WORLD, Phase, Script, rest

_LEFT, _RIGHT, _AHEAD, _BEHIND = math.pi / 2, -math.pi / 2, 0.0, math.pi
_BOWL, _PLATE = "akita_black_bowl", "plate"
_STOVE, _CABINET = "flat_stove", "wooden_cabinet"
_BOTTLE, _CHEESE = "wine_bottle", "cream_cheese"

_CABINET_TOP = 0.223


def _bowl(side: float, lean: float = 0.0) -> grasps.Grasp:
    height = 0.044 if lean else 0.036  # leaning, the inner finger's corner is lower
    return grasps.grasp_rim(_BOWL, radius=0.047, height=height, side=side, lean=lean)


def _cheese() -> grasps.Grasp:
    return grasps.grasp_across(_CHEESE, axis="x", height=0.003)


def _bottle() -> grasps.Grasp:
    return grasps.grasp_across(_BOTTLE, axis="x", height=0.13)


_PLATE_YAW = math.radians(70)


def _push_plate() -> Script:
    hand = (0.0, 0.0, _PLATE_YAW)
    over = Phase(_PLATE, (0, 0, 0.022), hand=hand)
    press = over._replace(press=-0.15)
    return (
        over._replace(offset=(0, 0, 0.07), tolerance=0.02),
        over._replace(tolerance=0.004, at_most=16),
        press._replace(at_least=4, at_most=4),
        press._replace(
            anchor=WORLD,
            offset=(-0.05, 0.215, 0.9),
            moved=_PLATE,
            speed=0.7,
            tolerance=0.0,
            at_most=FOREVER,
            held=_PLATE,
            reach=0.075,
            back=3,
        ),
    )


_LEAN = math.radians(50)
_AWAY_FROM_DRAWER = Phase(
    WORLD, (-0.2, 0.1, 1.05), hand=(0, _LEAN, math.pi / 2), tolerance=0.05, turned=0.2
)

_GOAL: dict[str, Script] = {
    "open the middle drawer of the cabinet": (
        furniture.open_drawer(_CABINET, f"{_CABINET}/middle", handle=0.1143)
    ),
    "put the bowl on the stove": places.carry(_bowl(_LEFT), _STOVE, (0.15, 0, 0.034)),
    "put the wine bottle on top of the cabinet": places.carry(
        _bottle(), _CABINET, (0, 0, _CABINET_TOP + 0.003), lift=0.28
    ),
    "open the top drawer and put the bowl inside": (
        furniture.open_drawer(_CABINET, f"{_CABINET}/top", handle=0.184)
        + (_AWAY_FROM_DRAWER,)
        + places.carry(
            _bowl(_BEHIND, _LEAN),
            f"{_CABINET}/top",
            (0, 0, 0.165),
            aside=(-0.03, 0.09, 0.03),
            lift=0.25,
        )
    ),
    "put the bowl on top of the cabinet": places.carry(
        _bowl(_LEFT), _CABINET, (0, 0, _CABINET_TOP + 0.003), lift=0.28
    ),
    "push the plate to the front of the stove": _push_plate(),
    "put the cream cheese in the bowl": places.carry(
        _cheese(), _BOWL, (0, 0, 0.07), lift=0.13
    ),
    "turn on the stove": furniture.turn_knob(f"{_STOVE}/knob"),
    "put the bowl on the plate": places.carry(_bowl(_LEFT), _PLATE, (0, 0, 0.012)),
    "put the wine bottle on the rack": places.carry(
        _bottle(),
        "wine_rack",
        (0.05, 0.06, 0.24),
        lift=0.25,
        above=0.1,
        frame="fixed",
        hand=(math.radians(59), 0.0, 0.0),
    ),
}

SCRIPTS: dict[str, Script] = {
    instruction: script + (rest(),) for instruction, script in _GOAL.items()
}
