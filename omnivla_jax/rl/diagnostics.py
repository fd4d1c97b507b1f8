"""What to watch while a flow policy is optimised: ratios, divergence and dead groups.

Two quantities warn before the success rate does: the ratio's mean, which drifts below 1
as the policy moves (E[log s] = -KL / |A|), and the last denoising step's share of the
divergence: how much of the gradient the least noisy step holds.

Axes: N chunks or episodes, K denoising steps. Every metric is a float32 scalar.
"""

import chex
import jax
import jax.numpy as jnp

from omnivla_jax.core.types import PyTree, Score


def ratio_metrics(
    log_ratio: jax.Array,
    weights: jax.Array,
    *,
    low: float | jax.Array,
    high: float | jax.Array,
) -> dict[str, jax.Array]:
    """Mean, spread and clipped fraction of s = exp(log_ratio), [N], weighted.

    "Clipped" counts ratios outside [1 - low, 1 + high], whatever their advantage.
    """
    ratio = jnp.exp(log_ratio)
    outside = ((ratio < 1.0 - low) | (ratio > 1.0 + high)).astype(jnp.float32)
    return {
        "ratio_mean": weighted_mean(ratio, weights),
        "ratio_std": jnp.sqrt(_weighted_variance(ratio, weights)),
        "log_ratio_mean": weighted_mean(log_ratio, weights),
        "clip_fraction": weighted_mean(outside, weights),
    }


def kl_metrics(
    step_kl: jax.Array, has_density: jax.Array, weights: jax.Array
) -> dict[str, jax.Array]:
    """The mean divergence of a chunk, and the last step's share of it; [K, N], [N].

    `has_density` bool [K]: the last of these steps is meant. The share is 0 where the
    policy has not moved at all, and has no meaning for chains that were cut down to
    their stochastic step.
    """
    chex.assert_rank([step_kl, has_density], [2, 1])
    total = weighted_mean(jnp.sum(step_kl, axis=0), weights)
    last_step = len(has_density) - 1 - jnp.argmax(has_density[::-1])
    last = weighted_mean(step_kl[last_step], weights)
    moved = total > 0.0
    share = jnp.where(moved, last / jnp.where(moved, total, 1.0), 0.0)
    return {"kl": total, "kl_last_step_share": share}


def chain_metrics(
    step_kl: jax.Array, old: Score, weights: jax.Array
) -> dict[str, jax.Array]:
    """How far the policy is from the one that sampled N chunks, and its entropy.

    Args:
      step_kl: float32 [K, N], the exact divergence from `old`.
      old: scores under the policy that sampled.
      weights: float32 [N].
    """
    metrics = kl_metrics(step_kl, jnp.any(old.has_density, axis=1), weights)
    # -mean log π_old: unbiased where π_old sampled the chunks, in nats. It is a
    # density's entropy: below 0 where the noise is small.
    return metrics | {"entropy": -weighted_mean(old.log_prob, weights)}


def value_metrics(
    values: jax.Array, returns: jax.Array, weights: jax.Array
) -> dict[str, jax.Array]:
    """Explained variance 1 - Var[R - V] / Var[R] of values for returns, [N], weighted.

    1 is a perfect critic, 0 a constant one; 0 too where returns do not vary.
    """
    unexplained = _weighted_variance(returns - values, weights)
    total = _weighted_variance(returns, weights)
    varies = total > 0.0
    share = jnp.where(varies, unexplained / jnp.where(varies, total, 1.0), 1.0)
    return {"explained_variance": 1.0 - share}


def expert_norms(gradient: PyTree) -> dict[str, jax.Array]:
    """The gradient's Euclidean norm under each name on top of its tree.

    The names are the experts' ("reasoning", "spatial", "action"), and "lora" for the
    adapters of all. A norm that is not finite is reported as it is.
    """
    norms = {}
    for name, part in gradient.items():
        squares = (jnp.sum(jnp.square(leaf)) for leaf in jax.tree.leaves(part))
        total = sum(squares, start=jnp.zeros((), jnp.float32))
        norms[f"grad_norm_{name}"] = jnp.sqrt(total)
    return norms


def group_metrics(
    zero_variance: jax.Array, running: jax.Array | None = None
) -> dict[str, jax.Array]:
    """The fraction of groups, bool [...], whose members all returned the same.

    `running` bool [...]: groups that played at all; None: all.
    """
    if running is None:
        running = jnp.ones_like(zero_variance)
    zeros, counted = (part.astype(jnp.float32) for part in (zero_variance, running))
    return {"zero_variance_fraction": weighted_mean(zeros, counted)}


def weighted_mean(values: jax.Array, weights: jax.Array) -> jax.Array:
    """sum w x / sum w over all axes, and 0 where every weight is 0."""
    chex.assert_equal_shape([values, weights])
    total = jnp.sum(weights)
    some = total > 0.0
    return jnp.where(some, jnp.sum(weights * values) / jnp.where(some, total, 1.0), 0.0)


def _weighted_variance(values: jax.Array, weights: jax.Array) -> jax.Array:
    """From squared differences: E[x^2] - mean^2 cancels where x hardly varies."""
    centred = values - weighted_mean(values, weights)
    return weighted_mean(centred**2, weights)
