"""What categories look like where their collision shapes would not convince.

A look is a list of render-only primitives, or the materials of the collision shapes in
their order. Everything else is drawn as it collides, in the material of its name.
"""

from typing import NamedTuple

from omnivla_jax.sim.primitives import (
    Primitive,
    box_between,
    capsule,
    cone_wall,
    cylinder,
)

_DRAWER_MATERIALS = ("drawer",) + ("plain",) * 4 + ("handle",) * 3


class Look(NamedTuple):
    """How one part is drawn."""

    shapes: tuple[Primitive, ...] = ()  # () keeps the collision shapes
    materials: tuple[str, ...] = ()  # of the collision shapes; the last one repeats


_CABINET = {
    "": Look(materials=("wood",)),
    "top_level": Look(materials=_DRAWER_MATERIALS),
    "middle_level": Look(materials=_DRAWER_MATERIALS),
    "bottom_level": Look(materials=_DRAWER_MATERIALS),
}
LOOKS: dict[str, dict[str, Look]] = {
    "akita_black_bowl": {"": Look(materials=("bowl",))},
    "plate": {
        "": Look(
            (cylinder((0, 0, 0.001), (0, 0, 0.0056), 0.034, "plate"),)
            + cone_wall((0.0302, 0.0008), (0.0664, 0.0141), 0.0025, "plate_rim")
        )
    },
    "wine_bottle": {
        "": Look(
            (
                cylinder((0, 0, 0.0012), (0, 0, 0.07), 0.021, "bottle"),
                capsule((0, 0, 0.068), (0, 0, 0.09), 0.0125, "bottle"),
                cylinder((0, 0, 0.09), (0, 0, 0.158), 0.0078, "bottle"),
                cylinder((0, 0, 0.022), (0, 0, 0.055), 0.0214, "label"),
            )
        )
    },
    "wooden_cabinet": _CABINET,
    "white_cabinet": _CABINET,
    "flat_stove": {
        "": Look(
            (
                box_between((0.055, -0.095, -0.02), (0.245, 0.095, 0.0255), "stove"),
                cylinder((0.15, 0, 0.0255), (0.15, 0, 0.0268), 0.0625, "burner"),
            )
        ),
        "button": Look(
            (
                cylinder(
                    (0.0013, 0.0045, 0.0), (0.0013, 0.0045, 0.0128), 0.046, "knob"
                ),
                box_between(
                    (-0.011, -0.0407, 0.0128), (0.0137, 0.052, 0.045), "knob_mark"
                ),
            )
        ),
    },
    "wine_rack": {"": Look(materials=("rack",))},
}


def shapes(
    category: str, part: str, collision: tuple[Primitive, ...]
) -> tuple[Primitive, ...]:
    """The primitives that draw a part whose collision shapes are `collision`."""
    look = LOOKS.get(category, {}).get(part, Look())
    if look.shapes:
        return look.shapes
    if not look.materials:
        return collision
    last = len(look.materials) - 1
    return tuple(
        shape._replace(material=look.materials[min(index, last)])
        for index, shape in enumerate(collision)
    )
