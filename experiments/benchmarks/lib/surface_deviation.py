"""How far two clouds of primitives deviate, measured between their outer surfaces.

The outer surface is what a ball of 3 mm radius can touch coming from outside: insides
of cups belong to it, cracks between boxes do not. All lengths in m.

N: boxes, [N, 10]: centre (3), quaternion (4), half sizes (3)
P: points
"""

from typing import NamedTuple

import chex
import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from omnivla_jax.sim import rotation

BALL = 0.003
CELL = 0.001  # of the grid in which the ball moves
SPACING = 0.0015  # between points of a surface
DISC = SPACING / np.sqrt(2)  # radius around a point that covers its square
SKIN = 0.0001  # boxes closer than this are one


class Surface(NamedTuple):
    """Points of a surface and the directions in which it faces."""

    points: np.ndarray  # [P, 3]
    normals: np.ndarray  # [P, 3]


class Deviation(NamedTuple):
    """Distances between two surfaces, in both directions."""

    onto_recorded: np.ndarray  # [P], of points of the fitted surface
    onto_fitted: np.ndarray  # [P'], of points of the recorded surface


def deviation(recorded: np.ndarray, fitted: np.ndarray) -> Deviation:
    """Distances between two sets of boxes, [N, 10] and [N', 10].

    From points of the outer surface of either to the whole surface of the other.
    """
    first, second = _surface(recorded), _surface(fitted)
    return Deviation(
        distances(second.points[_touched(fitted, second.points)], first),
        distances(first.points[_touched(recorded, first.points)], second),
    )


def box_surface(box: np.ndarray) -> Surface:
    """Midpoints of the squares that tile the faces of a `box` [10]."""
    half = box[7:]
    points, normals = [], []
    for axis in range(3):
        side, up = (axis + 1) % 3, (axis + 2) % 3
        u, v = _midpoints(half[side]), _midpoints(half[up])
        for sign in (-1.0, 1.0):
            face = np.zeros((len(u), len(v), 3))
            face[..., axis] = sign * half[axis]
            face[..., side], face[..., up] = u[:, None], v[None, :]
            points.append(face.reshape(-1, 3))
            normals.append(np.tile(sign * np.eye(3)[axis], (len(points[-1]), 1)))
    turn = rotation.matrix(box[3:7], np)
    return Surface(
        np.concatenate(points) @ turn.T + box[:3], np.concatenate(normals) @ turn.T
    )


def clearance(points: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Distance [P] from `points` [P, 3] to the nearest of `boxes`; 0 inside."""
    nearest = np.full(len(points), np.inf)
    for box in boxes:
        local = np.abs((points - box[:3]) @ rotation.matrix(box[3:7], np)) - box[7:]
        outside = np.linalg.norm(np.maximum(local, 0.0), axis=1)
        nearest = np.minimum(nearest, outside)
    return nearest


def distances(points: np.ndarray, surface: Surface) -> np.ndarray:
    """Distance [P] from `points` [P, 3] to a surface made of small discs."""
    _, index = cKDTree(surface.points).query(points, k=4)
    offset = points[:, None] - surface.points[index]
    height = np.abs(np.einsum("pki,pki->pk", offset, surface.normals[index]))
    aside = np.sqrt(np.maximum((offset**2).sum(-1) - height**2, 0.0))
    return np.hypot(height, np.maximum(aside - DISC, 0.0)).min(axis=1)


def _surface(boxes: np.ndarray) -> Surface:
    """Points of the surface of the union of `boxes` [N, 10]."""
    chex.assert_shape(boxes, (None, 10))
    surfaces = [box_surface(row) for row in boxes]
    points = np.concatenate([surface.points for surface in surfaces])
    normals = np.concatenate([surface.normals for surface in surfaces])
    bare = clearance(points + SKIN * normals, boxes) > 0
    return Surface(points[bare], normals[bare])


def _midpoints(half: float) -> np.ndarray:
    count = max(1, int(np.ceil(2 * half / SPACING)))
    return (np.arange(count) + 0.5) * (2 * half / count) - half


def _touched(boxes: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Which of `points` the ball touches: a mask [P]."""
    low = points.min(axis=0) - 2 * BALL
    count = np.ceil((points.max(axis=0) + 2 * BALL - low) / CELL).astype(int) + 1
    labels, _ = ndimage.label(_free(boxes, low, count))
    outside = labels == labels[0, 0, 0]
    reach = ndimage.distance_transform_edt(~outside, sampling=CELL)
    i, j, k = np.rint((points - low) / CELL).astype(int).T
    # Half a cell's diagonal for the ball's grid, half for the point's.
    return reach[i, j, k] <= BALL + np.sqrt(3) * CELL


def _free(boxes: np.ndarray, low: np.ndarray, count: np.ndarray) -> np.ndarray:
    """Grid cells in which the centre of the ball can be: [X, Y, Z]."""
    free = np.ones(count, bool)
    for box in boxes:
        reach = np.abs(rotation.matrix(box[3:7], np)) @ box[7:] + BALL + CELL
        first = np.maximum(np.floor((box[:3] - reach - low) / CELL).astype(int), 0)
        last = np.ceil((box[:3] + reach - low) / CELL).astype(int) + 1
        window = tuple(slice(a, b) for a, b in zip(first, np.minimum(last, count)))
        axes = [low[i] + CELL * np.arange(count[i])[window[i]] for i in range(3)]
        grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
        distance = clearance(grid.reshape(-1, 3), box[None]).reshape(grid.shape[:3])
        free[window] &= distance > BALL
    return free
