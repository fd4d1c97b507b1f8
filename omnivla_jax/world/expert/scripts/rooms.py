"""The other scripts of libero_10: mugs, pots, a book. Lengths in m, angles in rad."""

import math

from omnivla_jax.world.expert import furniture
from omnivla_jax.world.expert.phases import (
    CLOSED,
    FIXED,
    OPEN,
    WORLD,
    Phase,
    Script,
    rise,
    wait,
)
from omnivla_jax.world.expert.places import carry, watched
from omnivla_jax.world.expert.scripts import items
from omnivla_jax.world.expert.scripts.items import STOVE, bowl

_ON_PLATE = (0.0, 0.0, 0.006)


def _pot_on_stove(name: str, ahead: float) -> Script:
    """The burner's middle is 0.15 ahead of the stove's origin."""
    there = (ahead, 0.0, 0.095)
    return carry(items.moka_pot(name), STOVE, there, lift=0.06, above=0.06)


def _white_mug_on_plate() -> Script:
    return carry(items.white_mug(), "plate_1", _ON_PLATE, lift=0.15, above=0.08)


def _bowl_into_bottom_drawer() -> Script:
    cabinet, level = "white_cabinet_1", "bottom_level"
    side = math.radians(195)  # away from the wine bottle
    return (
        *carry(
            bowl(side),
            f"{cabinet}_{level}",
            (0.0, -0.01, 0.024),
            lift=0.1,
            above=0.1,
        ),
        *furniture.close_drawer(cabinet, level),
    )


def _mug_into_microwave() -> Script:
    """As deep as the hand can go in front of the roof; the door pushes it further."""
    x, outside, inside = -0.016, -0.2, -0.064
    over_floor, on_floor = 0.04, 0.024
    held = items.yellow_mug_handle()
    there = Phase(
        "microwave_1",
        (x, inside, over_floor),
        CLOSED,
        moved=held.body,
        frame="x",
        hand=(0.0, 0.0, -math.pi / 2),
    )
    way = (
        rise(0.12, CLOSED),
        there._replace(offset=(x, outside, 0.12), tolerance=0.02, turned=0.15),
        there._replace(offset=(x, outside, over_floor)),
        there._replace(speed=0.6, tolerance=0.005, at_most=30),
        there._replace(offset=(x, inside, on_floor), speed=0.5, at_most=10),
    )
    back = rise(0.0, OPEN)._replace(offset=(0.0, -0.1, 0.0))
    return (
        *held.rows,
        *watched(held, way),
        wait(OPEN, 8),
        back,
        rise(0.15, OPEN),
        *furniture.close_door("microwave_1_microjoint"),
    )


LONG: dict[str, Script] = {
    "turn on the stove and put the moka pot on it": (
        *furniture.turn_knob(f"{STOVE}_button"),
        *_pot_on_stove("moka_pot_1", 0.15),
    ),
    "put the black bowl in the bottom drawer of the cabinet and close it": (
        _bowl_into_bottom_drawer()
    ),
    "put the white mug on the left plate and put the yellow and white mug on the "
    "right plate": (
        *_white_mug_on_plate(),
        *carry(items.yellow_mug(), "plate_2", _ON_PLATE, lift=0.15, above=0.08),
    ),
    "pick up the book and place it in the back compartment of the caddy": carry(
        items.book(),
        "desk_caddy_1",
        (-0.034, -0.012, 0.07),
        lift=0.2,
        above=0.15,
        frame=FIXED,
        hand=(0.0, 0.0, -math.pi / 2),
    ),
    # The pudding first: the mug's handle would be in the hand's way.
    "put the white mug on the plate and put the chocolate pudding to the right of the "
    "plate": (
        *carry(
            items.flat_box("chocolate_pudding_1", approach=0.15),
            WORLD,
            (0.15, 0.122, 0.453),
            lift=0.1,
        ),
        *_white_mug_on_plate(),
    ),
    "put both moka pots on the stove": (
        *_pot_on_stove("moka_pot_1", 0.105),
        *_pot_on_stove("moka_pot_2", 0.195),
    ),
    "put the yellow and white mug in the microwave and close it": (
        _mug_into_microwave()
    ),
}
