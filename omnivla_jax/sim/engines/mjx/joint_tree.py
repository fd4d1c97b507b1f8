"""Kinematics and dynamics of jointed bodies, all of them in every operation.

MuJoCo's recursions along the chain become sums over static masks: what a joint moves,
it moves at once. Only poses need steps, of which each doubles the bodies composed.
Spatial vectors are taken about the position of each tree's root, where they stay small.
Axes: components lead; N bodies, n those that a joint moves, V degrees of freedom; B
environments last.
"""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np

from omnivla_jax.sim.engines.mjx import fluid
from omnivla_jax.sim.engines.mjx.free_bodies import Pose
from omnivla_jax.sim.engines.mjx.tree_tables import (
    Actuators,
    TreeBodies,
    TreeJoints,
    TreeTables,
)
from omnivla_jax.sim.engines.mjx.vectors import (
    cross,
    dot,
    from_axis_angle,
    matmul,
    matvec,
    matvec_t,
    multiply,
    rotate,
    rotation_matrix,
    take_rows,
)


class Frames(NamedTuple):
    """Poses in the parents."""

    position: jax.Array  # [3, N, B]
    quaternion: jax.Array  # [4, N, B]


class Spatial(NamedTuple):
    """Motions or wrenches about the roots' positions."""

    angular: jax.Array  # [3, ..., B]
    linear: jax.Array  # [3, ..., B]


class TreeDynamics(NamedTuple):
    """Quantities that positions and velocities determine, without contacts."""

    axes: Spatial  # [V, B] of the joints
    mass: jax.Array  # [V, V, B]
    bias: jax.Array  # [V, B]: gravity, gyroscopic and centrifugal forces
    passive: jax.Array  # [V, B]: damping and drag
    velocity: Spatial  # [N, B] of all bodies, at their positions


class _Inertia(NamedTuple):
    """Spatial inertia about the roots' positions."""

    mass: jax.Array  # [..., B]
    moment: jax.Array  # [3, ..., B]: mass times centre
    rotational: jax.Array  # [3, 3, ..., B]


def frames(
    bodies: TreeBodies, posed: np.ndarray, position: jax.Array, quaternion: jax.Array
) -> Frames:
    """Return the bodies' frames, of which those of `posed` are data.

    Args:
      bodies: of the model.
      posed: int [F], bodies.
      position: [3, F, B] m, in the parent.
      quaternion: [4, F, B].
    """
    count, batch = len(bodies.parents), position.shape[-1]
    order = np.arange(count)
    order[posed] = count + np.arange(len(posed))

    def placed(table: np.ndarray, data: jax.Array) -> jax.Array:
        shape = (*table.shape, batch)
        fixed = jnp.broadcast_to(jnp.asarray(table, data.dtype)[..., None], shape)
        return take_rows(jnp.concatenate([fixed, data], axis=1), order)

    return Frames(
        placed(bodies.position, position), placed(bodies.quaternion, quaternion)
    )


def kinematics(tables: TreeTables, base: Frames, qpos: jax.Array) -> Pose:
    """Return the poses in the world.

    Args:
      tables: of the model.
      base: the frames at `qpos` of 0.
      qpos: [V, B] rad or m.
    """
    bodies, joints = tables.bodies, tables.joints
    chex.assert_shape(qpos, (len(joints.bodies), base.position.shape[-1]))
    own = Frames(*(take_rows(part, joints.bodies) for part in base))
    way = (qpos - joints.start) * joints.axis
    moved = Frames(
        own.position + rotate(own.quaternion, way * (1 - joints.hinge)),
        multiply(own.quaternion, from_axis_angle(way * joints.hinge)),
    )
    order = np.arange(len(bodies.parents))
    order[joints.bodies] = len(order) + np.arange(len(joints.bodies))
    position, quaternion = (
        take_rows(jnp.concatenate(parts, axis=1), order) for parts in zip(base, moved)
    )

    # Each body's pose in an ancestor, which is twice as far up after every round.
    ancestor = bodies.parents
    while ancestor.any():
        above = take_rows(quaternion, ancestor)
        position = take_rows(position, ancestor) + rotate(above, position)
        quaternion = multiply(above, quaternion)
        ancestor = ancestor[ancestor]
    return Pose(position, quaternion, rotation_matrix(quaternion))


def dynamics(tables: TreeTables, pose: Pose, qvel: jax.Array) -> TreeDynamics:
    """Return all that `qvel` [V, B] and the poses [N, B] determine."""
    bodies, joints = tables.bodies, tables.joints
    axes = _joint_axes(bodies, joints, pose)
    matrix = jnp.stack(
        [take_rows(row, bodies.moving) for row in pose.matrix]
    )  # [3, 3, n, B]
    center = matvec(matrix, bodies.center)
    lever = take_rows(pose.position, bodies.moving) + center
    lever -= take_rows(pose.position, bodies.roots[bodies.moving])
    inertia = _inertia(bodies, matrix, lever)

    # Velocities of bodies and joints, then the accelerations that they cause.
    rates = Spatial(*(part * qvel for part in axes))
    velocity = _pass_down(rates, joints.moves)
    turning = _motion_cross(_pass_down(rates, joints.above), axes)
    swing = _pass_down(Spatial(*(part * qvel for part in turning)), joints.moves)
    gravity = tables.medium.gravity.reshape(3, 1, 1)
    acceleration = swing._replace(linear=swing.linear - gravity)
    force = _apply(inertia, acceleration)
    gyroscopic = _force_cross(velocity, _apply(inertia, velocity))
    force = Spatial(*(a + b for a, b in zip(force, gyroscopic)))

    # The drag on each body, moved to the root.
    speed = velocity.linear + cross(velocity.angular, lever)
    local = (matvec_t(matrix, part) for part in (speed, velocity.angular))
    push, torque = fluid.drag(tables.medium, bodies.box, bodies.frame, *local)
    push, torque = matvec(matrix, push), matvec(matrix, torque)
    drag = Spatial(torque + cross(lever, push), push)

    bias, resistance = (
        _work(axes, _pass_up(wrench, joints.moves)) for wrench in (force, drag)
    )
    return TreeDynamics(
        axes,
        _mass_matrix(joints, axes, inertia),
        bias,
        resistance - joints.damping * qvel,
        _velocities(bodies, joints, pose, rates),
    )


def actuation(
    actuators: Actuators, qpos: jax.Array, qvel: jax.Array, ctrl: jax.Array
) -> jax.Array:
    """Return the forces [V, B] of `ctrl` [U, B] at `qpos` and `qvel` [V, B]."""
    count = len(actuators.gain)
    chex.assert_axis_dimension(ctrl, 0, count)
    constant, by_position, by_velocity = actuators.bias
    force = jnp.clip(ctrl, *actuators.control_range) * actuators.gain
    force += constant + by_position * qpos[:count] + by_velocity * qvel[:count]
    force = jnp.clip(force, *actuators.force_range)
    return jnp.pad(force, ((0, len(qvel) - count), (0, 0)))


def _joint_axes(bodies: TreeBodies, joints: TreeJoints, pose: Pose) -> Spatial:
    """How each degree of freedom moves a point at the position of its root."""
    matrix = jnp.stack([take_rows(row, joints.bodies) for row in pose.matrix])
    axis = matvec(matrix, joints.axis)
    away = take_rows(pose.position, bodies.roots[joints.bodies])
    away -= take_rows(pose.position, joints.bodies)
    turn = axis * joints.hinge
    return Spatial(turn, cross(turn, away) + axis * (1 - joints.hinge))


def _velocities(
    bodies: TreeBodies, joints: TreeJoints, pose: Pose, rates: Spatial
) -> Spatial:
    """Velocities [N, B] of all bodies at their positions."""
    angular, linear = _pass_down(rates, joints.moves_body)
    lever = pose.position - take_rows(pose.position, bodies.roots)
    return Spatial(angular, linear + cross(angular, lever))


def _inertia(bodies: TreeBodies, matrix: jax.Array, lever: jax.Array) -> _Inertia:
    """Spatial inertia of `moving` bodies turned by `matrix`, `lever` to the centre."""
    about_center = matmul(matmul(matrix, bodies.inertia), matrix.swapaxes(0, 1))
    unit = jnp.eye(3).reshape(3, 3, 1, 1)
    offset = dot(lever, lever) * unit - lever[:, None] * lever[None]
    mass = jnp.broadcast_to(bodies.mass, lever.shape[1:])
    return _Inertia(mass, mass * lever, about_center + mass * offset)


def _mass_matrix(joints: TreeJoints, axes: Spatial, inertia: _Inertia) -> jax.Array:
    """[V, V, B]: each joint's axis against the momentum that another one gives."""
    shape = inertia.mass.shape
    parts = inertia.mass[None], inertia.moment, inertia.rotational.reshape(9, *shape)
    flat = jnp.concatenate(parts)
    flat = jnp.sum(flat[:, None] * joints.moves, axis=2)  # [13, V, B]
    composite = _Inertia(flat[0], flat[1:4], flat[4:].reshape(3, 3, *flat.shape[1:]))
    momentum = _apply(composite, axes)
    work = _work(
        Spatial(*(part[:, :, None] for part in axes)),
        Spatial(*(part[:, None] for part in momentum)),
    )  # row: the upper joint; column: the one whose momentum it is
    upper = work * joints.above
    lower = (work * (joints.above * (1 - np.eye(len(work))[..., None]))).swapaxes(0, 1)
    return upper + lower + joints.armature * jnp.eye(len(work))[..., None]


def _pass_down(motion: Spatial, mask: np.ndarray) -> Spatial:
    """Sum the joints' motions [V, B] over those that move each body: [n, B]."""
    both = jnp.sum(jnp.concatenate(motion)[:, :, None] * mask, axis=1)
    return Spatial(both[:3], both[3:])


def _pass_up(wrench: Spatial, mask: np.ndarray) -> Spatial:
    """Sum the bodies' wrenches [n, B] over those that each joint moves: [V, B]."""
    both = jnp.sum(jnp.concatenate(wrench)[:, None] * mask, axis=2)
    return Spatial(both[:3], both[3:])


def _apply(inertia: _Inertia, motion: Spatial) -> Spatial:
    """Momenta of motions."""
    return Spatial(
        matvec(inertia.rotational, motion.angular)
        + cross(inertia.moment, motion.linear),
        inertia.mass * motion.linear - cross(inertia.moment, motion.angular),
    )


def _motion_cross(velocity: Spatial, motion: Spatial) -> Spatial:
    """Rates of motions carried by a velocity."""
    return Spatial(
        cross(velocity.angular, motion.angular),
        cross(velocity.angular, motion.linear) + cross(velocity.linear, motion.angular),
    )


def _force_cross(velocity: Spatial, momentum: Spatial) -> Spatial:
    """Rates of momenta carried by a velocity."""
    return Spatial(
        cross(velocity.angular, momentum.angular)
        + cross(velocity.linear, momentum.linear),
        cross(velocity.angular, momentum.linear),
    )


def _work(motion: Spatial, wrench: Spatial) -> jax.Array:
    return dot(motion.angular, wrench.angular) + dot(motion.linear, wrench.linear)
