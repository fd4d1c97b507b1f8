"""The other skills of libero_10: mugs, pots, a book. Lengths in m, angles in rad."""

import math

from omnivla_jax.world.expert import articulated
from omnivla_jax.world.expert.grasps import grasp_across
from omnivla_jax.world.expert.placing import carry, with_slip_recovery
from omnivla_jax.world.expert.skills.grasp_presets import (
    BOOK,
    PUDDING,
    STOVE,
    WHITE_MUG,
    YELLOW_MUG,
    YELLOW_MUG_HANDLE,
    bowl,
)
from omnivla_jax.world.expert.waypoints import (
    CLOSED,
    FIXED,
    OPEN,
    WORLD,
    Skill,
    Waypoint,
    rise,
    wait,
)

_ON_PLATE = (0.0, 0.0, 0.006)


_WHITE_MUG_ON_PLATE = carry(WHITE_MUG, "plate_1", _ON_PLATE, lift=0.15, above=0.08)
_AWAY_FROM_BOTTLE = math.radians(195)
_AWAY_FROM_CABINET = math.radians(-15)  # the forearm, when the hand is in the drawer


def _pot_on_stove(name: str, ahead: float) -> Skill:
    """Grasp a moka pot by its lid's button and carry it `ahead` of the stove's origin.

    The burner's middle is at 0.15.
    """
    pot = grasp_across(name, (0.0, -0.001, 0.076), approach=0.05)
    return carry(pot, STOVE, (ahead, 0.0, 0.095), lift=0.06, above=0.06)


def _mug_into_microwave() -> Skill:
    """Place the mug as deep as the roof permits; the door pushes it further."""
    x, outside, inside = -0.016, -0.2, -0.064
    over_floor, on_floor = 0.04, 0.024
    held = YELLOW_MUG_HANDLE
    there = Waypoint(
        "microwave_1",
        (x, inside, over_floor),
        CLOSED,
        moved=held.body,
        frame="x",
        hand=(0.0, 0.0, -math.pi / 2),
    )
    way = (
        rise(0.12, CLOSED),
        there._replace(offset=(x, outside, 0.12), tolerance=0.02, angle_tolerance=0.15),
        there._replace(offset=(x, outside, over_floor)),
        there._replace(speed=0.6, tolerance=0.005, max_steps=30),
        there._replace(offset=(x, inside, on_floor), speed=0.5, max_steps=10),
    )
    retreat = rise(0.0, OPEN)._replace(offset=(0.0, -0.1, 0.0))
    return (
        *held.waypoints,
        *with_slip_recovery(held, way),
        wait(OPEN, 8),
        retreat,
        rise(0.15, OPEN),
        *articulated.close_door("microwave_1_microjoint"),
    )


LONG_HORIZON: dict[str, Skill] = {
    "turn on the stove and put the moka pot on it": (
        *articulated.turn_knob(f"{STOVE}_button"),
        *_pot_on_stove("moka_pot_1", 0.15),
    ),
    "put the black bowl in the bottom drawer of the cabinet and close it": (
        *carry(
            bowl(_AWAY_FROM_BOTTLE, _AWAY_FROM_CABINET, higher=0.0062),
            "white_cabinet_1_bottom_level",
            (0.0, -0.01, 0.024),
            lift=0.1,
            above=0.1,
        ),
        *articulated.close_drawer("white_cabinet_1", "bottom_level"),
    ),
    "put the white mug on the left plate and put the yellow and white mug on the "
    "right plate": (
        *_WHITE_MUG_ON_PLATE,
        *carry(YELLOW_MUG, "plate_2", _ON_PLATE, lift=0.15, above=0.08),
    ),
    "pick up the book and place it in the back compartment of the caddy": carry(
        BOOK,
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
            PUDDING,
            WORLD,
            (0.15, 0.122, 0.453),
            lift=0.1,
        ),
        *_WHITE_MUG_ON_PLATE,
    ),
    "put both moka pots on the stove": (
        *_pot_on_stove("moka_pot_1", 0.105),
        *_pot_on_stove("moka_pot_2", 0.195),
    ),
    "put the yellow and white mug in the microwave and close it": (
        _mug_into_microwave()
    ),
}
