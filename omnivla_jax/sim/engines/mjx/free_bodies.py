"""Rigid bodies on free joints: mass matrix, forces and integration in closed form.

MuJoCo's coordinates: the velocity is the linear one of the body's origin in the world
and the angular one in the body's frame. Lengths in m, masses in kg.
Axes: B environments, S bodies; constants lead with their own axes, as S or B, S.
"""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import mujoco
import numpy as np

from omnivla_jax.sim import osc, rotation
from omnivla_jax.sim.rotation import Array

MIN_MOMENT = 1e-12  # kg m2: MJX's floor of the moments that give the fluid's box


class BodyConstants(NamedTuple):
    """Inertia and damping of each body."""

    mass: Array  # [...]
    center: Array  # [..., 3] of mass, in the body's frame
    inertia: Array  # [..., 3, 3] about it, in the body's frame
    inverse_inertia: Array  # [..., 3, 3]
    damping: Array  # [..., 6] of the joint
    frame: Array  # [..., 3, 3]: the inertia's principal axes
    box: Array  # [..., 3] m: edges, along them, of the box with this inertia


class FluidOptions(NamedTuple):
    """Gravity and the medium around the bodies."""

    gravity: np.ndarray  # [3] m/s2
    density: float  # kg/m3
    viscosity: float  # Pa s


class Pose(NamedTuple):
    """Poses of the bodies in the world."""

    position: jax.Array  # [B, S, 3]
    quaternion: jax.Array  # [B, S, 4] wxyz, of length 1
    matrix: jax.Array  # [B, S, 3, 3]


class Dynamics(NamedTuple):
    """Quantities that positions and velocities determine, without contacts."""

    mass: jax.Array  # [B, S, 6, 6]
    force: jax.Array  # [B, S, 6]: all forces
    acceleration: jax.Array  # [B, S, 6] that they cause


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
    sums = moments.sum(axis=1, keepdims=True) - 2 * moments
    return BodyConstants(
        mass=mass,
        center=np.concatenate([model.body_ipos[bodies], np.zeros((1, 3))]),
        inertia=inertia,
        inverse_inertia=np.linalg.inv(inertia),
        damping=np.concatenate([model.dof_damping[dofs], np.zeros((1, 6))]),
        frame=frame,
        box=np.sqrt(6.0 * np.maximum(sums, MIN_MOMENT) / mass[:, None]),
    )


def fluid_options(model: mujoco.MjModel) -> FluidOptions:
    """Return gravity and medium of `model`."""
    option = model.opt
    return FluidOptions(option.gravity.copy(), option.density, option.viscosity)


def kinematics(qpos: jax.Array) -> Pose:
    """Return the poses of free joints at `qpos` [B, S, 7].

    Args:
      qpos: [B, S, 7], position in m and quaternion wxyz of any length but 0.

    Returns:
      The poses [B, S].
    """
    chex.assert_axis_dimension(qpos, -1, 7)
    quaternion = qpos[..., 3:]
    quaternion /= jnp.linalg.norm(quaternion, axis=-1, keepdims=True)
    return Pose(qpos[..., :3], quaternion, rotation.matrix(quaternion, jnp))


def dynamics(
    bodies: BodyConstants, fluid: FluidOptions, pose: Pose, qvel: jax.Array
) -> Dynamics:
    """Return mass matrices, forces and accelerations.

    Args:
      bodies: [B, S] or [S].
      fluid: gravity and medium.
      pose: [B, S].
      qvel: [B, S, 6] m/s in the world, rad/s in the body's frame.

    Returns:
      Mass matrices [B, S, 6, 6], forces [B, S, 6] (N, N m) and accelerations [B, S, 6]
      (m/s2, rad/s2).
    """
    force = _force(bodies, fluid, pose, qvel)
    mass = bodies.mass[..., None, None]
    weight = mass * jnp.broadcast_to(jnp.eye(3), pose.matrix.shape)
    lever = _skew(bodies.center)
    side = -mass * pose.matrix @ lever
    spin = bodies.inertia - mass * lever @ lever
    above = jnp.concatenate([weight, side], axis=-1)
    below = jnp.concatenate([side.mT, jnp.broadcast_to(spin, side.shape)], axis=-1)
    matrix = jnp.concatenate([above, below], axis=-2)

    # The inverse mass matrix times the force, by way of the centre of mass.
    push = _matvec(pose.matrix.mT, force[..., :3])
    moment = force[..., 3:] - rotation.cross(bodies.center, push, jnp)
    angular = _matvec(bodies.inverse_inertia, moment)
    linear = push / bodies.mass[..., None]
    linear -= rotation.cross(angular, bodies.center, jnp)
    acceleration = jnp.concatenate([_matvec(pose.matrix, linear), angular], axis=-1)
    return Dynamics(matrix, force, acceleration)


def motion_axes(pose: Pose) -> tuple[jax.Array, jax.Array]:
    """Return how each degree of freedom moves a point at the world's origin.

    Args:
      pose: [B, S].

    Returns:
      Angular and linear velocities [B, S, 6, 3] of the point.
    """
    turn = pose.matrix.mT  # a row for each axis of the body
    slide = rotation.cross(pose.position[..., None, :], turn, jnp)
    unit = jnp.broadcast_to(jnp.eye(3), turn.shape)
    return (
        jnp.concatenate([jnp.zeros_like(unit), turn], axis=-2),
        jnp.concatenate([unit, slide], axis=-2),
    )


def integrate(
    pose: Pose, qvel: jax.Array, acceleration: jax.Array, timestep: float
) -> tuple[jax.Array, jax.Array]:
    """Return `qpos` [B, S, 7] and `qvel` [B, S, 6] after Euler's semi-implicit step.

    Args:
      pose: [B, S] before the step.
      qvel: [B, S, 6] before the step.
      acceleration: [B, S, 6].
      timestep: s.

    Returns:
      Positions (m) with unit quaternions wxyz, and velocities (m/s, rad/s).
    """
    after = qvel + timestep * acceleration
    turn = rotation.from_axis_angle(timestep * after[..., 3:], jnp)
    quaternion = rotation.multiply(pose.quaternion, turn, jnp)
    position = pose.position + timestep * after[..., :3]
    return jnp.concatenate([position, quaternion], axis=-1), after


def implicit_damping(
    bodies: BodyConstants, mass: jax.Array, acceleration: jax.Array, timestep: float
) -> jax.Array:
    """Return `acceleration` [B, S, 6] with the joint's damping taken implicitly.

    Args:
      bodies: [B, S] or [S].
      mass: [B, S, 6, 6].
      acceleration: [B, S, 6].
      timestep: s.

    Returns:
      The damped accelerations [B, S, 6] in m/s2 and rad/s2.
    """
    force = jnp.einsum("bsij,bsj->bsi", mass, acceleration)
    stiff = mass + timestep * bodies.damping[..., None] * jnp.eye(6)
    flat = osc.spd_inverse(stiff.reshape(-1, 6, 6), jnp).reshape(stiff.shape)
    return jnp.einsum("bsij,bsj->bsi", flat, force)


def _force(
    bodies: BodyConstants, fluid: FluidOptions, pose: Pose, qvel: jax.Array
) -> jax.Array:
    """[B, S, 6]: gravity, gyroscopic and centrifugal forces, the fluid's, damping."""
    spin = qvel[..., 3:]  # the body's frame from here on
    speed = _matvec(pose.matrix.mT, qvel[..., :3])
    speed += rotation.cross(spin, bodies.center, jnp)
    swing = rotation.cross(spin, rotation.cross(spin, bodies.center, jnp), jnp)
    fall = jnp.broadcast_to(fluid.gravity, swing.shape)
    gravity = _matvec(pose.matrix.mT, fall)
    drag, drag_torque = _fluid_drag(bodies, fluid, speed, spin)
    push = bodies.mass[..., None] * (gravity - swing) + drag
    momentum = _matvec(bodies.inertia, spin)
    moment = drag_torque - rotation.cross(spin, momentum, jnp)
    moment += rotation.cross(bodies.center, push, jnp)
    total = jnp.concatenate([_matvec(pose.matrix, push), moment], axis=-1)
    return total - bodies.damping * qvel


def _fluid_drag(
    bodies: BodyConstants, fluid: FluidOptions, speed: jax.Array, spin: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Drag and its torque [B, S, 3]: MuJoCo's model of a box with the same inertia."""
    speed, spin = (_matvec(bodies.frame.mT, part) for part in (speed, spin))
    box = jnp.asarray(bodies.box)
    first, second = jnp.roll(box, -1, axis=-1), jnp.roll(box, -2, axis=-1)
    width = jnp.mean(box, axis=-1, keepdims=True)
    viscous, inertial = np.pi * fluid.viscosity, fluid.density
    drag = -3 * viscous * width * speed
    drag -= 0.5 * inertial * first * second * jnp.abs(speed) * speed
    torque = -viscous * width**3 * spin
    torque -= inertial * box * (first**4 + second**4) * jnp.abs(spin) * spin / 64
    return _matvec(bodies.frame, drag), _matvec(bodies.frame, torque)


def _matvec(matrices: Array, vectors: jax.Array) -> jax.Array:
    return jnp.sum(matrices * vectors[..., None, :], axis=-1)


def _skew(vectors: Array) -> jax.Array:
    """[..., 3, 3]: the cross product with `vectors` [..., 3], from the left."""
    x, y, z = (vectors[..., k] for k in range(3))
    zero = jnp.zeros_like(x)
    rows = ((zero, -z, y), (z, zero, -x), (-y, x, zero))
    return jnp.stack([jnp.stack(row, axis=-1) for row in rows], axis=-2)
