"""The exact divergence between two policies on the transitions of recorded chains.

Axes: K denoising steps, N chunks, H actions of a chunk, D action dimensions.
"""

import chex
import jax
import jax.numpy as jnp

from omnivla_jax.core.types import Score


def transition_kl(new: Score, other: Score) -> jax.Array:
    """KL(π_θ ‖ π_other) by step, float32 [K, N]; >= 0, and 0 on ODE steps.

        Σ ‖μ_θ - μ‖² / (2 σ² δ)                                  (instead of eq. 18)

    with deviations of one value a step, [K, N, 1, 1]: they are the schedule's, the same
    under both policies, and the divergence is symmetric. Learned deviations, one an
    entry, [K, N, H, D], add Σ [(σ_θ² / σ² - 1) / 2 - log(σ_θ / σ)].

    Args:
      new, other: scores whose distributions are `flow.log_prob.Transitions` of the same
        N chains.
    """
    (means, stds), (other_means, other_stds) = new.distribution, other.distribution
    chex.assert_equal_shape([means, other_means])
    chex.assert_type([means, other_means, other_stds], jnp.float32)
    noisy = other_stds > 0.0
    # Both branches of a `where` are differentiated: 0 / 0 must not arise in either.
    scaled = (means - other_means) / jnp.where(noisy, other_stds, 1.0)
    mean_kl = jnp.sum(jnp.where(noisy, scaled**2, 0.0), axis=(2, 3)) / 2.0
    if other_stds.shape != other_means.shape:
        chex.assert_shape(other_stds, (*other_means.shape[:2], 1, 1))
        return mean_kl
    chex.assert_equal_shape([stds, other_stds])
    chex.assert_type(stds, jnp.float32)
    change = (stds - other_stds) / jnp.where(noisy, other_stds, 1.0)
    # Through log q, so that what cancels is of the size of the change, not of 1.
    log_q = jnp.log1p(jnp.where(noisy, change, 0.0))
    return mean_kl + jnp.sum(jnp.expm1(2.0 * log_q) / 2.0 - log_q, axis=(2, 3))
