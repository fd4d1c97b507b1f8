"""Which geoms can touch, laid out alike for every cast of a scene's bodies.

Boxes meet boxes in a dense grid: driving geoms, which come first and of which every
pair has one, times all geoms. Boxes meet the ground body by body.
Axes: P casts, N bodies of the model, C of a cast, the last S of which are slots;
G geoms of a cast, the first D of which drive; F planes, L boxes that meet them, the
last of which stands for none; W bodies that do, the last S of which are the slots.
"""

from typing import NamedTuple, Sequence

import jax
import jax.numpy as jnp
import mujoco
import numpy as np

from omnivla_jax.sim.engines.mjx import collision_driver

PLANE = int(mujoco.mjtGeom.mjGEOM_PLANE)


class BodySubset(NamedTuple):
    """Which bodies and degrees of freedom of a model take part, and where."""

    bodies: np.ndarray  # int [N]: in C
    present: np.ndarray  # bool [N]
    dofs: np.ndarray  # int [V]: of the model's nv; nv for none
    size: int  # C
    slots: int  # S


class Pairs(NamedTuple):
    """What may meet what, for each cast; short rows are filled up."""

    geoms: np.ndarray  # int [P, G] of the model; -1 for none
    candidates: np.ndarray  # bool [P, D, G]: which cells are pairs
    planes: np.ndarray  # int [P, F] in G, of which the highest is the ground
    grounded: np.ndarray  # int [P, L] in G
    meets: np.ndarray  # bool [P, F, L]
    groups: np.ndarray  # int [P, W, n] in L: boxes of one body
    slots: int  # S

    @property
    def cells(self) -> int:
        """D * G."""
        return int(np.prod(self.candidates.shape[1:]))

    @property
    def entries(self) -> int:
        """E, the pairs of a cast: cells, then F * L."""
        return self.cells + int(np.prod(self.meets.shape[1:]))


class _Part(NamedTuple):
    """One cast's pairs, before all are brought to one size."""

    geoms: list[int]  # G, of the model
    candidates: np.ndarray  # bool [D, G]
    planes: list[int]  # F, in G
    grounded: list[int]  # L, in G
    meets: np.ndarray  # bool [F, L]
    groups: list[list[int]]  # in L
    slots: list[list[int]]  # in L


def whole(model: mujoco.MjModel) -> BodySubset:
    """Everything takes part, nothing in a slot."""
    size = model.nbody
    return BodySubset(
        np.arange(size), np.ones(size, bool), np.arange(model.nv), size, 0
    )


def of(cast: jax.Array, table: np.ndarray) -> jax.Array:
    """Rows [B, ...] of `table` [P, ...] for casts [B]; [1, ...] where P is 1."""
    rows = jnp.asarray(table)
    return rows if len(table) == 1 else rows[cast]


def find(model: mujoco.MjModel, body_subsets: Sequence[BodySubset]) -> Pairs:
    """The pairs of `model` that its own filters let touch."""
    every = [(int(a), int(b)) for a, b, _ in collision_driver.geom_pairs(model)]
    parts = [_part(model, every, cast) for cast in body_subsets]
    boxes = 1 + max(len(part.grounded) for part in parts)
    geoms = _table([part.geoms for part in parts], -1)
    return Pairs(
        geoms=geoms,
        candidates=_blocks([part.candidates for part in parts], geoms.shape[1]),
        planes=_table([part.planes for part in parts], 0),
        grounded=_table([part.grounded + [0] for part in parts], 0),
        meets=_blocks([part.meets for part in parts], boxes),
        groups=_groups(parts, boxes - 1),
        slots=body_subsets[0].slots,
    )


def ends(pairs: Pairs) -> tuple[np.ndarray, np.ndarray]:
    """Rows [P, E] in G of both geoms of every entry."""
    count, drivers, geoms = pairs.candidates.shape
    grid = (np.tile(np.arange(size), (count, 1)) for size in (drivers, geoms))
    tables = (tuple(grid), (pairs.planes, pairs.grounded))
    first = [one.repeat(other.shape[1], axis=1) for one, other in tables]
    second = [np.tile(other, one.shape[1]) for one, other in tables]
    return np.concatenate(first, axis=1), np.concatenate(second, axis=1)


def _part(
    model: mujoco.MjModel, every: list[tuple[int, int]], cast: BodySubset
) -> _Part:
    here = cast.present[model.geom_bodyid]
    there = [pair for pair in every if here[pair[0]] and here[pair[1]]]
    flat = [pair for pair in there if model.geom_type[pair[0]] == PLANE]
    solid = [pair for pair in there if model.geom_type[pair[0]] != PLANE]
    drivers, touches = _grid(solid, model.ngeom)
    planes, boxes = (list(dict.fromkeys(pair[k] for pair in flat)) for k in range(2))
    others = np.flatnonzero(touches.any(axis=0)).tolist()
    geoms = list(dict.fromkeys([*drivers, *others, *planes, *boxes]))
    owners = [int(cast.bodies[model.geom_bodyid[box]]) for box in boxes]
    slots = range(cast.size - cast.slots, cast.size)
    jointed = [body for body in dict.fromkeys(owners) if body not in slots]
    return _Part(
        geoms,
        touches[:, geoms],
        [geoms.index(plane) for plane in planes],
        [geoms.index(box) for box in boxes],
        np.array([[pair in flat for pair in _cross(one, boxes)] for one in planes]),
        [_where(owners, body) for body in jointed],
        [_where(owners, body) for body in slots],
    )


def _cross(one: int, others: list[int]) -> list[tuple[int, int]]:
    return [(one, other) for other in others]


def _where(values: list[int], value: int) -> list[int]:
    return [index for index, own in enumerate(values) if own == value]


def _grid(pairs: list[tuple[int, int]], geoms: int) -> tuple[list[int], np.ndarray]:
    """Driving geoms [D] and which cells [D, geoms] are pairs, each pair once."""
    touches = np.zeros((geoms, geoms), bool)
    for first, second in pairs:
        touches[first, second] = touches[second, first] = True
    drivers, rows = [], []
    while touches.any():  # greedily: the geom with most pairs left
        busiest = int(touches.sum(axis=1).argmax())
        drivers.append(busiest)
        rows.append(touches[busiest].copy())
        touches[busiest] = touches[:, busiest] = False
    return drivers, np.array(rows, bool).reshape(len(rows), geoms)


def _table(rows: list[list[int]], fill: int) -> np.ndarray:
    """`rows` [P, n] as one table, short ones filled up."""
    size = max(len(row) for row in rows)
    padded = [row + [fill] * (size - len(row)) for row in rows]
    return np.array(padded, int).reshape(len(rows), size)


def _blocks(blocks: list[np.ndarray], columns: int) -> np.ndarray:
    """bool [P, n, columns] of blocks [n, m], filled up with False."""
    height = max(len(block) for block in blocks)
    table = np.zeros((len(blocks), height, columns), bool)
    for one, block in zip(table, blocks):
        if block.size:
            one[: block.shape[0], : block.shape[1]] = block
    return table


def _groups(parts: list[_Part], nothing: int) -> np.ndarray:
    """int [P, W, n]: each group filled up by repetition, one of none by `nothing`."""
    most = max(len(part.groups) for part in parts)
    rows = [p.groups + [[]] * (most - len(p.groups)) + p.slots for p in parts]
    size = max((len(group) for row in rows for group in row), default=1)
    padded = [[np.resize(group or [nothing], size) for group in row] for row in rows]
    return np.array(padded, int).reshape(len(parts), len(rows[0]), size)
