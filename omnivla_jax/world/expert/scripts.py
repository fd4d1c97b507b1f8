"""Which skills solve which task.

Directions in the world: the robot looks along +x, +y is its left. Lengths in m.
"""

import math
from typing import Any

from omnivla_jax.world.expert import furniture, grasps, places
from omnivla_jax.world.expert.phases import CLOSED, OPEN, FOREVER, WORLD, Phase, Script, rest, rise, wait

_LEFT, _RIGHT, _AHEAD, _BEHIND = math.pi / 2, -math.pi / 2, 0.0, math.pi
_BOWL, _PLATE = "akita_black_bowl_1", "plate_1"
_STOVE, _CABINET = "flat_stove_1", "wooden_cabinet_1"
_BOTTLE, _CHEESE = "wine_bottle_1", "cream_cheese_1"

_CABINET_TOP = 0.223


def _bowl(side: float, lean: float = 0.0) -> grasps.Grasp:
    height = 0.032 + 0.012 * math.sin(lean)  # the inner finger's corner is lower then
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

def _to_plate(side: float, lean: float = 0.0, **way: Any) -> Script:
    return places.carry(_bowl(side, lean), _PLATE, (0, 0, 0.012), **way)


_IN_DRAWER = math.radians(154)  # along the front of the cabinet, which stands askew
_BOWL_PLACES: dict[str, Script] = {
    # Bowl and plate may have caught in each other when they fell: drawn apart first.
    "between the plate and the ramekin": _to_plate(_BEHIND, aside=(-0.06, 0, 0.01)),
    "next to the ramekin": _to_plate(_LEFT),
    "from table center": _to_plate(_LEFT),
    "on the cookie box": _to_plate(_LEFT),
    "in the top drawer of the wooden cabinet": _to_plate(_IN_DRAWER, above=0.22),
    "on the ramekin": _to_plate(_LEFT),
    "next to the cookie box": _to_plate(_BEHIND),
    "on the stove": _to_plate(_LEFT),
    "next to the plate": _to_plate(_RIGHT),
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

def _can(item: str, yaw: float, x: float) -> Script:
    grip = grasps.grasp_across(
        item, axis="x", height=_CAN, yaw=math.radians(yaw), approach=0.1
    )
    return places.carry(grip, _BASKET, (x, 0, 0.115), lift=0.17, above=0.08)


def _flat(item: str, yaw: float, x: float, shift: float = 0.0) -> Script:
    grip = grasps.grasp(
        item,
        (shift, 0, _BOX),
        frame="x",
        hand=(0, 0, math.radians(yaw)),
        approach=0.15,
    )
    return places.carry(grip, _BASKET, (x, 0, 0.125), lift=0.2, above=0.07)


def _mug(item: str, center: float, radius: float, side: float) -> grasps.Grasp:
    grip = (center + radius * math.cos(side), radius * math.sin(side), 0.09)
    return grasps.grasp(item, grip, frame="x", hand=(0, 0, side - math.pi / 2))


def _white_mug() -> grasps.Grasp:
    return _mug("porcelain_mug_1", 0.0125, 0.044, 0.0)


def _yellow_mug() -> grasps.Grasp:
    return _mug("white_yellow_mug_1", -0.0185, 0.050, math.pi)


def _bowl_into_drawer() -> Script:
    cabinet, drawer = "white_cabinet_1", "white_cabinet_1_bottom_level"
    return places.carry(
        _bowl(math.radians(195)), drawer, (0, -0.01, 0.024), lift=0.1, above=0.1
    ) + furniture.close_drawer(cabinet, drawer, handle=0.0457)


def _book_into_caddy() -> Script:
    grip = grasps.grasp(
        "black_book_1", (-0.012, 0, 0.115), frame="y", hand=(0, 0, 0)
    )
    return places.carry(
        grip,
        "desk_caddy_1",
        (-0.034, -0.012, 0.07),
        lift=0.2,
        above=0.15,
        frame="fixed",
        hand=(0, 0, -math.pi / 2),
    )


def _mug_into_microwave() -> Script:
    oven, door = "microwave_1", "microwave_1_microjoint"
    grip = grasps.grasp(
        "white_yellow_mug_1",
        (0.055, 0, 0.076),
        frame="x",
        hand=(0, 0, 0),
        approach=0.16,
    )
    inside = Phase(
        oven,
        (-0.016, -0.064, 0.04),
        CLOSED,
        moved="white_yellow_mug_1",
        frame="x",
        hand=(0, 0, -math.pi / 2),
    )
    return (
        grip.rows
        + (
            rise(0.12, CLOSED),
            inside._replace(offset=(-0.016, -0.2, 0.12), tolerance=0.02, turned=0.15),
            inside._replace(offset=(-0.016, -0.2, 0.042), tolerance=0.01),
            inside._replace(speed=0.6, tolerance=0.005, at_most=30),
            inside._replace(offset=(-0.016, -0.064, 0.024), speed=0.5, at_most=10),
            wait(OPEN, 8),
            rise(0.0, OPEN)._replace(offset=(0, -0.1, 0)),
            rise(0.15, OPEN),
        )
        + furniture.close_door(door)
    )


_POT = "moka_pot_1"


def _pot(item: str, x: float, y: float) -> Script:
    grip = grasps.grasp(item, (0, -0.001, 0.076), frame="x", hand=(0, 0, 0), approach=0.05)
    return places.carry(grip, _STOVE, (x, y, 0.095), lift=0.06, above=0.06)


_LIVING = {
    "put both the alphabet soup and the tomato sauce in the basket": (
        _can("alphabet_soup_1", -30, -0.03) + _can("tomato_sauce_1", 60, 0.03)
    ),
    "put both the cream cheese box and the butter in the basket": (
        _flat("butter_1", 0, 0.03) + _flat("cream_cheese_1", -19, -0.03)
    ),
    "put both the alphabet soup and the cream cheese box in the basket": (
        _can("alphabet_soup_1", -60, 0.03) + _flat("cream_cheese_1", 0, -0.03)
    ),
    "put both moka pots on the stove": (
        _pot("moka_pot_1", 0.105, 0.0) + _pot("moka_pot_2", 0.195, 0.0)
    ),
    "put the white mug on the left plate and put the yellow and white mug on the "
    "right plate": (
        places.carry(_white_mug(), "plate_1", (0, 0, 0.006), lift=0.15, above=0.08)
        + places.carry(_yellow_mug(), "plate_2", (0, 0, 0.006), lift=0.15, above=0.08)
    ),
    "put the white mug on the plate and put the chocolate pudding to the right of the "
    "plate": (
        places.carry(
            grasps.grasp_across(
                "chocolate_pudding_1", axis="x", height=_BOX, approach=0.15
            ),
            WORLD,
            (0.15, 0.122, 0.453),
            lift=0.1,
        )
        + places.carry(_white_mug(), "plate_1", (0, 0, 0.006), lift=0.15, above=0.08)
    ),
    "put the black bowl in the bottom drawer of the cabinet and close it": (
        _bowl_into_drawer()
    ),
    "pick up the book and place it in the back compartment of the caddy": (
        _book_into_caddy()
    ),
    "put the yellow and white mug in the microwave and close it": (
        _mug_into_microwave()
    ),
    "turn on the stove and put the moka pot on it": (
        furniture.turn_knob(f"{_STOVE}_button") + _pot("moka_pot_1", 0.15, 0.0)
    ),
}

SCRIPTS: dict[str, Script] = {
    instruction: script + (rest(),)
    for suite in (_SPATIAL, _OBJECT, _GOAL, _LIVING)
    for instruction, script in suite.items()
}
