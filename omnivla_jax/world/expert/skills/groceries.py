"""Skills that fill baskets: libero_object and the living room. Lengths in m.

The fingers' axis is chosen so that no tall neighbour stands under the wide hand.
"""

import math
from typing import NamedTuple

from omnivla_jax.world.expert.grasps import grasp_across
from omnivla_jax.world.expert.placing import carry
from omnivla_jax.world.expert.waypoints import FIXED, KEPT, Skill

_OVER_NEIGHBOURS = 0.17  # the grip site above the ground: clears upright bottles
_OVER_RIM = 0.16  # an object's lower end above the ground
_RELEASE = 0.125  # its origin above the basket's: the hand stays above the rim


class GroceryShape(NamedTuple):
    """Heights of a category below and above its origin, m."""

    low: float  # from the lower end to the origin
    grip: float  # from the origin to the grip site


_BOX, _CAN = GroceryShape(0.009, 0.003), GroceryShape(0.038, 0.017)
_BOTTLE, _CARTON = GroceryShape(0.073, 0.045), GroceryShape(0.07, 0.04)
GROCERIES = {
    "alphabet soup": _CAN,
    "bbq sauce": GroceryShape(0.055, 0.03),
    "butter": _BOX,
    "chocolate pudding": GroceryShape(0.0135, 0.003),
    "cream cheese": _BOX,
    "ketchup": _BOTTLE,
    "milk": _CARTON,
    "orange juice": _CARTON,
    "salad dressing": _BOTTLE,
    "tomato sauce": _CAN,
}


def _into_basket(
    name: str,
    yaw: float = 0.0,
    *,
    aside: tuple[float, float] | None = None,
    along: float = 0.0,
) -> Skill:
    """Drop a grocery into the basket.

    Args:
      name: a key of GROCERIES.
      yaw: of the hand from the grocery's short side, degrees.
      aside: x and y from the basket's middle, the fingers then across that way: along
        it, the outer one would press on the rim; None: in the middle, the hand turned
        as for the grasp.
      along: offset of the grip along the grocery's long side.
    """
    shape = GROCERIES[name]
    held = grasp_across(
        name.replace(" ", "_") + "_1",
        (along, 0.0, shape.grip),
        yaw=math.radians(yaw),
        approach=_OVER_NEIGHBOURS - shape.low - shape.grip,
    )
    x, y = aside or (0.0, 0.0)
    return carry(
        held,
        "basket_1",
        (x, y, _RELEASE),
        lift=_OVER_RIM,
        above=_OVER_RIM + shape.low - _RELEASE,
        frame=KEPT if aside is None else FIXED,
        hand=(0.0, 0.0, math.remainder(math.atan2(y, x), math.pi)),
    )


_YAWS = {"cream cheese": -25.0, "tomato sauce": -63.0}
ON_THE_FLOOR: dict[str, Skill] = {
    f"pick up the {name} and place it in the basket": _into_basket(
        name, _YAWS.get(name, 0.0)
    )
    for name in GROCERIES
}
ON_THE_TABLE: dict[str, Skill] = {
    "put both the alphabet soup and the tomato sauce in the basket": (
        # Two cans of 62 mm: side by side they fill the basket from wall to wall.
        *_into_basket("alphabet soup", -30.0, aside=(-0.026, 0.026)),
        *_into_basket("tomato sauce", 60.0, aside=(0.026, -0.026)),
    ),
    "put both the cream cheese box and the butter in the basket": (
        *_into_basket("butter", -38.0, aside=(0.03, 0.0), along=-0.015),
        *_into_basket("cream cheese", -19.0, aside=(-0.03, 0.0), along=-0.015),
    ),
    "put both the alphabet soup and the cream cheese box in the basket": (
        *_into_basket("alphabet soup", -60.0, aside=(0.03, 0.0)),
        *_into_basket("cream cheese", aside=(-0.03, 0.0)),
    ),
}
