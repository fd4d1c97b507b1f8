"""What one step of the stochastic sampler does, given the velocity: four drifts.

    dA = f(A, v, tau, sigma) dtau + sigma dw                (paper, eq. 10)
    A^{tau+delta} ~ N(A + delta f, sigma^2 delta I)         (paper, eq. 11-13)

A drift is the whole Gaussian of a step: `corrected`, `paper_drift` and
`no_drift_correction` are Euler-Maruyama steps with three choices of f;
`coefficients_preserving` sets the noise level itself.

Axes: ... samples (usually B, or K, B), H actions of a chunk, D action dimensions.
"""

from typing import Callable, Mapping, TypeAlias

import jax
import jax.numpy as jnp

from omnivla_jax.flow import path

# drift(x, velocity, tau, delta, sigma) -> mean [..., H, D], std [..., 1, 1]; tau, delta
# and sigma [...] or scalars, or sigma [..., H, D], as is std then. All float32.
Drift: TypeAlias = Callable[
    [jax.Array, jax.Array, jax.Array, jax.Array, jax.Array],
    tuple[jax.Array, jax.Array],
]


def corrected(
    x: jax.Array,
    velocity: jax.Array,
    tau: jax.Array,
    delta: jax.Array,
    sigma: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    """f = v - sigma^2 / (2 (1 - tau)) (A - tau v): the ODE's marginals at every tau.

    The velocity plus sigma^2 / 2 times the score; tau in [0, 1).
    """
    pull = path.over_chunk(sigma**2 / 2.0, x)
    rate = velocity + pull * path.score(x, velocity, tau)
    return _euler_maruyama(x, rate, delta, sigma)


def paper_drift(
    x: jax.Array,
    velocity: jax.Array,
    tau: jax.Array,
    delta: jax.Array,
    sigma: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    """f = v + (sigma^2 / 2) (A + (1 - tau) v): eq. 10 as printed.

    It pushes away from the noise instead of along the score, which widens the
    marginals: N(.5, .3^2) ends with a deviation of .400 at sigma = 1 - tau.
    """
    push = path.over_chunk(sigma**2 / 2.0, x)
    rate = velocity + push * (x + path.over_chunk(1.0 - tau, x) * velocity)
    return _euler_maruyama(x, rate, delta, sigma)


def no_drift_correction(
    x: jax.Array,
    velocity: jax.Array,
    tau: jax.Array,
    delta: jax.Array,
    sigma: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    """f = v: noise without compensation."""
    del tau
    return _euler_maruyama(x, velocity, delta, sigma)


def coefficients_preserving(
    x: jax.Array,
    velocity: jax.Array,
    tau: jax.Array,
    delta: jax.Array,
    sigma: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    """Coefficients-preserving sampling (Flow-CPS, arXiv 2509.05952; RLinf `flow_cps`).

        A' ~ N(tau' A_1 + (1 - tau') cos(a) A_0, (1 - tau')^2 sin^2(a) I)

    with tau' = tau + delta, the estimates A_1 = A + (1 - tau) v of the data and
    A_0 = A - tau v of the noise, and a = pi sigma / 2 for sigma in [0, 1] (above 1
    counts as 1): a fixed share of the noise is drawn anew in every step, whatever its
    length, and its level at tau' is the path's. The last step, onto the data, draws
    nothing.

    The estimates are averages, so what is redrawn many times narrows: N(m, s^2) ends
    with a variance near s^2 (1 + cos a) / 2 as K grows at one sigma > 0.
    """
    left = 1.0 - tau - delta
    # Exactly 0 where that is the grid's rounding.
    left = path.over_chunk(jnp.where(left > 0.01 * delta, left, 0.0), x)
    angle = path.over_chunk(jnp.minimum(sigma, 1.0) * (jnp.pi / 2.0), x)
    noise = x - path.over_chunk(tau, x) * velocity
    # The ODE's step less 1 - cos(a) of the noise: without sigma it is that step.
    kept_back = 2.0 * left * jnp.sin(angle / 2.0) ** 2
    mean = x + path.over_chunk(delta, x) * velocity - kept_back * noise
    return mean, left * jnp.sin(angle)


DRIFTS: Mapping[str, Drift] = {
    "corrected": corrected,
    "paper": paper_drift,
    "none": no_drift_correction,
    "cps": coefficients_preserving,
}


def _euler_maruyama(
    x: jax.Array, rate: jax.Array, delta: jax.Array, sigma: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """mean = x + delta rate, std = sigma sqrt(delta)."""
    step = path.over_chunk(delta, x)
    return x + step * rate, path.over_chunk(sigma, x) * jnp.sqrt(step)
