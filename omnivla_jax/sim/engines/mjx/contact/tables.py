"""How the contacts of a model's casts respond, beside who can touch: static tables.

Axes: P casts, N bodies of the model, C of a cast, V degrees of freedom of a cast; G
geoms and E pairs of a cast, as `candidates` lays them out.
"""

from typing import NamedTuple, Sequence

import mujoco
import numpy as np

from omnivla_jax.sim import rotation
from omnivla_jax.sim.engines.mjx.contact.candidates import (
    PLANE,
    BodySubset,
    Pairs,
    ends,
    find,
)
from omnivla_jax.sim.engines.mjx.contact.impedance import reference_gains

_BOX, _CAPSULE = int(mujoco.mjtGeom.mjGEOM_BOX), int(mujoco.mjtGeom.mjGEOM_CAPSULE)

# Layouts of all 40 tasks, random actions, recorded episodes and the expert took no more
# than 70 near pairs; pairs and points are those of `Room`.
DRIVERS, NEAR = 48, 96


class Room(NamedTuple):
    """For boxes that overlap, and for the points that they touch in."""

    pairs: int
    points: int


# The most that was taken: 12 pairs and 28 points (a bottle across both fingers);
SPARSE = Room(16, 32)
# 20 and 45 where several things are brought together;
GATHERED = Room(22, 48)
# 18 and 49 where things start on others.
STACKED = Room(24, 56)


class Budget(NamedTuple):
    """How much an environment has room for."""

    drivers: int  # driving geoms in pairs of boxes whose world-aligned boxes overlap
    near: int  # pairs of boxes whose world-aligned boxes overlap
    pairs: int  # pairs of boxes that overlap
    contacts: int  # contact points, beside the four of each slot on the ground


class ContactTables(NamedTuple):
    """What the contact search knows before it starts."""

    pairs: Pairs
    body: np.ndarray  # int [P, G] in C
    place: np.ndarray  # [P, 3, G] m, in the body's frame
    turn: np.ndarray  # [P, 3, 3, G]
    half: np.ndarray  # [P, 3, G] half sizes
    bodies: np.ndarray  # int [2, P * E] in C
    moves: np.ndarray  # bool [C, V]: which degrees of freedom move which body
    watched: np.ndarray  # int [P * E]: row of the watched pair, -1 for none
    # [10, P * E]: sliding friction, spin friction (m; 0 for none), stiffness (1/s^2),
    # damping (1/s), the bodies' inverse weight (1/kg) and the clipped solimp.
    response: np.ndarray
    impratio: float  # how much stiffer friction is than the normal
    budget: Budget


def build(
    model: mujoco.MjModel,
    watched: Sequence[tuple[int, int]],
    body_subsets: Sequence[BodySubset],
    *,
    room: Room = SPARSE,
) -> ContactTables:
    """The tables of `model`.

    Args:
      model: boxes and planes; a capsule collides as the box around it.
      watched: pairs of root bodies whose touching is asked for.
      casts: who takes part, in each kind of episode.
      room: what an environment may take.

    Raises:
      ValueError: on another colliding shape or an unsupported contact parameter.
    """
    pairs = find(model, body_subsets)
    _check(model, pairs)
    there = pairs.geoms >= 0
    geoms = np.where(there, pairs.geoms, 0)
    first, second = (np.take_along_axis(geoms, rows, 1).ravel() for rows in ends(pairs))
    where = np.stack(
        [cast.bodies[model.geom_bodyid] for cast in body_subsets]
    )  # [P, geoms]
    cast = np.arange(len(body_subsets)).repeat(pairs.entries)
    turns = rotation.matrix(model.geom_quat, np)
    return ContactTables(
        pairs=pairs,
        body=np.take_along_axis(where, geoms, axis=1),
        place=np.moveaxis(model.geom_pos[geoms], -1, 1).astype(np.float32),
        turn=np.moveaxis(turns[geoms], 1, -1).astype(np.float32),
        half=np.moveaxis(_half_sizes(model)[geoms] * there[..., None], -1, 1),
        bodies=np.stack([where[cast, first], where[cast, second]]),
        moves=_moves(model, body_subsets),
        watched=_watched_rows(model, first, second, watched),
        response=_respond(model, first, second),
        impratio=float(model.opt.impratio),
        budget=Budget(DRIVERS, NEAR, room.pairs, room.points),
    )


def _check(model: mujoco.MjModel, pairs: Pairs) -> None:
    for geom in np.unique(pairs.geoms[pairs.geoms >= 0]).tolist():
        body = model.body(model.geom_bodyid[geom]).name
        if model.geom_type[geom] not in (PLANE, _BOX, _CAPSULE):
            kind = mujoco.mjtGeom(model.geom_type[geom]).name
            raise ValueError(
                f"A geom of body {body!r} collides as {kind}: the MJX engine knows "
                "boxes, capsules and planes; describe the shape by boxes."
            )
        if model.geom_condim[geom] not in (3, 4) or model.geom_margin[geom] != 0:
            raise ValueError(
                f"A geom of body {body!r} has condim {model.geom_condim[geom]} and "
                f"margin {model.geom_margin[geom]}: use condim 3 or 4 and no margin."
            )
        if np.any(model.geom_solref[geom] <= 0):
            raise ValueError(
                f"A geom of body {body!r} has solref {model.geom_solref[geom]}: "
                "use a time constant and a damping ratio, both positive."
            )


def _half_sizes(model: mujoco.MjModel) -> np.ndarray:
    radius, length = model.geom_size[:, 0], model.geom_size[:, 1]
    around = np.stack([radius, radius, radius + length], axis=-1)
    capsules = model.geom_type == _CAPSULE
    return np.where(capsules[:, None], around, model.geom_size).astype(np.float32)


def _watched_rows(
    model: mujoco.MjModel,
    first: np.ndarray,
    second: np.ndarray,
    watched: Sequence[tuple[int, int]],
) -> np.ndarray:
    roots = model.body_rootid[model.geom_bodyid]
    ends = roots[first], roots[second]
    rows = np.full(len(first), -1)
    for row, (a, b) in enumerate(watched):
        for x, y in ((a, b), (b, a)):
            rows[(ends[0] == x) & (ends[1] == y)] = row
    return rows


def _moves(model: mujoco.MjModel, body_subsets: Sequence[BodySubset]) -> np.ndarray:
    every = np.zeros((model.nbody, model.nv + 1), bool)  # the last moves nothing
    for body in range(1, model.nbody):  # parents come first
        every[body] = every[model.body_parentid[body]]
        start = model.body_dofadr[body]
        every[body, start : start + model.body_dofnum[body]] = True
    moves = np.zeros((body_subsets[0].size, len(body_subsets[0].dofs)), bool)
    for cast in body_subsets:
        for row, here in zip(cast.bodies[cast.present], every[cast.present]):
            moves[row] |= here[cast.dofs]
    return moves


def _respond(
    model: mujoco.MjModel, first: np.ndarray, second: np.ndarray
) -> np.ndarray:
    """MuJoCo's `mj_contactParam`: how two geoms' parameters mix."""
    stiffness, damping, solimp = reference_gains(
        _mix(model, model.geom_solref, first, second),
        _mix(model, model.geom_solimp, first, second),
        model.opt.timestep,
    )
    friction = _stronger(model, model.geom_friction, first, second)
    dims = _stronger(model, model.geom_condim[:, None], first, second)[:, 0]
    spin = np.where(dims > 3, friction[:, 1], 0.0)
    weights = model.body_invweight0[model.geom_bodyid, 0]
    weight = weights[first] + weights[second]
    rows = (friction[:, 0], spin, stiffness, damping, weight, *solimp)
    return np.stack(rows).astype(np.float32)


def _mix(
    model: mujoco.MjModel, values: np.ndarray, first: np.ndarray, second: np.ndarray
) -> np.ndarray:
    """Values [E, n] by priority, else weighted by solmix."""
    weight = model.geom_solmix[first] / np.maximum(
        model.geom_solmix[first] + model.geom_solmix[second], mujoco.mjMINVAL
    )
    order = model.geom_priority[first] - model.geom_priority[second]
    share = np.where(order == 0, weight, (order > 0).astype(float))[:, None]
    return share * values[first] + (1 - share) * values[second]


def _stronger(
    model: mujoco.MjModel, values: np.ndarray, first: np.ndarray, second: np.ndarray
) -> np.ndarray:
    """Values [E, n] by priority, else the greater."""
    order = (model.geom_priority[first] - model.geom_priority[second])[:, None]
    greater = np.maximum(values[first], values[second])
    chosen = np.where(order > 0, values[first], values[second])
    return np.where(order == 0, greater, chosen)
