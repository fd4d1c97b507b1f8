"""What fixtures, the basket and the book look like, part by part. Lengths in m.

A part is drawn by shapes of its own, or as it collides, in other materials.
"""

from typing import NamedTuple

import mujoco
import numpy as np

from omnivla_jax.sim.assets.primitives import (
    Primitive,
    box,
    box_between,
    capsule,
    cone,
    cylinder,
)


class Look(NamedTuple):
    """How one part is drawn."""

    shapes: tuple[Primitive, ...] = ()  # instead of the collision shapes, or
    materials: tuple[str, ...] = ()  # of the collision shapes; the last one repeats
    extra: tuple[Primitive, ...] = ()  # besides them


def _drawer(middle: float, front: str, inside: str, metal: str) -> Look:
    """A front with a raised panel and a bar handle on two posts; see `z` middle."""
    low, high = (-0.088, -0.0795, middle - 0.022), (0.094, -0.0775, middle + 0.022)
    grip, posts = -0.104, (-0.036, 0.029)
    return Look(
        materials=(front,) + (inside,) * 4 + ("hidden",) * 3,
        extra=(
            box_between(low, high, f"{front}_panel"),
            capsule((-0.045, grip, middle), (0.038, grip, middle), 0.006, metal),
            *(
                cylinder((x, -0.078, middle), (x, grip, middle), 0.004, metal)
                for x in posts
            ),
        ),
    )


def _cabinet(wood: str, front: str, inside: str, metal: str) -> dict[str, Look]:
    top = box_between((-0.127, -0.084, 0.2195), (0.135, 0.114, 0.2245), f"{wood}_top")
    return {
        "": Look(materials=("hidden", *(wood,) * 6), extra=(top,)),
        "top_level": _drawer(0.184, front, inside, metal),
        "middle_level": _drawer(0.114, front, inside, metal),
        "bottom_level": _drawer(0.045, front, inside, metal),
    }


def _slats(
    centre: tuple[float, float, float], quaternion: tuple[float, float, float, float]
) -> tuple[Primitive, ...]:
    """A board of the wine rack as five slats on two rails, in the board's frame."""
    turned = []
    rails = [((-0.007, 0, z), (0.004, 0.079, 0.008)) for z in (-0.1, 0.1)]
    boards = [((0, y, 0), (0.004, 0.0105, 0.134)) for y in (-0.068, -0.034, 0, 0.034)]
    boards.append(((0, 0.068, 0), (0.004, 0.0105, 0.134)))
    unit = np.array(quaternion) / np.linalg.norm(quaternion)
    for offset, half in rails + boards:
        moved = np.zeros(3)
        mujoco.mju_rotVecQuat(moved, np.array(offset, float), unit)
        place = (np.array(centre) + moved).tolist()
        turned.append(box(place, half, "rack", tuple(unit.tolist())))
    return tuple(turned)


_STOVE = (
    box_between((0.055, -0.095, -0.02), (0.245, 0.095, 0.02), "stove"),
    box_between((0.055, -0.095, 0.02), (0.245, 0.095, 0.0245), "stove_top"),
    cylinder((0.15, 0, 0.0245), (0.15, 0, 0.0262), 0.072, "burner_ring"),
    cylinder((0.15, 0, 0.0255), (0.15, 0, 0.0272), 0.0625, "burner"),
)
_KNOB = (
    cylinder((0.0013, 0.0045, 0.0), (0.0013, 0.0045, 0.012), 0.046, "knob_dial"),
    cone((0.0013, 0.0045, 0.012), (0.0013, 0.0045, 0.034), (0.036, 0.03), "knob"),
    box_between((-0.006, -0.0407, 0.02), (0.0087, 0.05, 0.046), "knob_mark"),
)
_MICROWAVE = (
    box_between((0.094, -0.1114, 0.01), (0.168, -0.1094, 0.178), "microwave_panel"),
    box_between((0.102, -0.1126, 0.148), (0.16, -0.1104, 0.17), "display"),
    *(
        box_between((x, -0.1130, z), (x + 0.014, -0.1104, z + 0.011), "button")
        for x in (0.102, 0.124, 0.146)
        for z in (0.128, 0.11, 0.092, 0.074)
    ),
    cylinder((0.131, -0.11, 0.042), (0.131, -0.124, 0.042), 0.019, "knob"),
    box_between((0.129, -0.1255, 0.042), (0.133, -0.122, 0.06), "knob_mark"),
    box_between((-0.144, -0.088, 0.0235), (0.064, 0.081, 0.025), "glass_plate"),
)
_DOOR = (
    box_between((0.022, -0.0275, -0.066), (0.214, -0.024, 0.066), "microwave_window"),
    box_between((0.034, -0.0282, -0.054), (0.202, -0.0262, 0.054), "window_mesh"),
    box_between((0.022, -0.003, -0.066), (0.214, 0.0005, 0.066), "microwave_window"),
)
_BASKET = (
    box_between((-0.081, -0.077, 0.136), (0.084, -0.062, 0.148), "basket_rim"),
    box_between((-0.081, 0.062, 0.136), (0.084, 0.077, 0.148), "basket_rim"),
    box_between((-0.084, -0.077, 0.134), (-0.067, 0.077, 0.146), "basket_rim"),
    box_between((0.068, -0.077, 0.134), (0.085, 0.077, 0.146), "basket_rim"),
)
_BOOK = (
    box_between((-0.0145, -0.067, 0.002), (-0.0115, 0.043, 0.137), "book_cover"),
    box_between((0.0105, -0.067, 0.002), (0.0135, 0.043, 0.137), "book_cover"),
    box_between((-0.0145, -0.067, 0.002), (0.0135, -0.0635, 0.137), "book_cover"),
    box_between((-0.0115, -0.064, 0.0045), (0.0105, 0.040, 0.1345), "pages"),
    box_between((-0.0149, -0.045, 0.08), (0.0139, 0.022, 0.115), "book_title"),
    box_between((-0.0115, -0.0674, 0.03), (0.0105, -0.066, 0.115), "book_title"),
)
LOOKS: dict[str, dict[str, Look]] = {
    "wooden_cabinet": _cabinet("wood", "drawer", "drawer_inside", "handle"),
    "white_cabinet": _cabinet("white_wood", "white_drawer", "drawer_inside", "knob"),
    "flat_stove": {"": Look(_STOVE), "button": Look(_KNOB)},
    "microwave": {
        "": Look(materials=("microwave",), extra=_MICROWAVE),
        "microjoint": Look(materials=("microwave", "knob"), extra=_DOOR),
    },
    "basket": {"": Look(materials=("basket",), extra=_BASKET)},
    "wine_rack": {
        "": Look(
            materials=("hidden", "hidden", "rack_base", "rack"),
            extra=(
                *_slats((0, -0.006, 0.251), (0.681, 0.191, 0.681, 0.191)),
                *_slats((0, -0.043, 0.127), (0.681, 0.191, -0.681, -0.191)),
            ),
        )
    },
    "desk_caddy": {"": Look(materials=("desk_caddy",))},
    "black_book": {"": Look(_BOOK)},
}
