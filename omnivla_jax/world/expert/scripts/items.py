"""How each object is taken. Lengths in m, angles in rad; sizes are LIBERO's.

Directions in the world: the robot looks along +x, +y is on its left.
"""

import math

from omnivla_jax.world.expert.grasps import (
    Grasp,
    grasp_across,
    grasp_rim,
    grasp_wall,
)

LEFT, RIGHT, AHEAD, BEHIND = math.pi / 2, -math.pi / 2, 0.0, math.pi
BOWL, PLATE, STOVE = "akita_black_bowl_1", "plate_1", "flat_stove_1"
_FLAT = 0.003  # the grip site above the middle of a flat box: tips clear the table


def bowl(side: float, lean: float = 0.0) -> Grasp:
    """By its rim; leaning, the inner finger's lower corner needs room."""
    height = 0.032 + 0.012 * math.sin(lean)
    return grasp_rim(BOWL, radius=0.047, height=height, side=side, lean=lean)


def flat_box(name: str, approach: float, yaw: float = 0.0, along: float = 0.0) -> Grasp:
    """Across its short side, turned by `yaw` and moved `along` its long one."""
    return grasp_across(name, (along, 0.0, _FLAT), yaw=yaw, approach=approach)


def wine_bottle() -> Grasp:
    """By its neck."""
    return grasp_across("wine_bottle_1", (0.0, 0.0, 0.13))


def white_mug() -> Grasp:
    """By the wall opposite its handle."""
    return grasp_wall("porcelain_mug_1", center=0.0125, radius=0.044, side=AHEAD)


def yellow_mug() -> Grasp:
    """By the wall opposite its handle."""
    return grasp_wall("white_yellow_mug_1", center=-0.0185, radius=0.05, side=BEHIND)


def yellow_mug_handle() -> Grasp:
    """By the upper bar of its handle."""
    return grasp_across("white_yellow_mug_1", (0.055, 0.0, 0.076), approach=0.16)


def moka_pot(name: str) -> Grasp:
    """By the button of its lid."""
    return grasp_across(name, (0.0, -0.001, 0.076), approach=0.05)


def book() -> Grasp:
    """By its spine's upper end, standing."""
    return grasp_across("black_book_1", (-0.012, 0.0, 0.115), axis="y")
