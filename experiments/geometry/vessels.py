"""Cans, bottles, mugs, pots and pans: few boxes laid over recorded rings of boxes.

Each function takes the recorded boxes of one category, [N, 10], and keeps of them what
few boxes cannot say better: handles, and rings that are coarse already. Flats that a
gripper closes on stay where they are. What does not have to bear the object ends `LIFT`
above the ground, and faces of nested boxes are not flush: either would only multiply
contacts. Lengths in m.
"""

from typing import Callable, Sequence

import numpy as np

from experiments.geometry import frames
from experiments.geometry.fit import LIMIT, canonical, fit
from omnivla_jax.sim.assets.primitives import Primitive, box, box_between, cone_wall

LIFT = 0.0006


def alphabet_soup(recorded: np.ndarray) -> np.ndarray:
    """An eight-sided can, lying along y as LIBERO models it."""
    del recorded
    return _can(center=-0.0034, depth=0.03105)


def tomato_sauce(recorded: np.ndarray) -> np.ndarray:
    """The same can, a millimetre slimmer along z."""
    del recorded
    return _can(center=-0.003, depth=0.0305)


def salad_dressing(recorded: np.ndarray) -> np.ndarray:
    """Three nested blocks, and a neck of three bars that pass its recorded flats."""
    del recorded
    return _rows(
        (
            box((-0.00096, -0.03138, 0.00023), (0.02637, 0.02097, 0.01733)),
            box((-0.00096, -0.03078, 0.00023), (0.0229, 0.03202, 0.01703)),
            box((-0.00096, -0.02998, 0.00023), (0.01729, 0.04274, 0.01673)),
            box((0.00038, 0.02695, 0.0005), (0.0129, 0.0459, 0.0148)),
            box_between((-0.0178, 0.03555, -0.007), (0.0181, 0.07285, 0.007)),
            box_between((-0.007, 0.03555, -0.0176), (0.007, 0.07285, 0.0169)),
        )
    )


def ramekin(recorded: np.ndarray) -> np.ndarray:
    """A ring of walls around the plate it stands on.

    The walls are 2 mm thicker inwards than recorded: a bowl that is dropped onto the
    rim, as LIBERO starts one, would otherwise fall through it in a step of 5 ms.
    """
    del recorded
    walls = cone_wall((0.0328, 0.0015), (0.0388, 0.0424), 0.0036, "")
    base = box_between((-0.026, -0.026, 0.0007), (0.026, 0.026, 0.0073))
    return _rows((*walls, base))


def frypan(recorded: np.ndarray) -> np.ndarray:
    """A ring of sloped walls, three plates crossing in the base, and the handle."""
    walls = cone_wall((0.0765, 0.0045), (0.0984, 0.0405), 0.0036, "", count=10)
    plates = (
        box_between((-0.0549, -0.0549, 0.0008), (0.0549, 0.0549, 0.0127)),
        box_between((-0.07, -0.049, 0.003), (0.078, 0.044, 0.0119)),
        box_between((-0.047, -0.075, 0.003), (0.0525, 0.0715, 0.0119)),
    )
    handle = fit(recorded[:3], limit=LIMIT)
    return np.concatenate([handle, _rows((*_moved(walls, 0.0065), *plates))])


def porcelain_mug(recorded: np.ndarray) -> np.ndarray:
    """As recorded, two rings of seven walls and a handle, on one base plate."""
    kept = (recorded[:, 7:].min(axis=1) < 0.0025) | (recorded[:, 0] < -0.03)
    base = box_between((-0.0066, -0.022, 0.0024), (0.0364, 0.0187, 0.0128))
    return np.concatenate([_turned(recorded[kept]), _rows((base,))])


def red_coffee_mug(recorded: np.ndarray) -> np.ndarray:
    """As recorded, but the base plate, not the ends of the walls, bears the mug."""
    base, walls, handle = _turned(recorded[:1]), recorded[1:8], recorded[8:]
    low, high = -0.0018, base[0, 2] + base[0, 9]
    base[0, 2], base[0, 9] = (low + high) / 2, (high - low) / 2
    return np.concatenate([base, _lifted(_turned(walls)), _turned(handle)])


def white_yellow_mug(recorded: np.ndarray) -> np.ndarray:
    """A ring of twelve walls for nineteen, the recorded handle and a base block.

    Two walls meet where a finger grasps along x or y: a mug held by a single sloped
    wall would turn in the grip.
    """
    walls = cone_wall((0.0356, 0.01), (0.0478, 0.1025), 0.0041, "", count=12)
    base = box_between((-0.0245, -0.0245, -0.0001), (0.0245, 0.0245, 0.0105))
    middle = -0.01819
    ring = _rows(_moved(walls, middle, yaw=np.pi / 12))
    return np.concatenate([_turned(recorded[:3]), ring, _rows(_moved([base], middle))])


def moka_pot(recorded: np.ndarray) -> np.ndarray:
    """The automatic fit, standing on two of the three bars that cross in its body."""
    boxes = fit(recorded, limit=LIMIT)
    between = (boxes[:, 9] > 0.06) & (np.abs(boxes[:, 6]) < 0.01)
    return np.where(between[:, None], _lifted(boxes), boxes)


VESSELS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "alphabet_soup": alphabet_soup,
    "chefmate_8_frypan": frypan,
    "glazed_rim_porcelain_ramekin": ramekin,
    "moka_pot": moka_pot,
    "porcelain_mug": porcelain_mug,
    "red_coffee_mug": red_coffee_mug,
    "salad_dressing": salad_dressing,
    "tomato_sauce": tomato_sauce,
    "white_yellow_mug": white_yellow_mug,
}


def _can(*, center: float, depth: float) -> np.ndarray:
    """Four bars crossing in the axis, which passes z `center`; it stands on two."""
    low, high = -0.0384, 0.037
    middle, half = (low + high) / 2, (high - low) / 2
    bars = [
        box((0, middle, center), (0.0312, half, 0.011)),
        box((0, middle, center), (0.011, half, depth)),
    ]
    for sign in (-1.0, 1.0):
        turn = (np.cos(np.pi / 8), 0.0, sign * np.sin(np.pi / 8), 0.0)
        size = (0.0304, half - LIFT, 0.012)
        bars.append(box((0, middle, center), size, "", turn))
    return _rows(bars)


def _lifted(boxes: np.ndarray) -> np.ndarray:
    """`boxes` [N, 10] that stand along z, shorter by `LIFT` at their lower ends."""
    up = np.array([frames.matrix(turn)[:, 2] for turn in boxes[:, 3:7]])
    shorter = boxes[:, 9:] - LIFT / 2
    return np.hstack([boxes[:, :3] + up * LIFT / 2, boxes[:, 3:9], shorter])


def _turned(boxes: np.ndarray) -> np.ndarray:
    return np.array([canonical(row) for row in boxes])


def _moved(
    shapes: Sequence[Primitive], x: float, *, yaw: float = 0.0
) -> list[Primitive]:
    turn = frames.frame((x, 0.0, 0.0), (np.cos(yaw / 2), 0.0, 0.0, np.sin(yaw / 2)))
    moved = []
    for shape in shapes:
        at = frames.compose(turn, frames.frame(shape.position, shape.quaternion))
        position, quaternion = at.position.tolist(), at.quaternion.tolist()
        moved.append(box(position, shape.size, shape.material, quaternion))
    return moved


def _rows(primitives: Sequence[Primitive]) -> np.ndarray:
    return np.array([(*p.position, *p.quaternion, *p.size) for p in primitives])
