"""LIBERO's OSC_POSE controller and gripper ramp, in NumPy or jax.numpy.

Source: robosuite 1.4.0, `controllers/osc.py` and `config/osc_pose.json`.
Axes: B environments, 7 arm joints; lengths in m, angles in rad, torques in N m.
`xp` is the array module, so that both engines run the same lines. NumPy keeps its
operands' memory order where arrays are joined by `concatenate` (not by `stack`): the C
engine's, with the batch innermost, halves the time.
"""

from typing import Any, NamedTuple

import chex

from omnivla_jax.sim import rotation
from omnivla_jax.sim.assets import panda
from omnivla_jax.sim.rotation import Array

POSITION_SCALE, ROTATION_SCALE = 0.05, 0.5  # m and rad at an action of 1
STIFFNESS = 150.0
DAMPING = 2.0 * STIFFNESS**0.5
NULL_STIFFNESS = 10.0
NULL_DAMPING = 2.0 * NULL_STIFFNESS**0.5
GRIPPER_PER_CONTROL_STEP = 0.25  # 25 substeps of 0.01


class Arm(NamedTuple):
    """What the controller reads of the simulation."""

    position: Array  # [B, 3] of the grip site
    orientation: Array  # [B, 3, 3]
    jacobian: Array  # [B, 6, 7]: translation rows, then rotation rows
    joints: Array  # [B, 7]
    velocity: Array  # [B, 7]
    bias: Array  # [B, 7]: gravity and Coriolis torques


class Dynamics(NamedTuple):
    """The configuration-dependent matrices of operational-space control."""

    lambda_position: Array  # [B, 3, 3]
    lambda_rotation: Array  # [B, 3, 3]
    null_projection: Array  # [B, 7, 7]: N^T M


class PoseGoal(NamedTuple):
    """Where the controller pulls the grip site."""

    position: Array  # [B, 3]
    orientation: Array  # [B, 3, 3]


def jacobian(anchors: Array, axes: Array, position: Array, xp: Any) -> Array:
    """Geometric Jacobian of a chain of hinges, in the world.

    Args:
      anchors: [B, 7, 3], positions of the joints, m.
      axes: [B, 7, 3], unit vectors along the joints.
      position: [B, 3], the point that they move, m.
      xp: the array module.

    Returns:
      [B, 6, 7]: rows of the linear velocity (m/rad), then of the angular one.
    """
    linear = rotation.cross(axes, position[:, None, :] - anchors, xp)
    return xp.concatenate([linear, axes], axis=-1).swapaxes(-1, -2)


def set_goal(
    action: Array, current: Arm | PoseGoal, previous: PoseGoal, fresh: Array, xp: Any
) -> PoseGoal:
    """The goal of one control step, from the `current` pose of the grip site.

    Quirks kept: after a reset or restore the first goal starts from the nominal pose
    (`previous`), and the orientation goal only moves if rotation is commanded.

    Args:
      action: [B, 7] in [-1, 1]: translation, rotation vector, gripper.
      current: the grip site's position and orientation now.
      previous: the goal of the control step before.
      fresh: bool [B]: no control step since reset or restore.
      xp: the array module.

    Returns:
      The goal, in the world.
    """
    shapes = [(len(fresh), 7), (len(fresh), 3), (len(fresh), 3, 3)]
    chex.assert_shape([action, current.position, current.orientation], shapes)
    start_position = xp.where(fresh[:, None], previous.position, current.position)
    fresh_matrix = fresh[:, None, None]
    start_orientation = xp.where(
        fresh_matrix, previous.orientation, current.orientation
    )
    turn = rotation.from_axis_angle(ROTATION_SCALE * action[:, 3:6], xp)
    turned = rotation.matrix(turn, xp) @ start_orientation
    rotates = xp.any(action[:, 3:6] != 0, axis=-1)[:, None, None]
    return PoseGoal(
        start_position + POSITION_SCALE * action[:, :3],
        xp.where(rotates, turned, previous.orientation),
    )


def dynamics(mass: Array, jacobian_matrix: Array, xp: Any) -> Dynamics:
    """Operational-space inertias and null-space projection of one configuration.

    Args:
      mass: [B, 7, 7], the arm's inertia in joint space, kg m^2.
      jacobian_matrix: [B, 6, 7], see `jacobian`.
      xp: the array module.

    Returns:
      The matrices that `torque` takes.
    """
    chex.assert_shape([mass, jacobian_matrix], [(None, 7, 7), (None, 6, 7)])
    compliance = inverse_form(mass, jacobian_matrix.swapaxes(-1, -2), xp)
    return Dynamics(
        spd_inverse(compliance[:, :3, :3], xp),
        spd_inverse(compliance[:, 3:, 3:], xp),
        # N = I - M^-1 J^T C^-1 J with the compliance C, so N^T M = M - J^T C^-1 J.
        mass - inverse_form(compliance, jacobian_matrix, xp),
    )


def torque(terms: Dynamics, arm: Arm, goal: PoseGoal, xp: Any) -> Array:
    """Joint torques that pull the grip site to its goal.

    Args:
      terms: the matrices of this or an earlier substep.
      arm: what the controller reads of the simulation in this substep.
      goal: where it pulls the grip site.
      xp: the array module.

    Returns:
      [B, 7], N m, within the motors' limits.
    """
    turn = rotation.rotation_error(arm.orientation, goal.orientation, xp)
    error = xp.concatenate([goal.position - arm.position, turn], axis=-1)
    pull = STIFFNESS * error - DAMPING * _apply(arm.jacobian, arm.velocity, xp)
    wrench = xp.concatenate(
        [
            _apply(terms.lambda_position, pull[:, :3], xp),
            _apply(terms.lambda_rotation, pull[:, 3:], xp),
        ],
        axis=-1,
    )
    home = xp.asarray(panda.HOME, dtype=arm.joints.dtype)
    posture = NULL_STIFFNESS * (home - arm.joints) - NULL_DAMPING * arm.velocity
    total = (
        _apply(arm.jacobian.swapaxes(-1, -2), wrench, xp)
        + arm.bias
        + _apply(terms.null_projection, posture, xp)
    )
    limit = xp.asarray(panda.TORQUE_LIMIT, dtype=total.dtype)
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
    return xp.clip(closing + step * xp.sign(command), -1.0, 1.0)


def finger_targets(closing: Array, xp: Any) -> Array:
    """Positions that the finger servos aim at.

    Args:
      closing: [B] in [-1, 1].
      xp: the array module.

    Returns:
      [B, 2], m: of the left finger and of the right one, whose axis is mirrored.
    """
    half = panda.FINGER_TRAVEL / 2
    return xp.stack([half - half * closing, half * closing - half], axis=-1)


def spd_inverse(matrices: Array, xp: Any) -> Array:
    """Inverses of small symmetric positive definite matrices.

    Args:
      matrices: [B, n, n].
      xp: the array module.

    Returns:
      [B, n, n].
    """
    unit = xp.eye(matrices.shape[-1], dtype=matrices.dtype)
    return inverse_form(matrices, xp.zeros_like(matrices) + unit, xp)


def inverse_form(matrices: Array, sides: Array, xp: Any) -> Array:
    """Quadratic forms S^T A^-1 S.

    Gaussian elimination without pivoting, unrolled: batched LAPACK calls can deadlock
    XLA's CPU thread pool and are slower at this size.

    Args:
      matrices: A [B, n, n], symmetric and positive definite.
      sides: S [B, n, m].
      xp: the array module.

    Returns:
      [B, m, m].
    """
    size, width = sides.shape[-2:]
    chex.assert_shape(matrices, (len(sides), size, size))
    rest = xp.concatenate([matrices, sides], axis=-1)
    total: Array = 0.0
    for _ in range(size):
        row = rest[:, :1, 1:] / rest[:, :1, :1]
        side = rest[:, :1, -width:].swapaxes(-1, -2)
        total = total + side * row[:, :, -width:]
        rest = rest[:, 1:, 1:] - rest[:, 1:, :1] * row
    return total


def _apply(matrices: Array, vectors: Array, xp: Any) -> Array:
    return xp.einsum("bij,bj->bi", matrices, vectors)
