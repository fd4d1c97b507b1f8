"""Noise schedules: how strongly the stochastic sampler shakes at each flow time.

A schedule is a shape (a named function of time), a scale and a floor. All are float32
per step: tau is where a step begins (0 noise, 1 data), delta how far it goes, and
sigma is in units of the normalised action per square root of flow time.
"""

from dataclasses import dataclass
from typing import Callable, Mapping, TypeAlias

import chex
import jax
import jax.numpy as jnp

# shape(tau, delta) -> sigma at scale 1; all of one shape.
Shape: TypeAlias = Callable[[jax.Array, jax.Array], jax.Array]


def linear(tau: jax.Array, delta: jax.Array) -> jax.Array:
    """1 - tau: quiet at the data, so that the corrected drift is finite (paper)."""
    del delta
    return 1.0 - tau


def flow_grpo(tau: jax.Array, delta: jax.Array) -> jax.Array:
    """sqrt((1 - tau) / tau) (Flow-GRPO, pi_RL); the first step divides by its end.

    At tau = 0 the quotient diverges; RLinf puts the next time of the grid, tau_1 =
    delta, in the denominator there.
    """
    return jnp.sqrt((1.0 - tau) / jnp.where(tau > 0.0, tau, delta))


def constant(tau: jax.Array, delta: jax.Array) -> jax.Array:
    """1 at every step: the published companion of the drift `cps` (Flow-CPS)."""
    del delta
    return jnp.ones_like(tau)


SHAPES: Mapping[str, Shape] = {
    "linear": linear,
    "flow_grpo": flow_grpo,
    "constant": constant,
}


@dataclass(frozen=True)
class Schedule:
    """sigma(tau) = max(scale * shape(tau), floor).

    `scale` is the paper's sigma_max (0.1) for `linear` and a (0.5) for `flow_grpo`.
    The drift `cps` reads sigma as the share of the noise to draw anew, in [0, 1].
    A `floor` above 0 keeps the last steps from dominating the likelihood: under
    0.1 (1 - tau) and K = 10 the last one holds 64.5 % of the chain's divergence.
    """

    shape: Shape = linear
    scale: float = 0.1
    floor: float = 0.0

    def __post_init__(self) -> None:
        if self.scale < 0 or self.floor < 0:
            raise ValueError(
                f"scale is {self.scale} and floor {self.floor}: a noise level cannot "
                "be negative."
            )

    def __call__(self, tau: jax.Array, delta: jax.Array) -> jax.Array:
        """sigma for steps from tau to tau + delta, both float32 of one shape."""
        chex.assert_equal_shape([tau, delta])
        chex.assert_type([tau, delta], jnp.float32)
        return jnp.maximum(self.scale * self.shape(tau, delta), self.floor)
