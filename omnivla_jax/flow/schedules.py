"""Noise schedules: the noise level of the stochastic sampler at each flow time.

A schedule is a shape (a named function of time), a scale and a floor. All are float32
per step: tau is where a step begins (0 noise, 1 data), delta how far it goes, and
sigma is in units of the normalised action per square root of flow time. The schedule
`learned` scales the output of the policy's noise head, entry by entry.

Axes: ... steps and samples, H actions of a chunk, D action dimensions.
"""

import dataclasses
from dataclasses import dataclass
from typing import Callable, Mapping, TypeAlias

import chex
import jax
import jax.numpy as jnp

from omnivla_jax.flow import path

# shape(tau, delta) -> sigma at scale 1; all of one shape.
NoiseShape: TypeAlias = Callable[[jax.Array, jax.Array], jax.Array]


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


def learned(tau: jax.Array, delta: jax.Array) -> jax.Array:
    """delta^-1/2: a step's deviation is the noise head's output (Flow-Noise, pi_RL)."""
    del tau
    return delta**-0.5


NOISE_SHAPES: Mapping[str, NoiseShape] = {
    "linear": linear,
    "flow_grpo": flow_grpo,
    "constant": constant,
    "learned": learned,
}


@dataclass(frozen=True)
class Schedule:
    """sigma(tau) = max(scale * shape(tau), floor), times the noise head if `learned`.

    `scale` is the paper's sigma_max (0.1) for `linear`, a (0.5) for `flow_grpo` and 1
    for `learned`, whose range is the noise head's (0.08 to 0.16 a step).
    The drift `cps` reads sigma as the share of the noise to draw anew, in [0, 1].
    A `floor` above 0 keeps the last steps from dominating the likelihood: under
    0.1 (1 - tau) and K = 10 the last one holds 64.5 % of the chain's divergence.
    """

    shape: NoiseShape = linear
    scale: float | jax.Array = 0.1
    floor: float = 0.0

    def __post_init__(self) -> None:
        scale_is_known = not isinstance(self.scale, jax.Array)  # see `scaled`
        if self.floor < 0 or (scale_is_known and self.scale < 0):
            raise ValueError(
                f"scale is {self.scale} and floor {self.floor}: a noise level cannot "
                "be negative."
            )

    def scaled(self, factor: jax.Array) -> "Schedule":
        """The schedule of `factor` times the scale, float32 [], which may be traced."""
        return dataclasses.replace(self, scale=self.scale * factor)

    @property
    def learned(self) -> bool:
        """Whether sigma depends on the policy's parameters."""
        return self.shape is learned

    def __call__(
        self, tau: jax.Array, delta: jax.Array, *, std: jax.Array | None = None
    ) -> jax.Array:
        """sigma [...] for steps from tau to tau + delta, both float32 [...].

        Under `learned` it is [..., H, D]: `std` float32 [..., H, D] is then needed,
        and otherwise an error.
        """
        chex.assert_equal_shape([tau, delta])
        chex.assert_type([tau, delta], jnp.float32)
        if self.learned != (std is not None):
            raise ValueError(
                "The schedule `learned` needs a noise head, and the others take none: "
                f"here learned={self.learned} with std={std}. Give the sampler a "
                "velocity function that returns an `sde.NoisyVelocity`."
            )
        sigma = self.scale * self.shape(tau, delta)
        if std is not None:
            chex.assert_type(std, jnp.float32)
            sigma = path.over_chunk(sigma, std) * std
        return jnp.maximum(sigma, self.floor)
