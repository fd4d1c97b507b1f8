"""Which geoms of a model can touch and how their contacts respond: static tables.

Boxes meet boxes in a dense grid: D driving geoms, a small set of which every pair has
one, times all G geoms. Boxes meet the ground body by body.
Axes: E entries (the D * G grid cells, then P planes times L boxes), W groups of boxes
of one body, N bodies, V degrees of freedom.
"""

from typing import Iterable, NamedTuple, Sequence

import mujoco
import numpy as np

from omnivla_jax.sim.contact.impedance import reference_gains
from omnivla_jax.sim.quiet_mjx import collision_driver

_PLANE, _BOX, _CAPSULE = (
    int(kind)
    for kind in (
        mujoco.mjtGeom.mjGEOM_PLANE,
        mujoco.mjtGeom.mjGEOM_BOX,
        mujoco.mjtGeom.mjGEOM_CAPSULE,
    )
)

# Most of what layouts of all 40 tasks, random actions and recorded episodes took: 70
# near pairs; 12 pairs and 18 points beside four of each movable that rests, or 18 pairs
# and 40 points when a bowl lands on a cabinet.
DRIVERS, NEAR, PAIRS, STACKED_PAIRS = 48, 96, 16, 8
POINTS, POINTS_PER_MOVABLE, STACKED_POINTS = 24, 4, 12


class Crowd(NamedTuple):
    """What may touch at a time."""

    movables: int  # at most so many free bodies
    stacked: bool  # some of them start on others, or on fixtures


class Budget(NamedTuple):
    """How much an environment has room for."""

    drivers: int  # driving geoms in pairs of boxes whose world-aligned boxes overlap
    near: int  # pairs of boxes whose world-aligned boxes overlap
    pairs: int  # pairs of boxes that overlap
    contacts: int  # contact points


class ContactTables(NamedTuple):
    """What the contact search knows before it starts."""

    half: np.ndarray  # [3, G] half sizes
    drivers: np.ndarray  # [D] geoms
    candidates: np.ndarray  # bool [D, G]: which cells are pairs
    planes: np.ndarray  # [P] geoms, of which the highest is the ground
    grounded: np.ndarray  # [L] geoms: boxes that some plane meets
    meets: np.ndarray  # bool [P, L]
    groups: np.ndarray  # [W, S] rows of L; padded by repetition
    bodies: np.ndarray  # [2, E]
    moves: np.ndarray  # bool [N, V]: which degrees of freedom move which body
    watched: np.ndarray  # [E]: row of the watched pair, -1 for none
    # [10, E]: sliding friction, spin friction (m; 0 for none), stiffness (1/s^2),
    # damping (1/s), the bodies' inverse weight (1/kg) and the clipped solimp.
    response: np.ndarray
    impratio: float  # how much stiffer friction is than the normal
    budget: Budget


def build(
    model: mujoco.MjModel, watched: Sequence[tuple[int, int]], crowd: Crowd
) -> ContactTables:
    """The tables of `model`.

    Args:
      model: boxes and planes; a capsule collides as the box around it.
      watched: pairs of root bodies whose touching is asked for.
      crowd: for how much there is to be room.

    Raises:
      ValueError: on another colliding shape or an unsupported contact parameter.
    """
    pairs = [(int(a), int(b)) for a, b, _ in collision_driver.geom_pairs(model)]
    _check(model, pairs)
    flat = [pair for pair in pairs if model.geom_type[pair[0]] == _PLANE]
    solid = [pair for pair in pairs if model.geom_type[pair[0]] != _PLANE]
    drivers, candidates = _grid(solid, model.ngeom)
    planes, grounded = (_each(pair[k] for pair in flat) for k in range(2))
    grids = ((drivers, np.arange(model.ngeom)), (planes, grounded))
    first = np.concatenate([np.repeat(one, len(other)) for one, other in grids])
    second = np.concatenate([np.tile(other, len(one)) for one, other in grids])
    return ContactTables(
        half=_half_sizes(model),
        drivers=drivers,
        candidates=candidates,
        planes=planes,
        grounded=grounded,
        meets=np.array([[(one, box) in flat for box in grounded] for one in planes]),
        groups=_groups(model.geom_bodyid[grounded]),
        bodies=np.stack([model.geom_bodyid[first], model.geom_bodyid[second]]),
        moves=_moves(model),
        watched=_watched_rows(model, first, second, watched),
        response=_respond(model, first, second),
        impratio=float(model.opt.impratio),
        budget=_budget(crowd),
    )


def _budget(crowd: Crowd) -> Budget:
    points = POINTS + POINTS_PER_MOVABLE * crowd.movables
    return Budget(
        DRIVERS,
        NEAR,
        PAIRS + STACKED_PAIRS * crowd.stacked,
        points + STACKED_POINTS * crowd.stacked,
    )


def _check(model: mujoco.MjModel, pairs: list[tuple[int, int]]) -> None:
    for geom in sorted({geom for pair in pairs for geom in pair}):
        body = model.body(model.geom_bodyid[geom]).name
        if model.geom_type[geom] not in (_PLANE, _BOX, _CAPSULE):
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
    around = np.stack([radius, radius, radius + length])
    capsules = model.geom_type == _CAPSULE
    return np.where(capsules, around, model.geom_size.T).astype(np.float32)


def _grid(pairs: list[tuple[int, int]], geoms: int) -> tuple[np.ndarray, np.ndarray]:
    """Driving geoms [D] and which cells [D, G] are pairs, each pair once."""
    touches = np.zeros((geoms, geoms), bool)
    for first, second in pairs:
        touches[first, second] = touches[second, first] = True
    drivers, rows = [], []
    while touches.any():  # greedily: the geom with most pairs left
        busiest = int(touches.sum(axis=1).argmax())
        drivers.append(busiest)
        rows.append(touches[busiest].copy())
        touches[busiest] = touches[:, busiest] = False
    return np.array(drivers, int), np.array(rows, bool).reshape(len(rows), geoms)


def _each(geoms: Iterable[int]) -> np.ndarray:
    """The different ones, in their first order."""
    return np.array(list(dict.fromkeys(geoms)), int)


def _groups(bodies: np.ndarray) -> np.ndarray:
    members = [np.flatnonzero(bodies == body) for body in dict.fromkeys(bodies)]
    size = max((len(rows) for rows in members), default=0)
    padded = [np.resize(rows, size) for rows in members]
    return np.array(padded, int).reshape(len(members), size)


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


def _moves(model: mujoco.MjModel) -> np.ndarray:
    moves = np.zeros((model.nbody, model.nv), bool)
    for body in range(1, model.nbody):  # parents come first
        moves[body] = moves[model.body_parentid[body]]
        start = model.body_dofadr[body]
        moves[body, start : start + model.body_dofnum[body]] = True
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
