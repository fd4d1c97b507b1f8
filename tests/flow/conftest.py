"""Runs the flow room's tests under strict dtypes; holds Gaussian data to flow to."""

from typing import Iterator, NamedTuple

import jax
import jax.numpy as jnp
import pytest


class Gaussian(NamedTuple):
    """Data N(mean, std^2) in every entry, whose exact velocity is known."""

    mean: float = 0.5
    std: float = 0.3

    def velocity(self, x: jax.Array, tau: jax.Array) -> jax.Array:
        """E[A - eps | A^tau = x], by conditioning one Gaussian on another."""
        tau = tau[..., None, None]
        slope = (tau * self.std**2 - (1.0 - tau)) / self.marginal_std(tau) ** 2
        return self.mean + slope * (x - tau * self.mean)

    def marginal_std(self, tau: jax.Array | float) -> jax.Array:
        """Deviation of A^tau; its mean is tau * mean."""
        return jnp.sqrt((1.0 - tau) ** 2 + (tau * self.std) ** 2)


@pytest.fixture
def gaussian() -> Gaussian:
    """The worked example: N(.5, .3^2)."""
    return Gaussian()


@pytest.fixture(autouse=True)
def strict_numerics() -> Iterator[None]:
    """Implicit casts and implicit new axes are errors."""
    with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
        yield
