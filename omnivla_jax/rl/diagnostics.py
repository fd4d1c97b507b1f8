"""What to watch while a flow policy is optimised: ratios, divergence and dead groups.

Two quantities warn before the success rate does: the ratio's mean, which drifts below 1
as the policy moves (E[log s] = -KL / |A|), and the last denoising step's share of the
divergence, which says how much of the gradient the least noisy step holds.

Axes: N chunks or episodes, K denoising steps. Every metric is a float32 scalar.
"""

import chex
import jax
import jax.numpy as jnp


def ratio_metrics(
    log_ratio: jax.Array, weights: jax.Array, *, low: float, high: float
) -> dict[str, jax.Array]:
    """Mean, spread and clipped fraction of s = exp(log_ratio), [N], weighted.

    "Clipped" counts ratios outside [1 - low, 1 + high], whatever their advantage.
    """
    ratio = jnp.exp(log_ratio)
    mean = weighted_mean(ratio, weights)
    outside = ((ratio < 1.0 - low) | (ratio > 1.0 + high)).astype(jnp.float32)
    # From squared differences: E[s^2] - mean^2 cancels where s is close to 1.
    variance = weighted_mean((ratio - mean) ** 2, weights)
    return {
        "ratio_mean": mean,
        "ratio_std": jnp.sqrt(variance),
        "log_ratio_mean": weighted_mean(log_ratio, weights),
        "clip_fraction": weighted_mean(outside, weights),
    }


def kl_metrics(step_kl: jax.Array, weights: jax.Array) -> dict[str, jax.Array]:
    """The mean divergence of a chain, and the last step's share of it; [K, N], [N].

    The share is 0 where the policy has not moved at all, and says nothing about chains
    that were cut down to their stochastic step.
    """
    chex.assert_rank(step_kl, 2)
    total = weighted_mean(jnp.sum(step_kl, axis=0), weights)
    last = weighted_mean(step_kl[-1], weights)
    moved = total > 0.0
    share = jnp.where(moved, last / jnp.where(moved, total, 1.0), 0.0)
    return {"kl": total, "kl_last_step_share": share}


def group_metrics(zero_variance: jax.Array) -> dict[str, jax.Array]:
    """The fraction of groups, bool [N], whose episodes all returned the same."""
    fraction = jnp.mean(zero_variance.astype(jnp.float32))
    return {"zero_variance_fraction": fraction}


def weighted_mean(values: jax.Array, weights: jax.Array) -> jax.Array:
    """sum w x / sum w over [N], and 0 where every weight is 0."""
    chex.assert_equal_shape([values, weights])
    total = jnp.sum(weights)
    some = total > 0.0
    return jnp.where(some, jnp.sum(weights * values) / jnp.where(some, total, 1.0), 0.0)
