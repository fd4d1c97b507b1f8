"""Hand-made shapes of round, hollow and much-used objects: few boxes, same contacts.

Lengths in m, quaternions wxyz. The shapes of libero_goal's objects are those with which
recorded episodes keep their outcome; the others were laid over the recorded boxes.
"""

from typing import Callable, Sequence

import numpy as np

from experiments.geometry.recorded import Shapes
from omnivla_jax.sim.assets.primitives import Primitive, box, box_between, cone_wall

NO_CAPSULES = np.zeros((0, 7))


def shapes(primitives: Sequence[Primitive]) -> Shapes:
    """Boxes as rows."""
    rows = [(*shape.position, *shape.quaternion, *shape.size) for shape in primitives]
    return Shapes(np.array(rows), NO_CAPSULES)


def bowl() -> tuple[Shapes, ...]:
    """Two rings of eight wall boxes and a base."""
    upper = cone_wall((0.0418, 0.0155), (0.0524, 0.0519), 0.0013, "")
    lower = cone_wall((0.0245, 0.004), (0.0427, 0.0155), 0.0012, "")
    base = box((0, 0, 0.0042), (0.022, 0.022, 0.0026))
    return (shapes((*upper, *lower, base)),)


def plate() -> tuple[Shapes, ...]:
    """A base and a rim of eight sloped boxes."""
    base = box((0, 0, 0.0031), (0.0306, 0.0285, 0.0022))
    rim = cone_wall((0.0302, -0.0002), (0.0664, 0.0141), 0.0025, "")
    return (shapes((base, *rim)),)


def wine_bottle() -> tuple[Shapes, ...]:
    """A body and a neck."""
    body = box((0, 0, 0.03726), (0.0195, 0.0195, 0.03615))
    neck = box((0, 0, 0.11), (0.0075, 0.0075, 0.0485))
    return (shapes((body, neck)),)


def cabinet() -> tuple[Shapes, ...]:
    """Seven boards and three drawers of eight boxes."""
    boards = (
        box_between((-0.1234, -0.0783, 0.2202), (0.1312, 0.1117, 0.223)),
        box_between((-0.1189, -0.0735, 0.0046), (0.127, 0.1062, 0.0104)),
        box_between((-0.1173, -0.0792, 0.0084), (-0.107, 0.1117, 0.2201)),
        box_between((0.1138, -0.0792, 0.0084), (0.1242, 0.1117, 0.2201)),
        box_between((-0.117, 0.1071, 0.0084), (0.1212, 0.1117, 0.2201)),
        box_between((-0.1081, -0.0709, 0.1482), (0.1156, 0.1082, 0.1505)),
        box_between((-0.1079, -0.0709, 0.0782), (0.1158, 0.1082, 0.0804)),
    )
    return (shapes(boards), _drawer(0.1488), _drawer(0.0791), _drawer(0.0105))


def _drawer(low: float) -> Shapes:
    """A drawer whose front panel starts at z `low`: a tray, its front and a handle."""
    handle = low + 0.027
    stem, stem_top = handle + 0.003, handle + 0.014
    return shapes(
        (
            box_between((-0.106, -0.078, low), (0.1127, -0.0648, low + 0.0686)),
            box_between((-0.1034, 0.0872, low + 0.003), (0.1101, 0.0943, low + 0.067)),
            box_between(
                (-0.1046, -0.0704, low + 0.003), (-0.0992, 0.0925, low + 0.066)
            ),
            box_between((0.1063, -0.0704, low + 0.003), (0.1116, 0.0925, low + 0.066)),
            box_between(
                (-0.1035, -0.0705, low + 0.0024), (0.1104, 0.0914, low + 0.0104)
            ),
            box_between((-0.0472, -0.1093, handle), (0.0417, -0.0939, handle + 0.0163)),
            box_between((0.0241, -0.094, stem), (0.0342, -0.0729, stem_top)),
            box_between((-0.0407, -0.094, stem), (-0.0305, -0.0729, stem_top)),
        )
    )


def flat_stove() -> tuple[Shapes, ...]:
    """A burner block; the button is a square disc and the bar across it."""
    button = (
        box((0.0013, 0.0045, 0.0066), (0.038, 0.038, 0.0062)),
        box_between((-0.011, -0.0172, 0.0128), (0.0137, 0.052, 0.05)),
        box_between((-0.011, -0.0328, 0.0128), (0.0134, -0.0172, 0.0434)),
        box_between((-0.0111, -0.0407, 0.0005), (0.0132, -0.0322, 0.0338)),
    )
    burner = box_between((0.055, -0.095, -0.02), (0.245, 0.095, 0.0255))
    return (shapes((burner,)), shapes(button))


def wine_rack() -> tuple[Shapes, ...]:
    """Two slanted boards on a foot, and a strut."""
    board = (0.0045, 0.07894, 0.13438)
    return (
        shapes(
            (
                box((0, -0.0061, 0.25118), board, "", (0.68093, 0.19061) * 2),
                box(
                    (0, -0.04273, 0.12727),
                    board,
                    "",
                    (0.68093, 0.19061, -0.68093, -0.19061),
                ),
                box_between((-0.0905, -0.1244, -0.002), (0.0905, 0.1295, 0.0240)),
                box(
                    (0, 0.00886, 0.17026),
                    (0.00762, 0.00905, 0.16165),
                    "",
                    (0.0, 0.0, -0.13781, -0.99046),
                ),
            )
        ),
    )


# Recorded episodes of libero_goal and libero_spatial replay with these.
REPLAYED: dict[str, Callable[[], tuple[Shapes, ...]]] = {
    "akita_black_bowl": bowl,
    "flat_stove": flat_stove,
    "plate": plate,
    "white_cabinet": cabinet,
    "wine_bottle": wine_bottle,
    "wine_rack": wine_rack,
    "wooden_cabinet": cabinet,
}
