"""MuJoCo's soft-constraint parameters: gains and impedance of constraint rows.

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
    """Return stiffness [E] 1/s^2, damping [E] 1/s and clipped solimp [5, E] of rows.

    Args:
      solref: [E, 2], time constant (s) and damping ratio.
      solimp: [E, 5].
      timestep: s.

    Returns:
      Stiffness, damping, and solimp within MuJoCo's bounds, its five values leading.
    """
    low, high, middle = (
        np.clip(solimp[:, k], MIN_IMPEDANCE, MAX_IMPEDANCE) for k in (0, 1, 3)
    )
    width = np.maximum(solimp[:, 2], mujoco.mjMINVAL)
    power = np.maximum(solimp[:, 4], 1.0)
    # MuJoCo's refsafe: a time constant of two steps at least.
    time_constant = np.maximum(solref[:, 0], 2 * timestep)
    return (
        1 / (high * time_constant * solref[:, 1]) ** 2,
        2 / (high * time_constant),
        np.stack([low, high, width, middle, power]),
    )


def impedance(parameters: jax.Array, displacement: jax.Array) -> jax.Array:
    """Return MuJoCo's impedance [...] of rows.

    Args:
      parameters: [5, ...], solimp.
      displacement: [...] m or rad, of either sign.

    Returns:
      Values within [MIN_IMPEDANCE, MAX_IMPEDANCE].
    """
    low, high, width, middle, power = parameters
    x = jnp.abs(displacement) / width
    rising = jnp.power(x, power) / jnp.power(middle, power - 1)
    falling = 1 - jnp.power(1 - jnp.minimum(x, 1.0), power) / jnp.power(
        1 - middle, power - 1
    )
    share = jnp.where(x >= 1, 1.0, jnp.where(x < middle, rising, falling))
    return low + share * (high - low)
