"""Rigid bodies on free joints: mass matrix, forces and integration in closed form.

MuJoCo's coordinates: the velocity is the linear one of the body's origin in the world
and the angular one in the body's frame. Lengths in m, masses in kg.
Axes: components lead; S bodies, B environments last. Constants have S, 1 or S, B.
"""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import mujoco
import numpy as np

from omnivla_jax.sim import osc, rotation
from omnivla_jax.sim.engines.mjx.fluid import FluidOptions, drag, equivalent_box
from omnivla_jax.sim.engines.mjx.vectors import (
    cross,
    from_axis_angle,
    matmul,
    matvec,
    matvec_t,
    multiply,
    rotation_matrix,
)
from omnivla_jax.sim.rotation import Array


class BodyConstants(NamedTuple):
    """Inertia and damping of each body."""

    mass: Array  # [...]
    center: Array  # [3, ...] of mass, in the body's frame
    inertia: Array  # [3, 3, ...] about it, in the body's frame
    inverse_inertia: Array  # [3, 3, ...]
    damping: Array  # [6, ...] of the joint
    frame: Array  # [3, 3, ...]: the inertia's principal axes
    box: Array  # [3, ...] m: edges, along them, of the box with this inertia


class Pose(NamedTuple):
    """Poses of bodies in the world."""

    position: jax.Array  # [3, S, B]
    quaternion: jax.Array  # [4, S, B] wxyz, of length 1
    matrix: jax.Array  # [3, 3, S, B]


class Dynamics(NamedTuple):
    """Quantities that positions and velocities determine, without contacts."""

    mass: jax.Array  # [6, 6, S, B]
    force: jax.Array  # [6, S, B]: all forces
    acceleration: jax.Array  # [6, S, B] that they cause


def body_constants(model: mujoco.MjModel, bodies: list[int]) -> BodyConstants:
    """Return the constants of `bodies`, and of a body of 1 kg and 1 kg m2 as the last.

    Raises:
      ValueError: naming a body whose joint is not a free one.
    """
    joint = model.body_jntadr[bodies]
    for body in np.array(bodies)[model.jnt_type[joint] != 0]:
        raise ValueError(f"Body {model.body(body).name!r} is on no free joint.")
    dofs = model.jnt_dofadr[joint][:, None] + np.arange(6)
    mass = np.append(model.body_mass[bodies], 1.0)
    moments = np.concatenate([model.body_inertia[bodies], np.ones((1, 3))])
    turn = np.concatenate([model.body_iquat[bodies], [[1.0, 0.0, 0.0, 0.0]]])
    frame = rotation.matrix(turn, np)
    inertia = np.einsum("sij,sj,skj->sik", frame, moments, frame)
    rows = BodyConstants(
        mass=mass,
        center=np.concatenate([model.body_ipos[bodies], np.zeros((1, 3))]),
        inertia=inertia,
        inverse_inertia=np.linalg.inv(inertia),
        damping=np.concatenate([model.dof_damping[dofs], np.zeros((1, 6))]),
        frame=frame,
        box=equivalent_box(mass, moments),
    )
    return BodyConstants(*(np.moveaxis(table, 0, -1) for table in rows))


def kinematics(qpos: jax.Array) -> Pose:
    """Return the poses of free joints at `qpos` [7, S, B].

    Args:
      qpos: [7, S, B], position in m and quaternion wxyz of any length but 0.

    Returns:
      The poses [S, B].
    """
    chex.assert_axis_dimension(qpos, 0, 7)
    quaternion = qpos[3:] / jnp.sqrt(jnp.sum(qpos[3:] ** 2, axis=0))
    return Pose(qpos[:3], quaternion, rotation_matrix(quaternion))


def dynamics(
    bodies: BodyConstants, medium: FluidOptions, pose: Pose, qvel: jax.Array
) -> Dynamics:
    """Return mass matrices, forces and accelerations.

    Args:
      bodies: [S, B] or [S, 1].
      medium: gravity and what surrounds the bodies.
      pose: [S, B].
      qvel: [6, S, B] m/s in the world, rad/s in the body's frame.

    Returns:
      Mass matrices [6, 6, S, B], forces [6, S, B] (N, N m) and accelerations [6, S, B]
      (m/s2, rad/s2).
    """
    force = _force(bodies, medium, pose, qvel)
    shape = pose.matrix.shape
    unit = jnp.eye(3).reshape(3, 3, 1, 1)
    lever = _skew(bodies.center)
    side = -bodies.mass * matmul(pose.matrix, lever)
    spin = bodies.inertia - bodies.mass * matmul(lever, lever)
    weight = jnp.broadcast_to(bodies.mass * unit, shape)
    above = jnp.concatenate([weight, side], axis=1)
    spin = jnp.broadcast_to(spin, shape)
    below = jnp.concatenate([side.swapaxes(0, 1), spin], axis=1)

    # The inverse mass matrix times the force, by way of the centre of mass.
    push = matvec_t(pose.matrix, force[:3])
    moment = force[3:] - cross(bodies.center, push)
    angular = matvec(bodies.inverse_inertia, moment)
    linear = push / bodies.mass - cross(angular, bodies.center)
    acceleration = jnp.concatenate([matvec(pose.matrix, linear), angular])
    return Dynamics(jnp.concatenate([above, below]), force, acceleration)


def motion_axes(pose: Pose) -> tuple[jax.Array, jax.Array]:
    """Return how each degree of freedom moves a point at the world's origin.

    Args:
      pose: [S, B].

    Returns:
      Angular and linear velocities [3, 6, S, B] of the point.
    """
    unit = jnp.broadcast_to(jnp.eye(3).reshape(3, 3, 1, 1), pose.matrix.shape)
    slide = cross(pose.position[:, None], pose.matrix)
    return (
        jnp.concatenate([jnp.zeros_like(unit), pose.matrix], axis=1),
        jnp.concatenate([unit, slide], axis=1),
    )


def integrate(
    pose: Pose, qvel: jax.Array, acceleration: jax.Array, timestep: float
) -> tuple[jax.Array, jax.Array]:
    """Return `qpos` [7, S, B] and `qvel` [6, S, B] after Euler's semi-implicit step.

    Args:
      pose: [S, B] before the step.
      qvel: [6, S, B] before the step.
      acceleration: [6, S, B].
      timestep: s.

    Returns:
      Positions (m) with unit quaternions wxyz, and velocities (m/s, rad/s).
    """
    after = qvel + timestep * acceleration
    quaternion = multiply(pose.quaternion, from_axis_angle(timestep * after[3:]))
    position = pose.position + timestep * after[:3]
    return jnp.concatenate([position, quaternion]), after


def implicit_damping(
    bodies: BodyConstants, mass: jax.Array, acceleration: jax.Array, timestep: float
) -> jax.Array:
    """Return `acceleration` [6, S, B] with the joint's damping taken implicitly.

    Args:
      bodies: [S, B] or [S, 1].
      mass: [6, 6, S, B].
      acceleration: [6, S, B].
      timestep: s.

    Returns:
      The damped accelerations [6, S, B] in m/s2 and rad/s2.
    """
    force = jnp.sum(mass * acceleration, axis=1)
    unit = jnp.eye(6).reshape(6, 6, 1, 1)
    stiff = mass + timestep * bodies.damping * unit
    flat = stiff.reshape(6, 6, -1)
    inverse = osc.spd_inverse(flat, jnp).reshape(stiff.shape)
    return jnp.sum(inverse * force, axis=1)


def _force(
    bodies: BodyConstants, medium: FluidOptions, pose: Pose, qvel: jax.Array
) -> jax.Array:
    """[6, S, B]: gravity, gyroscopic and centrifugal forces, drag, damping."""
    spin = qvel[3:]  # the body's frame from here on
    speed = matvec_t(pose.matrix, qvel[:3]) + cross(spin, bodies.center)
    swing = cross(spin, cross(spin, bodies.center))
    gravity = matvec_t(pose.matrix, medium.gravity.reshape(3, 1, 1))
    push, moment = drag(medium, bodies.box, bodies.frame, speed, spin)
    push += bodies.mass * (gravity - swing)
    moment -= cross(spin, matvec(bodies.inertia, spin))
    moment += cross(bodies.center, push)
    total = jnp.concatenate([matvec(pose.matrix, push), moment])
    return total - bodies.damping * qvel


def _skew(vectors: Array) -> jax.Array:
    """[3, 3, ...]: the cross product with `vectors` [3, ...], from the left."""
    x, y, z = vectors
    zero = jnp.zeros_like(x)
    rows = ((zero, -z, y), (z, zero, -x), (-y, x, zero))
    return jnp.stack([jnp.stack(row) for row in rows])
