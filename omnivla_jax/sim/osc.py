"""LIBERO's OSC_POSE controller and gripper ramp, in NumPy or jax.numpy.

Source: robosuite 1.4.0, `controllers/osc.py` and `config/osc_pose.json`.
Axes: 7 arm joints, components of vectors and matrices; B environments last, which is
where wide machines have their lanes and NumPy is fastest. Lengths in m, angles in rad,
torques in N m. `xp` is the array module, so that all engines run the same lines.
"""

import functools
from typing import Any, NamedTuple

import chex
import numpy as np

from omnivla_jax.sim import rotation
from omnivla_jax.sim.assets import panda
from omnivla_jax.sim.rotation import Array

POSITION_SCALE, ROTATION_SCALE = 0.05, 0.5  # m and rad at an action of 1
STIFFNESS, NULL_STIFFNESS = 150.0, 10.0  # 1/s^2; both are critically damped
LIBERO_TIMESTEP = 0.002  # s
GRIPPER_PER_CONTROL_STEP = 0.25  # 25 substeps of 0.01


class Arm(NamedTuple):
    """What the controller reads of the simulation."""

    position: Array  # [3, B] of the grip site
    orientation: Array  # [3, 3, B]
    jacobian: Array  # [6, 7, B]: translation rows, then rotation rows
    joints: Array  # [7, B]
    velocity: Array  # [7, B]
    bias: Array  # [7, B]: gravity and Coriolis torques
    passive: Array  # [7, B]: torques of the joints' damping and of the air


class Dynamics(NamedTuple):
    """The configuration-dependent matrices of operational-space control."""

    lambda_position: Array  # [3, 3, B]
    lambda_rotation: Array  # [3, 3, B]
    null_projection: Array  # [7, 7, B]: N^T M
    mobility: Array  # [7, 7, B]: M^-1


class PoseGoal(NamedTuple):
    """Where the controller pulls the grip site."""

    position: Array  # [3, B]
    orientation: Array  # [3, 3, B]


class Gains(NamedTuple):
    """Gains of substeps of one length; see `gains`."""

    stiffness: float  # 1/s^2
    damping: float  # 1/s
    null_stiffness: float  # 1/s^2
    null_damping: float  # 1/s
    new_goal_weight: (
        float  # against the old one, in the first substep of a control step
    )
    lag: float  # share of the hand's other accelerations that damping has to foresee


@functools.cache
def gains(timestep: float) -> Gains:
    """Gains with which longer substeps move the hand as LIBERO's substeps of 2 ms do.

    A substep's damping acts on the velocity at its start, so that LIBERO's own gains
    damp less the longer it is, and the hand goes 1 % too far at 6 ms. These gains put
    the poles of the closed loop where they are at 2 ms. Semi-implicit Euler's
    velocities belong to the middles of substeps; a goal changes 1 ms before LIBERO's
    next one starts, which is within a longer substep: in the first one the old and
    the new goal pull in proportion.

    Args:
      timestep: length of a substep, s, `LIBERO_TIMESTEP` or longer.

    Returns:
      The gains; LIBERO's own at its timestep.
    """
    values: list[float] = []
    for liberos in (STIFFNESS, NULL_STIFFNESS):
        loss = 2.0 * liberos**0.5 * LIBERO_TIMESTEP  # of the velocity in a substep
        total = 2.0 - loss - liberos * LIBERO_TIMESTEP**2
        poles = np.roots([1.0, -total, 1.0 - loss]).astype(complex)
        poles = poles ** (timestep / LIBERO_TIMESTEP)
        values.append(float(np.prod(1.0 - poles).real) / timestep**2)
        values.append(float(1.0 - np.prod(poles).real) / timestep)
    stiffness, damping, null_stiffness, null_damping = values
    return Gains(
        stiffness,
        damping,
        null_stiffness,
        null_damping,
        new_goal_weight=0.5 * (1.0 + LIBERO_TIMESTEP / timestep),
        lag=0.5 * (timestep - LIBERO_TIMESTEP) * damping,
    )


def jacobian(anchors: Array, axes: Array, position: Array, xp: Any) -> Array:
    """Geometric Jacobian of a chain of hinges, in the world.

    Args:
      anchors: [3, 7, B], positions of the joints, m.
      axes: [3, 7, B], unit vectors along the joints.
      position: [3, B], the point that they move, m.
      xp: the array module.

    Returns:
      [6, 7, B]: rows of the linear velocity (m/rad), then of the angular one.
    """
    lever = position[:, None] - anchors
    linear = [axes[i - 2] * lever[i - 1] - axes[i - 1] * lever[i - 2] for i in range(3)]
    return xp.concatenate([xp.stack(linear), axes])


def set_goal(
    action: Array, current: Arm | PoseGoal, previous: PoseGoal, fresh: Array, xp: Any
) -> PoseGoal:
    """The goal of one control step, from the `current` pose of the grip site.

    Quirks kept: after a reset or restore the first goal starts from the nominal pose
    (`previous`), and the orientation goal only moves if rotation is commanded.

    Args:
      action: [7, B] in [-1, 1]: translation, rotation vector, gripper.
      current: the grip site's position and orientation now.
      previous: the goal of the control step before.
      fresh: bool [B]: no control step since reset or restore.
      xp: the array module.

    Returns:
      The goal, in the world.
    """
    batch = len(fresh)
    chex.assert_shape(
        [action, current.position, current.orientation],
        [(7, batch), (3, batch), (3, 3, batch)],
    )
    start_position = xp.where(fresh, previous.position, current.position)
    start_orientation = xp.where(fresh, previous.orientation, current.orientation)
    turn = rotation.from_axis_angle(ROTATION_SCALE * action[3:6].T, xp)
    turned = rotation.matrix(turn, xp) @ xp.moveaxis(start_orientation, -1, 0)
    rotates = xp.any(action[3:6] != 0, axis=0)
    return PoseGoal(
        start_position + POSITION_SCALE * action[:3],
        xp.where(rotates, xp.moveaxis(turned, 0, -1), previous.orientation),
    )


def dynamics(mass: Array, jacobian_matrix: Array, xp: Any) -> Dynamics:
    """Operational-space inertias and null-space projection of one configuration.

    Args:
      mass: [7, 7, B], the arm's inertia in joint space, kg m^2.
      jacobian_matrix: [6, 7, B], see `jacobian`.
      xp: the array module.

    Returns:
      The matrices that `torque` takes.
    """
    chex.assert_shape([mass, jacobian_matrix], [(7, 7, None), (6, 7, None)])
    mobility = spd_inverse(mass, xp)
    response = _matmul(mobility, jacobian_matrix.swapaxes(0, 1), xp)
    compliance = _matmul(jacobian_matrix, response, xp)
    return Dynamics(
        spd_inverse(compliance[:3, :3], xp),
        spd_inverse(compliance[3:, 3:], xp),
        # N = I - M^-1 J^T C^-1 J with the compliance C, so N^T M = M - J^T C^-1 J.
        mass - inverse_form(compliance, jacobian_matrix, xp),
        mobility,
    )


def torque(terms: Dynamics, arm: Arm, goal: PoseGoal, gain: Gains, xp: Any) -> Array:
    """Joint torques that pull the grip site to its goal.

    Args:
      terms: the matrices of this or an earlier substep.
      arm: what the controller reads of the simulation in this substep.
      goal: where it pulls the grip site.
      gain: of the substep's length.
      xp: the array module.

    Returns:
      [7, B], N m, within the motors' limits.
    """
    turn = rotation_error(arm.orientation, goal.orientation, xp)
    error = xp.concatenate([goal.position - arm.position, turn])
    velocity = _apply(arm.jacobian, arm.velocity, xp)
    pull = gain.stiffness * error - gain.damping * velocity
    first = _limited_torque(terms, arm, pull, gain, xp)
    if not gain.lag:
        return first
    # Translation and rotation move each other, motors saturate, the air brakes:
    # what the hand does besides its pull is damped half a longer substep ahead.
    joints = _apply(terms.mobility, first - arm.bias + arm.passive, xp)
    besides = _apply(arm.jacobian, joints, xp) - pull
    return _limited_torque(terms, arm, pull - gain.lag * besides, gain, xp)


def _limited_torque(
    terms: Dynamics, arm: Arm, pull: Array, gain: Gains, xp: Any
) -> Array:
    """The torques [7, B] that accelerate the hand by `pull` [6, B], if motors can."""
    wrench = xp.concatenate(
        [
            _apply(terms.lambda_position, pull[:3], xp),
            _apply(terms.lambda_rotation, pull[3:], xp),
        ]
    )
    home = xp.asarray(panda.HOME[:, None], dtype=arm.joints.dtype)
    posture = gain.null_stiffness * (home - arm.joints)
    posture = posture - gain.null_damping * arm.velocity
    total = (
        _apply(arm.jacobian.swapaxes(0, 1), wrench, xp)
        + arm.bias
        + _apply(terms.null_projection, posture, xp)
    )
    limit = xp.asarray(panda.TORQUE_LIMIT[:, None], dtype=total.dtype)
    return xp.clip(total, -limit, limit)


def ramp_gripper(closing: Array, command: Array, substeps: int, xp: Any) -> Array:
    """The gripper's closing after one substep.

    Args:
      closing: [B] in [-1, 1], commanded before it.
      command: [B]: its sign says whether the gripper closes or opens.
      substeps: in a control step.
      xp: the array module.

    Returns:
      [B] in [-1, 1], from open to closed.
    """
    step = GRIPPER_PER_CONTROL_STEP / substeps
    opens = xp.where(command < 0, -step, 0.0)  # a kernel may hold no sign
    moved = closing + xp.where(command > 0, step, opens)
    return xp.clip(moved, -1.0, 1.0)


def finger_targets(closing: Array, xp: Any) -> Array:
    """Positions that the finger servos aim at.

    Args:
      closing: [B] in [-1, 1].
      xp: the array module.

    Returns:
      [2, B], m: of the left finger and of the right one, whose axis is mirrored.
    """
    half = panda.FINGER_TRAVEL / 2
    return xp.stack([half - half * closing, half * closing - half])


def spd_inverse(matrices: Array, xp: Any) -> Array:
    """Inverses of small symmetric positive definite matrices.

    Args:
      matrices: [n, n, B].
      xp: the array module.

    Returns:
      [n, n, B].
    """
    unit = np.eye(len(matrices), dtype=matrices.dtype)[..., None]
    return inverse_form(matrices, xp.zeros_like(matrices) + unit, xp)


def inverse_form(matrices: Array, sides: Array, xp: Any) -> Array:
    """Quadratic forms S^T A^-1 S.

    Gaussian elimination without pivoting, unrolled: batched LAPACK calls can deadlock
    XLA's CPU thread pool and are slower at this size.

    Args:
      matrices: A [n, n, B], symmetric and positive definite.
      sides: S [n, m, B].
      xp: the array module.

    Returns:
      [m, m, B].
    """
    size, width, batch = sides.shape
    chex.assert_shape(matrices, (size, size, batch))
    rest = xp.concatenate([matrices, sides], axis=1)
    total: Array = 0.0
    for _ in range(size):
        row = rest[0, 1:] / rest[0, :1]
        side = rest[0, -width:]
        total = total + side[:, None] * row[-width:]
        rest = rest[1:, 1:] - rest[1:, :1] * row
    return total


def rotation_error(current: Array, goal: Array, xp: Any) -> Array:
    """OSC's orientation error: half the sum of the columns' cross products.

    Args:
      current, goal: rotation matrices [3, 3, B].
      xp: the array module.

    Returns:
      [3, B]: the axis of the turn from `current` to `goal`, times its angle's sine.
    """
    products = _matmul(current, goal.swapaxes(0, 1), xp)
    skew = products - products.swapaxes(0, 1)
    return 0.5 * xp.concatenate([skew[1, 2:], skew[2, :1], skew[0, 1:2]])


def _apply(matrices: Array, vectors: Array, xp: Any) -> Array:
    """Products [n, B] of matrices [n, m, B] and vectors [m, B]."""
    if xp is np:  # without an array of all products
        return np.einsum("ijb,jb->ib", matrices, vectors)
    return (matrices * vectors).sum(axis=1)  # which a kernel may hold


def _matmul(first: Array, second: Array, xp: Any) -> Array:
    """Products [n, k, B] of matrices [n, m, B] and [m, k, B]."""
    if xp is np:
        return np.einsum("ijb,jkb->ikb", first, second)
    return sum(first[:, i : i + 1] * second[i] for i in range(len(second)))
