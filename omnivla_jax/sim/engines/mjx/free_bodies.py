"""Rigid bodies on free joints: mass matrix, forces and integration in closed form.

MuJoCo's coordinates: the velocity is the linear one of the body's origin in the world
and the angular one in the body's frame. Lengths in m, masses in kg.
Axes: B environments, S bodies; constants lead with their own axes, as S or B, S.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import mujoco
import numpy as np

from omnivla_jax.sim import osc, rotation
from omnivla_jax.sim.rotation import Array

MIN_MOMENT = 1e-12  # kg m2: MJX's floor of what the fluid's box is made from


class Constants(NamedTuple):
    """What does not change, of each body."""

    mass: Array  # [...]
    center: Array  # [..., 3] of mass, in the body's frame
    inertia: Array  # [..., 3, 3] about it, in the body's frame
    inverse: Array  # [..., 3, 3] of it
    damping: Array  # [..., 6] of the joint
    frame: Array  # [..., 3, 3]: the inertia's principal axes
    box: Array  # [..., 3] m: edges, along them, of the box with this inertia


class Medium(NamedTuple):
    """What the bodies are in."""

    gravity: np.ndarray  # [3] m/s2
    density: float  # kg/m3
    viscosity: float  # Pa s


class Pose(NamedTuple):
    """Where the bodies are."""

    position: jax.Array  # [B, S, 3]
    quaternion: jax.Array  # [B, S, 4] wxyz, of length 1
    matrix: jax.Array  # [B, S, 3, 3]


class Dynamics(NamedTuple):
    """What positions and velocities determine, but contacts."""

    mass: jax.Array  # [B, S, 6, 6]
    force: jax.Array  # [B, S, 6]: all forces
    acceleration: jax.Array  # [B, S, 6] that they cause


def constants(model: mujoco.MjModel, bodies: list[int]) -> Constants:
    """Those of `bodies` of `model`; a body of 1 kg and 1 kg m2 comes last.

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
    return Constants(
        mass=mass,
        center=np.concatenate([model.body_ipos[bodies], np.zeros((1, 3))]),
        inertia=inertia,
        inverse=np.linalg.inv(inertia),
        damping=np.concatenate([model.dof_damping[dofs], np.zeros((1, 6))]),
        frame=frame,
        box=np.sqrt(6.0 * np.maximum(sums, MIN_MOMENT) / mass[:, None]),
    )


def medium(model: mujoco.MjModel) -> Medium:
    """That of `model`."""
    option = model.opt
    return Medium(option.gravity.copy(), option.density, option.viscosity)


def pose(qpos: jax.Array) -> Pose:
    """The poses in `qpos` [B, S, 7]."""
    quaternion = qpos[..., 3:]
    quaternion /= jnp.linalg.norm(quaternion, axis=-1, keepdims=True)
    return Pose(qpos[..., :3], quaternion, rotation.matrix(quaternion, jnp))


def dynamics(bodies: Constants, around: Medium, at: Pose, qvel: jax.Array) -> Dynamics:
    """Mass matrices, forces and accelerations at `qvel` [B, S, 6]."""
    force = _force(bodies, around, at, qvel)
    return Dynamics(_mass(bodies, at), force, _accelerate(bodies, at, force))


def axes(at: Pose) -> tuple[jax.Array, jax.Array]:
    """How each degree of freedom moves a point: turn and slide [B, S, 6, 3] at 0."""
    turn = at.matrix.mT  # a row for each axis of the body
    slide = rotation.cross(at.position[..., None, :], turn, jnp)
    unit = jnp.broadcast_to(jnp.eye(3), turn.shape)
    return (
        jnp.concatenate([jnp.zeros_like(unit), turn], axis=-2),
        jnp.concatenate([unit, slide], axis=-2),
    )


def integrate(
    at: Pose, qvel: jax.Array, acceleration: jax.Array, timestep: float
) -> tuple[jax.Array, jax.Array]:
    """`qpos` [B, S, 7] and `qvel` [B, S, 6] after Euler's semi-implicit step."""
    after = qvel + timestep * acceleration
    turn = rotation.from_axis_angle(timestep * after[..., 3:], jnp)
    quaternion = rotation.multiply(at.quaternion, turn, jnp)
    position = at.position + timestep * after[..., :3]
    return jnp.concatenate([position, quaternion], axis=-1), after


def damped(
    bodies: Constants, mass: jax.Array, acceleration: jax.Array, timestep: float
) -> jax.Array:
    """`acceleration` [B, S, 6] with the joint's damping taken implicitly."""
    force = jnp.einsum("bsij,bsj->bsi", mass, acceleration)
    stiff = mass + timestep * bodies.damping[..., None] * jnp.eye(6)
    flat = osc.spd_inverse(stiff.reshape(-1, 6, 6), jnp).reshape(stiff.shape)
    return jnp.einsum("bsij,bsj->bsi", flat, force)


def _mass(bodies: Constants, at: Pose) -> jax.Array:
    weight = bodies.mass[..., None, None] * jnp.broadcast_to(
        jnp.eye(3), at.matrix.shape
    )
    lever = _skew(bodies.center)
    side = -bodies.mass[..., None, None] * at.matrix @ lever
    spin = bodies.inertia - bodies.mass[..., None, None] * lever @ lever
    below = jnp.concatenate([side.mT, jnp.broadcast_to(spin, side.shape)], axis=-1)
    return jnp.concatenate([jnp.concatenate([weight, side], axis=-1), below], axis=-2)


def _force(bodies: Constants, around: Medium, at: Pose, qvel: jax.Array) -> jax.Array:
    """[B, S, 6]: gravity, gyroscopic and centrifugal forces, the fluid's, damping."""
    spin = qvel[..., 3:]  # the body's frame from here on
    speed = _turn_back(at, qvel[..., :3]) + rotation.cross(spin, bodies.center, jnp)
    swing = rotation.cross(spin, rotation.cross(spin, bodies.center, jnp), jnp)
    weight = _turn_back(at, jnp.broadcast_to(around.gravity, swing.shape))
    drag, brake = _fluid(bodies, around, speed, spin)
    push = bodies.mass[..., None] * (weight - swing) + drag
    momentum = _apply(bodies.inertia, spin)
    moment = brake - rotation.cross(spin, momentum, jnp)
    moment += rotation.cross(bodies.center, push, jnp)
    total = jnp.concatenate([_apply(at.matrix, push), moment], axis=-1)
    return total - bodies.damping * qvel


def _fluid(
    bodies: Constants, around: Medium, speed: jax.Array, spin: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Drag and its moment [B, S, 3]: MuJoCo's model of a box with the same inertia."""
    speed, spin = (_apply(bodies.frame.mT, part) for part in (speed, spin))
    box = jnp.asarray(bodies.box)
    first, second = jnp.roll(box, -1, axis=-1), jnp.roll(box, -2, axis=-1)
    width = jnp.mean(box, axis=-1, keepdims=True)
    slow, fast = np.pi * around.viscosity, around.density
    drag = -3 * slow * width * speed
    drag -= 0.5 * fast * first * second * jnp.abs(speed) * speed
    brake = -slow * width**3 * spin
    brake -= fast * box * (first**4 + second**4) * jnp.abs(spin) * spin / 64
    return _apply(bodies.frame, drag), _apply(bodies.frame, brake)


def _accelerate(bodies: Constants, at: Pose, force: jax.Array) -> jax.Array:
    """[B, S, 6]: the inverse mass matrix times `force`, by way of the mass centre."""
    push = _turn_back(at, force[..., :3])
    moment = force[..., 3:] - rotation.cross(bodies.center, push, jnp)
    spin = _apply(bodies.inverse, moment)
    straight = push / bodies.mass[..., None] - rotation.cross(spin, bodies.center, jnp)
    return jnp.concatenate([_apply(at.matrix, straight), spin], axis=-1)


def _apply(matrices: Array, vectors: jax.Array) -> jax.Array:
    return jnp.sum(matrices * vectors[..., None, :], axis=-1)


def _turn_back(at: Pose, vectors: jax.Array) -> jax.Array:
    """World vectors [B, S, 3] in the bodies' frames."""
    return _apply(at.matrix.mT, vectors)


def _skew(vectors: Array) -> jax.Array:
    """[..., 3, 3]: the cross product with `vectors` [..., 3], from the left."""
    x, y, z = (vectors[..., k] for k in range(3))
    zero = jnp.zeros_like(x)
    rows = ((zero, -z, y), (z, zero, -x), (-y, x, zero))
    return jnp.stack([jnp.stack(row, axis=-1) for row in rows], axis=-2)
