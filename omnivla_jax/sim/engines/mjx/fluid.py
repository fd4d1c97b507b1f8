"""MuJoCo's model of the medium around the bodies: drag on a box of the same inertia.

Axes: components lead, then any shape `...` of bodies and environments.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import mujoco
import numpy as np

from omnivla_jax.sim.engines.mjx.vectors import matvec, matvec_t
from omnivla_jax.sim.rotation import Array

MIN_MOMENT = 1e-12  # kg m2: MJX's floor of the moments that give the box


class FluidOptions(NamedTuple):
    """Gravity and the medium around the bodies."""

    gravity: np.ndarray  # [3] m/s2
    density: float  # kg/m3
    viscosity: float  # Pa s


def fluid_options(model: mujoco.MjModel) -> FluidOptions:
    """Return gravity and medium of `model`."""
    option = model.opt
    return FluidOptions(option.gravity.copy(), option.density, option.viscosity)


def equivalent_box(mass: np.ndarray, moments: np.ndarray) -> np.ndarray:
    """Return the edges [N, 3] m of boxes with these inertias; 0 without a mass.

    Args:
      mass: [N] kg.
      moments: [N, 3] kg m2 about the principal axes.
    """
    sums = moments.sum(axis=1, keepdims=True) - 2 * moments
    edges = 6.0 * np.maximum(sums, MIN_MOMENT) / np.maximum(mass, MIN_MOMENT)[:, None]
    return np.where(mass[:, None] > 0, np.sqrt(edges), 0.0)


def drag(
    medium: FluidOptions, box: Array, frame: Array, speed: jax.Array, spin: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Return the force and the torque [3, ...] on bodies, in their frames.

    Args:
      medium: what surrounds the bodies.
      box: [3, ...] m, edges along the principal axes.
      frame: [3, 3, ...], the principal axes in the body's frame.
      speed: [3, ...] m/s, of the centre of mass in the body's frame.
      spin: [3, ...] rad/s, in the body's frame.
    """
    speed, spin = (matvec_t(frame, part) for part in (speed, spin))
    edges = jnp.asarray(box)
    first, second = jnp.roll(edges, -1, axis=0), jnp.roll(edges, -2, axis=0)
    width = jnp.mean(edges, axis=0)
    viscous, inertial = np.pi * medium.viscosity, medium.density
    force = -3 * viscous * width * speed
    force -= 0.5 * inertial * first * second * jnp.abs(speed) * speed
    torque = -viscous * width**3 * spin
    torque -= inertial * edges * (first**4 + second**4) * jnp.abs(spin) * spin / 64
    return matvec(frame, force), matvec(frame, torque)
