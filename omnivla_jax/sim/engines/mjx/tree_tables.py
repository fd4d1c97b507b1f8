"""Static tables of the jointed bodies: the robot's chain and the fixtures' parts.

Axes: N bodies, the world first; V degrees of freedom, one a joint; U controls;
components lead.
"""

from typing import NamedTuple

import mujoco
import numpy as np

from omnivla_jax.sim import rotation
from omnivla_jax.sim.engines.mjx.fluid import (
    FluidOptions,
    equivalent_box,
    fluid_options,
)

_HINGE = int(mujoco.mjtJoint.mjJNT_HINGE)
_SLIDE = int(mujoco.mjtJoint.mjJNT_SLIDE)
_ON_JOINT = int(mujoco.mjtTrn.mjTRN_JOINT)


class TreeBodies(NamedTuple):
    """Where the bodies are, and the inertia of those that something moves."""

    parents: np.ndarray  # int [N]
    roots: np.ndarray  # int [N]: the world's child above each
    position: np.ndarray  # [3, N] m, in the parent
    quaternion: np.ndarray  # [4, N]
    moving: np.ndarray  # int [n]: bodies with a mass that a joint moves
    mass: np.ndarray  # [n, 1] kg
    center: np.ndarray  # [3, n, 1] m, in the body's frame
    inertia: np.ndarray  # [3, 3, n, 1] about it, in the body's frame
    frame: np.ndarray  # [3, 3, n, 1]: the inertia's principal axes
    box: np.ndarray  # [3, n, 1] m: edges of the box with this inertia


class TreeJoints(NamedTuple):
    """Hinges and slides through the origins of their bodies."""

    bodies: np.ndarray  # int [V]
    hinge: np.ndarray  # [V, 1]: 1 for a hinge, 0 for a slide
    axis: np.ndarray  # [3, V, 1] in the body's frame
    start: np.ndarray  # [V, 1]: qpos at which the body is where its frame says
    moves: np.ndarray  # [V, n, 1]: 1 where it moves a body of `moving`
    moves_body: np.ndarray  # [V, N, 1]: 1 where it moves any body
    above: np.ndarray  # [V, V, 1]: 1 where it moves the other one's body, or is it
    damping: np.ndarray  # [V, 1]
    armature: np.ndarray  # [V, 1]


class Actuators(NamedTuple):
    """Forces on the first U degrees of freedom: gain * ctrl + bias."""

    control_range: np.ndarray  # [2, U, 1]
    gain: np.ndarray  # [U, 1]
    bias: np.ndarray  # [3, U, 1]: constant, by position, by velocity
    force_range: np.ndarray  # [2, U, 1]


class TreeTables(NamedTuple):
    """All that `joint_tree` reads of a model."""

    bodies: TreeBodies
    joints: TreeJoints
    actuators: Actuators
    medium: FluidOptions


def tree_tables(model: mujoco.MjModel) -> TreeTables:
    """Return the tables of `model`.

    Raises:
      ValueError: naming a joint or an actuator that `joint_tree` has no formula for.
    """
    _check(model)
    moved = _moved_bodies(model)
    moving = np.flatnonzero(moved.any(axis=0) & (model.body_mass > 0))
    frame = rotation.matrix(model.body_iquat[moving], np)
    moments = model.body_inertia[moving]
    inertia = np.einsum("nij,nj,nkj->ikn", frame, moments, frame)
    bodies = TreeBodies(
        parents=model.body_parentid,
        roots=model.body_rootid,
        position=model.body_pos.T,
        quaternion=model.body_quat.T,
        moving=moving,
        mass=model.body_mass[moving, None],
        center=model.body_ipos[moving].T[..., None],
        inertia=inertia[..., None],
        frame=np.moveaxis(frame, 0, -1)[..., None],
        box=equivalent_box(model.body_mass[moving], moments).T[..., None],
    )
    owners = model.jnt_bodyid
    joints = TreeJoints(
        bodies=owners,
        hinge=(model.jnt_type == _HINGE).astype(float)[:, None],
        axis=model.jnt_axis.T[..., None],
        start=model.qpos0[:, None],
        moves=moved[:, moving, None].astype(float),
        moves_body=moved[..., None].astype(float),
        above=moved[:, owners, None].astype(float),
        damping=model.dof_damping[:, None],
        armature=model.dof_armature[:, None],
    )
    return TreeTables(bodies, joints, _actuators(model), fluid_options(model))


def _moved_bodies(model: mujoco.MjModel) -> np.ndarray:
    """bool [V, N]: which degrees of freedom move which body."""
    moved = np.zeros((model.nv, model.nbody), bool)
    for body in range(1, model.nbody):  # parents come first
        moved[:, body] = moved[:, model.body_parentid[body]]
        moved[model.jnt_bodyid == body, body] = True
    return moved


def _actuators(model: mujoco.MjModel) -> Actuators:
    ranges = [
        np.where(limited[:, None], limits, [-np.inf, np.inf]).T[..., None]
        for limited, limits in (
            (model.actuator_ctrllimited, model.actuator_ctrlrange),
            (model.actuator_forcelimited, model.actuator_forcerange),
        )
    ]
    affine = model.actuator_biastype == int(mujoco.mjtBias.mjBIAS_AFFINE)
    bias = np.where(affine[:, None], model.actuator_biasprm[:, :3], 0.0)
    return Actuators(
        control_range=ranges[0],
        gain=model.actuator_gainprm[:, :1],
        bias=bias.T[..., None],
        force_range=ranges[1],
    )


def _check(model: mujoco.MjModel) -> None:
    for joint in range(model.njnt):
        name, bodies = model.joint(joint).name, model.jnt_bodyid
        if model.jnt_type[joint] not in (_HINGE, _SLIDE):
            raise ValueError(f"Joint {name!r} of the fixtures is no hinge or slide.")
        if np.any(model.jnt_pos[joint]) or np.sum(bodies == bodies[joint]) > 1:
            raise ValueError(
                f"Joint {name!r} must be alone on its body and go through its origin."
            )
        if model.jnt_stiffness[joint] or model.jnt_actfrclimited[joint]:
            raise ValueError(f"Joint {name!r} has a spring or a force limit.")
    for row in range(model.nu):
        kinds = model.actuator_trntype[row], model.actuator_dyntype[row]
        plain = kinds == (_ON_JOINT, int(mujoco.mjtDyn.mjDYN_NONE))
        fixed = model.actuator_gaintype[row] == int(mujoco.mjtGain.mjGAIN_FIXED)
        gear = model.actuator_gear[row, 0] == 1.0
        if not (plain and fixed and gear and model.actuator_trnid[row, 0] == row):
            name = model.actuator(row).name
            raise ValueError(
                f"Actuator {name!r} must drive joint {row} with gear 1 and fixed gain."
            )
