"""Static tables of contacts: who can touch, shapes, and the parameters of each pair.

Axes: P subsets, N bodies of the model, C of a subset, V degrees of freedom of a subset;
G geoms and E pairs of a subset, as `candidates` lays them out.
"""

from typing import NamedTuple, Sequence

import mujoco
import numpy as np

from omnivla_jax.sim import rotation
from omnivla_jax.sim.engines.mjx.contact.candidates import (
    PLANE,
    BodySubset,
    CandidatePairs,
    find_candidates,
    pair_geoms,
)
from omnivla_jax.sim.engines.mjx.contact.impedance import reference_gains

_BOX, _CAPSULE = int(mujoco.mjtGeom.mjGEOM_BOX), int(mujoco.mjtGeom.mjGEOM_CAPSULE)


class ContactBudget(NamedTuple):
    """Most rows of one environment that are computed; what exceeds it is counted."""

    drivers: int  # driving geoms in pairs of boxes whose world-aligned boxes overlap
    near: int  # pairs of boxes whose world-aligned boxes overlap
    pairs: int  # pairs of boxes that overlap
    contacts: int  # contact points, beside the four of each slot on the ground


# Maxima were measured over layouts of all 40 tasks, random actions, recorded episodes
# and the expert:
#                 near  pairs  contacts  tasks
# BUDGET_TABLE      70     12        28  one goal each; a bottle across both fingers
# BUDGET_GROUPED    70     20        45  several things are brought together
# BUDGET_STACKED    70     18        49  things start on others
BUDGET_TABLE = ContactBudget(drivers=48, near=96, pairs=16, contacts=32)
BUDGET_GROUPED = ContactBudget(drivers=48, near=96, pairs=22, contacts=48)
BUDGET_STACKED = ContactBudget(drivers=48, near=96, pairs=24, contacts=56)


class ContactTables(NamedTuple):
    """Static tables of the collision search and the contact constraints."""

    pairs: CandidatePairs
    geom_body: np.ndarray  # int [P, G] in C
    geom_pos: np.ndarray  # [P, 3, G] m, in the body's frame
    geom_axes: np.ndarray  # [P, 3, 3, G]
    geom_half: np.ndarray  # [P, 3, G] m, half sizes
    pair_bodies: np.ndarray  # int [2, P * E] in C
    moves: np.ndarray  # bool [C, V]: which degrees of freedom move which body
    sensor: np.ndarray  # int [P * E]: row of the sensor pair, -1 for none
    # [10, P * E]: sliding friction, spin friction (m; 0 for none), stiffness (1/s^2),
    # damping (1/s), the bodies' inverse weight (1/kg) and the clipped solimp.
    params: np.ndarray
    impratio: float  # how much stiffer friction is than the normal
    budget: ContactBudget


def build(
    model: mujoco.MjModel,
    sensor_pairs: Sequence[tuple[int, int]],
    body_subsets: Sequence[BodySubset],
    *,
    budget: ContactBudget = BUDGET_TABLE,
) -> ContactTables:
    """Return the tables of `model`.

    Args:
      model: boxes and planes; a capsule collides as the box around it.
      sensor_pairs: root bodies whose contact with each other is sensed.
      body_subsets: P, the bodies of each kind of episode.
      budget: of one environment.

    Returns:
      The tables of P subsets.

    Raises:
      ValueError: on another colliding shape or an unsupported contact parameter.
    """
    pairs = find_candidates(model, body_subsets)
    _check_geoms(model, pairs)
    present = pairs.geoms >= 0
    geoms = np.where(present, pairs.geoms, 0)
    first, second = (
        np.take_along_axis(geoms, rows, 1).ravel() for rows in pair_geoms(pairs)
    )
    bodies = np.stack([s.bodies[model.geom_bodyid] for s in body_subsets])
    subset = np.arange(len(body_subsets)).repeat(pairs.num_pairs)
    axes = rotation.matrix(model.geom_quat, np)

    # A capsule collides as the box around it.
    radius, length = model.geom_size[:, 0], model.geom_size[:, 1]
    around = np.stack([radius, radius, radius + length], axis=-1)
    capsules = model.geom_type == _CAPSULE
    half = np.where(capsules[:, None], around, model.geom_size).astype(np.float32)
    return ContactTables(
        pairs=pairs,
        geom_body=np.take_along_axis(bodies, geoms, axis=1),
        geom_pos=np.moveaxis(model.geom_pos[geoms], -1, 1).astype(np.float32),
        geom_axes=np.moveaxis(axes[geoms], 1, -1).astype(np.float32),
        geom_half=np.moveaxis(half[geoms] * present[..., None], -1, 1),
        pair_bodies=np.stack([bodies[subset, first], bodies[subset, second]]),
        moves=_moves(model, body_subsets),
        sensor=_sensor_rows(model, first, second, sensor_pairs),
        params=_pair_params(model, first, second),
        impratio=float(model.opt.impratio),
        budget=budget,
    )


def _check_geoms(model: mujoco.MjModel, pairs: CandidatePairs) -> None:
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


def _sensor_rows(
    model: mujoco.MjModel,
    first: np.ndarray,
    second: np.ndarray,
    sensor_pairs: Sequence[tuple[int, int]],
) -> np.ndarray:
    roots = model.body_rootid[model.geom_bodyid]
    rows = np.full(len(first), -1)
    for row, (a, b) in enumerate(sensor_pairs):
        for x, y in ((a, b), (b, a)):
            rows[(roots[first] == x) & (roots[second] == y)] = row
    return rows


def _moves(model: mujoco.MjModel, body_subsets: Sequence[BodySubset]) -> np.ndarray:
    every = np.zeros((model.nbody, model.nv + 1), bool)  # the last moves nothing
    for body in range(1, model.nbody):  # parents come first
        every[body] = every[model.body_parentid[body]]
        start = model.body_dofadr[body]
        every[body, start : start + model.body_dofnum[body]] = True
    moves = np.zeros((body_subsets[0].size, len(body_subsets[0].dofs)), bool)
    for subset in body_subsets:
        rows = zip(subset.bodies[subset.present], every[subset.present])
        for row, body_moves in rows:
            moves[row] |= body_moves[subset.dofs]
    return moves


def _pair_params(
    model: mujoco.MjModel, first: np.ndarray, second: np.ndarray
) -> np.ndarray:
    """MuJoCo's `mj_contactParam`: how two geoms' parameters mix."""
    order = model.geom_priority[first] - model.geom_priority[second]
    weight = model.geom_solmix[first] / np.maximum(
        model.geom_solmix[first] + model.geom_solmix[second], mujoco.mjMINVAL
    )
    share = np.where(order == 0, weight, (order > 0).astype(float))[:, None]
    solref, solimp = (
        share * values[first] + (1 - share) * values[second]
        for values in (model.geom_solref, model.geom_solimp)
    )

    def greater(values: np.ndarray) -> np.ndarray:
        """Values [E, n] by priority, else the greater."""
        by_priority = np.where(order[:, None] > 0, values[first], values[second])
        greatest = np.maximum(values[first], values[second])
        return np.where(order[:, None] == 0, greatest, by_priority)

    stiffness, damping, solimp = reference_gains(solref, solimp, model.opt.timestep)
    friction = greater(model.geom_friction)
    dims = greater(model.geom_condim[:, None])[:, 0]
    spin = np.where(dims > 3, friction[:, 1], 0.0)
    weights = model.body_invweight0[model.geom_bodyid, 0]
    inverse_weight = weights[first] + weights[second]
    rows = (friction[:, 0], spin, stiffness, damping, inverse_weight, *solimp)
    return np.stack(rows).astype(np.float32)
