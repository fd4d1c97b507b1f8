"""Which geoms can touch, in tables of one shape for every subset of a scene's bodies.

Boxes meet boxes in a dense grid: driving geoms, which come first and of which every
pair has one, times all geoms. Boxes meet the ground body by body.
Axes: P subsets, N bodies of the model, C of a subset, the last S of which are object
slots; G geoms of a subset, the first D of which drive; F planes, L boxes that meet
them, the last of which stands for none; W bodies that do, the last S of which are the
slots.
"""

from typing import NamedTuple, Sequence

import jax
import jax.numpy as jnp
import mujoco
import numpy as np

from omnivla_jax.sim.engines.mjx import collision_driver

PLANE = int(mujoco.mjtGeom.mjGEOM_PLANE)


class BodySubset(NamedTuple):
    """Bodies and degrees of freedom of a model that take part, and their rows."""

    bodies: np.ndarray  # int [N]: in C
    present: np.ndarray  # bool [N]
    dofs: np.ndarray  # int [V]: of the model's nv; nv for none
    size: int  # C
    slots: int  # S


class CandidatePairs(NamedTuple):
    """Geoms that may touch, of each subset; short rows are padded."""

    geoms: np.ndarray  # int [P, G] of the model; -1 for none
    candidates: np.ndarray  # bool [P, D, G]: cells of the grid that are pairs
    planes: np.ndarray  # int [P, F] in G, of which the highest is the ground
    boxes_on_plane: np.ndarray  # int [P, L] in G
    collides_with_plane: np.ndarray  # bool [P, F, L]
    body_boxes: np.ndarray  # int [P, W, n] in L: boxes of one body
    slots: int  # S

    @property
    def num_pairs(self) -> int:
        """E = D * G + F * L, the pairs of a subset, in this order."""
        return self.candidates[0].size + self.collides_with_plane[0].size


def select_rows(subset: jax.Array, table: np.ndarray) -> jax.Array:
    """Return rows [B, ...] of `table` [P, ...] at `subset` [B]; [1, ...] if P is 1.

    Args:
      subset: int32 [B], each within [0, P).
      table: [P, ...].

    Returns:
      The rows, on the device.
    """
    rows = jnp.asarray(table)
    return rows if len(table) == 1 else rows[subset]


def find_candidates(
    model: mujoco.MjModel, body_subsets: Sequence[BodySubset]
) -> CandidatePairs:
    """Return the pairs of `model` that MuJoCo's own filters let touch.

    Args:
      model: whose geoms collide.
      body_subsets: P, all with as many slots.
    """
    every = [(int(a), int(b)) for a, b, _ in collision_driver.geom_pairs(model)]
    parts = [_subset_pairs(model, every, subset) for subset in body_subsets]
    boxes_on_plane = _pad([part.boxes_on_plane for part in parts], 0)
    # Groups of jointed bodies come first, empty where a subset has fewer, then slots.
    most = max(len(part.jointed) for part in parts)
    groups = [
        part.jointed + [[]] * (most - len(part.jointed)) + part.slots for part in parts
    ]
    size = max((len(group) for row in groups for group in row), default=1)
    none = boxes_on_plane.shape[1] - 1
    body_boxes = [[np.resize(group or [none], size) for group in row] for row in groups]
    return CandidatePairs(
        geoms=_pad([part.geoms for part in parts], -1),
        candidates=_pad([part.candidates for part in parts], False),
        planes=_pad([part.planes for part in parts], 0),
        boxes_on_plane=boxes_on_plane,
        collides_with_plane=_pad([part.collides_with_plane for part in parts], False),
        body_boxes=np.array(body_boxes, int).reshape(len(parts), len(groups[0]), size),
        slots=body_subsets[0].slots,
    )


def pair_geoms(pairs: CandidatePairs) -> tuple[np.ndarray, np.ndarray]:
    """Return rows [P, E] in G of the first and of the second geom of every pair.

    Args:
      pairs: of a model.

    Returns:
      Two int arrays [P, E]: the cells of the grid, then the planes with their boxes.
    """
    count, drivers, geoms = pairs.candidates.shape
    grid = (np.tile(np.arange(size), (count, 1)) for size in (drivers, geoms))
    tables = (tuple(grid), (pairs.planes, pairs.boxes_on_plane))
    first = [one.repeat(other.shape[1], axis=1) for one, other in tables]
    second = [np.tile(other, one.shape[1]) for one, other in tables]
    return np.concatenate(first, axis=1), np.concatenate(second, axis=1)


class _SubsetPairs(NamedTuple):
    """The pairs of one subset, before all are padded to one size."""

    geoms: np.ndarray  # int [G] of the model
    candidates: np.ndarray  # bool [D, G]
    planes: np.ndarray  # int [F] in G
    boxes_on_plane: np.ndarray  # int [L] in G
    collides_with_plane: np.ndarray  # bool [F, L]
    jointed: list[list[int]]  # boxes in L of each body on no slot
    slots: list[list[int]]  # boxes in L of each slot


def _subset_pairs(
    model: mujoco.MjModel, every: list[tuple[int, int]], subset: BodySubset
) -> _SubsetPairs:
    present = subset.present[model.geom_bodyid]
    pairs = [pair for pair in every if present[pair[0]] and present[pair[1]]]
    on_plane = [pair for pair in pairs if model.geom_type[pair[0]] == PLANE]
    solid = [pair for pair in pairs if model.geom_type[pair[0]] != PLANE]
    drivers, grid = _driver_grid(solid, model.ngeom)
    planes, boxes = (list(dict.fromkeys(pair[k] for pair in on_plane)) for k in (0, 1))
    others = np.flatnonzero(grid.any(axis=0)).tolist()
    geoms = list(dict.fromkeys([*drivers, *others, *planes, *boxes]))
    collides = np.zeros((len(planes), len(boxes) + 1), bool)
    for plane, box in on_plane:
        collides[planes.index(plane), boxes.index(box)] = True
    owners = [int(subset.bodies[model.geom_bodyid[box]]) for box in boxes]
    first_slot = subset.size - subset.slots
    jointed = [body for body in dict.fromkeys(owners) if body < first_slot]
    groups = [
        [index for index, owner in enumerate(owners) if owner == body]
        for body in [*jointed, *range(first_slot, subset.size)]
    ]
    return _SubsetPairs(
        np.array(geoms, int),
        grid[:, geoms],
        np.array([geoms.index(plane) for plane in planes], int),
        np.array([*(geoms.index(box) for box in boxes), 0], int),
        collides,
        groups[: len(jointed)],
        groups[len(jointed) :],
    )


def _driver_grid(
    pairs: list[tuple[int, int]], geoms: int
) -> tuple[list[int], np.ndarray]:
    """Driving geoms [D] and which cells [D, geoms] are pairs, each pair once."""
    remaining = np.zeros((geoms, geoms), bool)
    for first, second in pairs:
        remaining[first, second] = remaining[second, first] = True
    drivers, rows = [], []
    while remaining.any():  # greedily: the geom with most pairs left
        busiest = int(remaining.sum(axis=1).argmax())
        drivers.append(busiest)
        rows.append(remaining[busiest].copy())
        remaining[busiest] = remaining[:, busiest] = False
    return drivers, np.array(rows, bool).reshape(len(rows), geoms)


def _pad(arrays: list[np.ndarray], fill: int | bool) -> np.ndarray:
    """Stack `arrays`, each padded with `fill` to the greatest size along every axis."""
    shape = np.max([array.shape for array in arrays], axis=0)
    table = np.full((len(arrays), *shape), fill, arrays[0].dtype)
    for row, array in zip(table, arrays):
        row[tuple(slice(size) for size in array.shape)] = array
    return table
