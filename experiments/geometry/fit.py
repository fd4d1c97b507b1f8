"""Fewer boxes for a cloud of boxes: merges pairs and drops what others already cover.

A merged box encloses its two parents, so the fit never uncovers the cloud except by
dropping. A merge costs how far its box sticks out of the recorded cloud, and how deep
it buries the cloud's outer surface: a box over a hollow does that. Both are measured
against the cloud itself, not the last fit, so errors do not add up. Lengths in m.

N: boxes, [N, 10]: centre (3), quaternion (4), half sizes (3)
P: points
"""

import itertools
from typing import NamedTuple

import chex
import numpy as np

from experiments.geometry import frames
from experiments.geometry.deviation import box_surface, clearance, outer_surface
from experiments.geometry.recorded import unique

LIMIT = 0.0025  # what the fits in sim/data/categories are made with
SPACING = 0.003  # of the points that measure a candidate
CORNERS = np.array(list(itertools.product((-1.0, 1.0), repeat=3)))
AXIS_ORDERS = tuple(itertools.permutations(range(3)))


class Cloud(NamedTuple):
    """What is to be fitted."""

    boxes: np.ndarray  # [N, 10]
    surface: np.ndarray  # [P, 3], points of its outer surface


class Merge(NamedTuple):
    """A box in place of two."""

    cost: float  # m
    box: np.ndarray  # [10]


def fit(boxes: np.ndarray, *, limit: float) -> np.ndarray:
    """Fewer boxes [N', 10], whose surface stays within about `limit` of `boxes`.

    Args:
      boxes: the recorded cloud, [N, 10].
      limit: how far a box may stick out of the cloud, or the cloud out of the boxes.
    """
    chex.assert_shape(boxes, (None, 10))
    boxes = unique(boxes)
    cloud = Cloud(boxes, outer_surface(boxes, spacing=SPACING))
    kept = _drop(_merge(list(boxes), cloud, limit), cloud, limit)
    return np.round([canonical(box) for box in kept], 6)


def canonical(box: np.ndarray) -> np.ndarray:
    """The same `box` [10] with its axes named so that it is turned least."""
    turn, half = frames.matrix(box[3:7] / np.linalg.norm(box[3:7])), box[7:]
    choices = []
    for order in AXIS_ORDERS:
        signs = np.where(np.diag(turn[:, order]) < 0, -1.0, 1.0)
        if np.linalg.det(turn[:, order] * signs) < 0:
            signs[np.argmin(np.abs(np.diag(turn[:, order])))] *= -1
        choices.append((order, turn[:, order] * signs))
    order, columns = max(choices, key=lambda choice: round(np.trace(choice[1]), 6))
    return np.concatenate([box[:3], frames.quaternion(columns), half[list(order)]])


def _merge(boxes: list[np.ndarray], cloud: Cloud, limit: float) -> list[np.ndarray]:
    """`boxes` after all merges that cost at most `limit`, the cheapest first."""
    alive = dict(enumerate(boxes))
    merges = {
        (first, second): _best(alive[first], alive[second], cloud)
        for first, second in itertools.combinations(alive, 2)
    }
    while merges:
        pair = min(merges, key=lambda key: (merges[key].cost, key))
        if merges[pair].cost > limit:
            break
        new, merged = max(alive) + 1, merges[pair].box
        alive = {key: box for key, box in alive.items() if key not in pair}
        merges = {key: old for key, old in merges.items() if not set(key) & set(pair)}
        merges |= {(key, new): _best(box, merged, cloud) for key, box in alive.items()}
        alive[new] = merged
    return list(alive.values())


def _best(first: np.ndarray, second: np.ndarray, cloud: Cloud) -> Merge:
    """The cheapest box around two, turned like either of them or like both.

    Costs are whole micrometres, so that rounding errors do not choose between equals.
    """
    corners = [
        box[:3] + (CORNERS * box[7:]) @ frames.matrix(box[3:7]).T
        for box in (first, second)
    ]
    points = np.concatenate(corners)
    _, _, principal = np.linalg.svd(points - points.mean(axis=0))
    turns = (frames.matrix(first[3:7]), frames.matrix(second[3:7]), principal.T)
    boxes = [_around(points, turn) for turn in turns]
    costs = [round(_cost(box, cloud), 6) for box in boxes]
    index = int(np.argmin(costs))
    return Merge(costs[index], boxes[index])


def _cost(box: np.ndarray, cloud: Cloud) -> float:
    """How far `box` [10] sticks out of the cloud or buries its outer surface."""
    sticks_out = clearance(box_surface(box, spacing=SPACING).points, cloud.boxes).max()
    local = np.abs((cloud.surface - box[:3]) @ frames.matrix(box[3:7]))
    return float(max(sticks_out, (box[7:] - local).min(axis=1).max()))


def _around(points: np.ndarray, turn: np.ndarray) -> np.ndarray:
    """The smallest box [10] around `points` [P, 3] with the axes of `turn` [3, 3]."""
    if np.linalg.det(turn) < 0:
        turn = -turn
    local = points @ turn
    low, high = local.min(axis=0), local.max(axis=0)
    center = turn @ ((low + high) / 2)
    return np.concatenate([center, frames.quaternion(turn), (high - low) / 2])


def _drop(boxes: list[np.ndarray], cloud: Cloud, limit: float) -> list[np.ndarray]:
    """`boxes` without those that the others cover to within `limit`."""
    kept = sorted(boxes, key=lambda box: box[7:].prod())
    for box in list(kept):
        rest = [other for other in kept if other is not box]
        if rest and clearance(cloud.surface, np.array(rest)).max() <= limit:
            kept = rest
    return kept
