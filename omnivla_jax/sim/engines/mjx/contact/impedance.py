"""MuJoCo's soft-constraint parameters: how hard a row pulls at which displacement.

Source: MuJoCo's documentation, "Solver parameters". Axes: E rows.
"""

import jax
import jax.numpy as jnp
import mujoco
import numpy as np

MIN_IMPEDANCE, MAX_IMPEDANCE = 0.0001, 0.9999  # MuJoCo's mjMINIMP, mjMAXIMP


def reference_gains(
    solref: np.ndarray, solimp: np.ndarray, timestep: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Stiffness [E] and damping [E] of rows, and their clipped solimp [5, E]."""
    low, high, middle = (
        np.clip(solimp[:, k], MIN_IMPEDANCE, MAX_IMPEDANCE) for k in (0, 1, 3)
    )
    width = np.maximum(solimp[:, 2], mujoco.mjMINVAL)
    power = np.maximum(solimp[:, 4], 1.0)
    # MuJoCo's refsafe: a time constant of two steps at least.
    constant = np.maximum(solref[:, 0], 2 * timestep)
    return (
        1 / (high * constant * solref[:, 1]) ** 2,
        2 / (high * constant),
        np.stack([low, high, width, middle, power]),
    )


def impedance(parameters: jax.Array, displacement: jax.Array) -> jax.Array:
    """MuJoCo's impedance of rows displaced by so much; `parameters` [5, ...]."""
    low, high, width, middle, power = parameters
    x = jnp.abs(displacement) / width
    rising = jnp.power(x, power) / jnp.power(middle, power - 1)
    falling = 1 - jnp.power(1 - jnp.minimum(x, 1.0), power) / jnp.power(
        1 - middle, power - 1
    )
    share = jnp.where(x >= 1, 1.0, jnp.where(x < middle, rising, falling))
    return low + share * (high - low)
