"""A linear-Gaussian policy, and the paper's equations for it again in float64 numpy.

v(x, tau) = x M + b, with theta = (M by rows, b) in one vector [P], so that every mean
of a chain is linear in theta and the gradients of all objectives have closed forms.

Axes: K denoising steps, N chunks, H actions, D dimensions, P parameters.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from omnivla_jax.core import compile as compilation
from omnivla_jax.core.types import Score
from omnivla_jax.flow import drifts, log_prob, sde
from omnivla_jax.flow.schedules import Schedule

K, N, H, D = 4, 6, 3, 2
P = D * D + D
LOUD = Schedule(scale=0.8, floor=0.3)
ADVANTAGES = jnp.array([1.0, -0.5, 2.0, -1.0, 0.3, -1.5])
OLD = jnp.array([0.2, -0.1, 0.3, 0.1, 0.3, -0.2])
# Two more policies: one far enough to be clipped here and there, and a reference.
NEW = OLD + jnp.array([0.05, -0.1, 0.1, 0.05, 0.3, 0.3])
REFERENCE = OLD + jnp.array([-0.1, 0.1, 0.0, 0.1, -0.1, 0.2])


def velocity(theta: jax.Array):
    slope, bias = theta[: D * D].reshape(D, D), theta[D * D :]

    def at(x: jax.Array, tau: jax.Array) -> jax.Array:
        del tau
        turned = jnp.einsum("...d,de->...e", x, slope)
        return turned + jnp.broadcast_to(bias, x.shape)

    return at


@functools.cache
def sampled(drift: drifts.Drift = drifts.corrected) -> sde.Chain:
    """Chains of the policy OLD."""

    @compilation.jit
    def sample(key: jax.Array) -> sde.Chain:
        noise_key, walk_key = jax.random.split(key)
        noise = jax.random.normal(noise_key, (N, H, D))
        return sde.sample(
            walk_key, velocity(OLD), noise, steps=K, schedule=LOUD, drift=drift
        )

    return sample(jax.random.key(0))


def score(
    theta: jax.Array, chain: sde.Chain, drift: drifts.Drift = drifts.corrected
) -> Score:
    return log_prob.chain_log_prob(velocity(theta), chain, schedule=LOUD, drift=drift)


def double(array) -> np.ndarray:
    return np.asarray(array, np.float64)


def means(theta, chain: sde.Chain) -> np.ndarray:
    """mu [K, N, H, D] under the corrected drift (eq. 11-12)."""
    theta = double(theta)
    x, tau = double(chain.states[:-1]), double(chain.tau)[..., None, None]
    v = x @ theta[: D * D].reshape(D, D) + theta[D * D :]
    variance = double(chain.stds) ** 2 * K
    return x + (v - variance / (2 * (1 - tau)) * (x - tau * v)) / K


def step_log_ratio(theta, chain: sde.Chain) -> np.ndarray:
    """log pi_theta - log pi_old by step, [K, N]."""
    following, std = double(chain.states[1:]), double(chain.stds)
    now, then = means(theta, chain), double(chain.means)
    exponents = ((following - then) ** 2 - (following - now) ** 2) / (2 * std**2)
    return exponents.sum(axis=(2, 3))


def step_kl(theta, other, chain: sde.Chain) -> np.ndarray:
    """KL(pi_theta || pi_other) by step, [K, N]."""
    apart = means(theta, chain) - means(other, chain)
    return (apart**2 / (2 * double(chain.stds) ** 2)).sum(axis=(2, 3))


def surrogate(ratio: np.ndarray, low: float, high: float) -> np.ndarray:
    """min(s Adv, clip(s) Adv), [..., N]."""
    clipped, advantages = np.clip(ratio, 1 - low, 1 + high), double(ADVANTAGES)
    return np.minimum(ratio * advantages, clipped * advantages)


def log_prob_slope(chain: sde.Chain, drift: drifts.Drift) -> np.ndarray:
    """d log pi / d theta at OLD, [N, P]: (A' - mu) / std^2 C_r dv / dtheta (eq. 24)."""
    tau, delta = double(chain.tau), double(chain.delta)
    std = double(chain.stds)[..., 0, 0]
    variance = std**2 / delta
    if drift is drifts.corrected:
        factor = (1 + variance * tau / (2 * (1 - tau))) * delta
    else:
        factor = (1 + variance * (1 - tau) / 2) * delta
    residual = double(chain.states[1:]) - double(chain.means)
    pull = residual * (factor / std**2)[..., None, None]
    slope = np.einsum("knhd,knhe->nde", double(chain.states[:-1]), pull)
    return np.concatenate([slope.reshape(N, -1), pull.sum(axis=(0, 2))], axis=1)


def central_differences(function, theta, size: float = 1e-5) -> np.ndarray:
    """The gradient [P] of a float64 function, good to about 1e-9."""
    theta = double(theta)
    shifts = size * np.eye(len(theta))
    return np.array(
        [(function(theta + s) - function(theta - s)) / (2 * size) for s in shifts]
    )
