"""Divergences between a policy and another one that scored the same chains.

The other is the policy that sampled the chains (`old`) or a fixed one, such as the
policy after stage II. Every kind gives nats by denoising step, whose sum over the steps
is the chain's divergence; `exact` is the default, the others are estimates from the
densities of the chains at hand.

Axes: K denoising steps, N chunks, H actions of a chunk, D action dimensions.
"""

from typing import Callable, Mapping, TypeAlias

import chex
import jax
import jax.numpy as jnp

from omnivla_jax.core.types import ChainScore

# kl(new, other) -> float32 [K, N]: both score the same N chains.
StepKl: TypeAlias = Callable[[ChainScore, ChainScore], jax.Array]


def exact(new: ChainScore, other: ChainScore) -> jax.Array:
    """KL(π_θ ‖ π_other) of the recorded Gaussian transitions; >= 0, 0 on ODE steps.

        Σ ‖μ_θ - μ‖² / (2 σ² δ)                                  (instead of eq. 18)

    with deviations of one value a step, [K, N, 1, 1]: they are the schedule's, the same
    under both policies, and the divergence is symmetric. Learned deviations, one an
    entry, [K, N, H, D], add Σ [(σ_θ² / σ² - 1) / 2 - log(σ_θ / σ)].
    """
    chex.assert_equal_shape([new.means, other.means])
    chex.assert_type([new.means, other.means, other.stds], jnp.float32)
    moved = _means_apart(new.means, other.means, other.stds)
    if other.stds.shape != other.means.shape:
        chex.assert_shape(other.stds, (*other.means.shape[:2], 1, 1))
        return moved
    return moved + _stds_apart(new.stds, other.stds)


def k3(new: ChainScore, other: ChainScore) -> jax.Array:
    """r - 1 - log r with r = π_other / π_θ, by step; >= 0 for every single chain.

    Its mean is KL(π_θ ‖ π_other) on chains of π_θ itself, and up to O(d³) on chains of
    a π_other that is d away. As in GRPO (arXiv 2402.03300, eq. 4). A step's log-ratio
    beyond 88 nats overflows, where `exact` does not.
    """
    log_ratio = paper(new, other)
    return jnp.expm1(log_ratio) - log_ratio


def paper(new: ChainScore, other: ChainScore) -> jax.Array:
    """log(π_other / π_θ) by step: eq. 18 as printed, and of either sign.

    Its mean over the chains of π_other is KL(π_other ‖ π_θ), but its gradient,
    -∇ log π_θ, pulls towards every recorded chain, however bad.
    """
    chex.assert_rank([new.step_log_prob, other.step_log_prob], 2)
    chex.assert_equal_shape([new.step_log_prob, other.step_log_prob])
    chex.assert_type([new.step_log_prob, other.step_log_prob], jnp.float32)
    return other.step_log_prob - new.step_log_prob


KINDS: Mapping[str, StepKl] = {"exact": exact, "k3": k3, "paper": paper}


def _means_apart(means: jax.Array, others: jax.Array, stds: jax.Array) -> jax.Array:
    """‖μ_θ - μ‖² / (2 σ² δ), [K, N]."""
    noisy = stds > 0.0
    # Both branches of a `where` are differentiated: 0 / 0 must not arise in either.
    scaled = (means - others) / jnp.where(noisy, stds, 1.0)
    return jnp.sum(jnp.where(noisy, scaled**2, 0.0), axis=(2, 3)) / 2.0


def _stds_apart(stds: jax.Array, others: jax.Array) -> jax.Array:
    """(q² - 1) / 2 - log q with q = σ_θ / σ, summed over the entries: [K, N]."""
    chex.assert_equal_shape([stds, others])
    chex.assert_type(stds, jnp.float32)
    noisy = others > 0.0
    change = (stds - others) / jnp.where(noisy, others, 1.0)
    # Through log q, so that what cancels is of the size of the change, not of 1.
    log_q = jnp.log1p(jnp.where(noisy, change, 0.0))
    return jnp.sum(jnp.expm1(2.0 * log_q) / 2.0 - log_q, axis=(2, 3))
