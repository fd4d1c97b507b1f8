"""Grasps of LIBERO's objects. Lengths in m, angles in rad.

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
_YELLOW_MUG = "white_yellow_mug_1"

CREAM_CHEESE = grasp_across("cream_cheese_1", (0.0, 0.0, _FLAT), approach=0.07)
PUDDING = grasp_across("chocolate_pudding_1", (0.0, 0.0, _FLAT), approach=0.15)
BOOK = grasp_across("black_book_1", (-0.012, 0.0, 0.115), axis="y")  # standing, spine
WINE_BOTTLE = grasp_across("wine_bottle_1", (0.0, 0.0, 0.13))  # by its neck
# Mugs by the wall opposite their handles, or by the handle's upper bar.
WHITE_MUG = grasp_wall("porcelain_mug_1", center=0.0125, radius=0.044, side=AHEAD)
YELLOW_MUG = grasp_wall(_YELLOW_MUG, center=-0.0185, radius=0.05, side=BEHIND)
YELLOW_MUG_HANDLE = grasp_across(_YELLOW_MUG, (0.055, 0.0, 0.076), approach=0.16)


def bowl(side: float, lean: float = 0.0, *, higher: float = 0.0) -> Grasp:
    """Grasp a bowl by its rim, from a direction in the world; see `grasp_rim`.

    Leaning, the inner finger's lower corner needs more height: forwards it is added,
    backwards `higher` (m) says how much.

    Args:
      side: rad, direction in the world from the bowl's axis to the gripped wall.
      lean: rad, of the hand along the wall.
      higher: m, added to the grip's height.

    Returns:
      The grasp, relative to the bowl.
    """
    height = 0.032 + 0.012 * math.sin(lean) + higher
    return grasp_rim(BOWL, radius=0.047, height=height, side=side, lean=lean)
