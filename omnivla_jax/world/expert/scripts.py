"""Which skills solve which task.

Directions in the world: the robot looks along +x, +y is its left. Lengths in m.
"""

import math
from typing import Any

from omnivla_jax.world.expert import furniture, grasps, places
from omnivla_jax.world.expert.phases import FOREVER, WORLD, Phase, Script, rest

_LEFT, _RIGHT, _AHEAD, _BEHIND = math.pi / 2, -math.pi / 2, 0.0, math.pi
_BOWL, _PLATE = "akita_black_bowl_1", "plate_1"
_STOVE, _CABINET = "flat_stove_1", "wooden_cabinet_1"
_BOTTLE, _CHEESE = "wine_bottle_1", "cream_cheese_1"

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
        furniture.open_drawer(_CABINET, f"{_CABINET}_middle_level", handle=0.1143)
    ),
    "put the bowl on the stove": places.carry(_bowl(_LEFT), _STOVE, (0.15, 0, 0.034)),
    "put the wine bottle on top of the cabinet": places.carry(
        _bottle(), _CABINET, (0, 0, _CABINET_TOP + 0.003), lift=0.28
    ),
    "open the top drawer and put the bowl inside": (
        furniture.open_drawer(_CABINET, f"{_CABINET}_top_level", handle=0.184)
        + (_AWAY_FROM_DRAWER,)
        + places.carry(
            _bowl(_BEHIND, _LEAN),
            f"{_CABINET}_top_level",
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
    "turn on the stove": furniture.turn_knob(f"{_STOVE}_button"),
    "put the bowl on the plate": places.carry(_bowl(_LEFT), _PLATE, (0, 0, 0.012)),
    "put the wine bottle on the rack": places.carry(
        _bottle(),
        "wine_rack_1",
        (0.05, 0.06, 0.24),
        lift=0.25,
        above=0.1,
        frame="fixed",
        hand=(math.radians(59), 0.0, 0.0),
    ),
}

def _to_plate(side: float, **way: Any) -> Script:
    return places.carry(_bowl(side), _PLATE, (0, 0, 0.012), **way)


_IN_DRAWER = math.radians(-26)  # along the front of the cabinet, which stands askew
_BOWL_PLACES: dict[str, Script] = {
    # Bowl and plate may have caught in each other when they fell: drawn apart first.
    "between the plate and the ramekin": _to_plate(_LEFT, aside=(-0.06, 0, 0.01)),
    "next to the ramekin": _to_plate(_LEFT),
    "from table center": _to_plate(_LEFT),
    "on the cookie box": _to_plate(_LEFT),
    "in the top drawer of the wooden cabinet": _to_plate(_IN_DRAWER, above=0.22),
    "on the ramekin": _to_plate(_LEFT),
    "next to the cookie box": _to_plate(_BEHIND),
    "on the stove": _to_plate(_LEFT),
    "next to the plate": _to_plate(_LEFT),
    "on the wooden cabinet": _to_plate(_LEFT, above=0.22),
}
_SPATIAL = {
    f"pick up the black bowl {place} and place it on the plate": script
    for place, script in _BOWL_PLACES.items()
}


def _into_basket(
    item: str, height: float, *, yaw: float = 0.0, approach: float = 0.07
) -> Script:
    grip = grasps.grasp_across(
        item, axis="x", height=height, yaw=math.radians(yaw), approach=approach
    )
    return places.carry(grip, _BASKET, (0, 0, 0.125), lift=0.2, above=0.11)


_BASKET = "basket_1"
_BOX, _CAN, _BOTTLE_NECK = 0.003, 0.012, 0.045
_FLOOR_ITEMS: dict[str, Script] = {
    "alphabet soup": _into_basket("alphabet_soup_1", _CAN, approach=0.1),
    "cream cheese": _into_basket("cream_cheese_1", _BOX, yaw=-25, approach=0.15),
    "salad dressing": _into_basket("salad_dressing_1", _BOTTLE_NECK),
    "bbq sauce": _into_basket("bbq_sauce_1", 0.03),
    "ketchup": _into_basket("ketchup_1", _BOTTLE_NECK),
    "tomato sauce": _into_basket("tomato_sauce_1", _CAN, yaw=-63, approach=0.1),
    "butter": _into_basket("butter_1", _BOX, approach=0.15),
    "milk": _into_basket("milk_1", 0.04),
    "chocolate pudding": _into_basket("chocolate_pudding_1", _BOX, approach=0.15),
    "orange juice": _into_basket("orange_juice_1", 0.04),
}
_OBJECT = {
    f"pick up the {item} and place it in the basket": script
    for item, script in _FLOOR_ITEMS.items()
}

SCRIPTS: dict[str, Script] = {
    instruction: script + (rest(),)
    for suite in (_SPATIAL, _OBJECT, _GOAL)
    for instruction, script in suite.items()
}
