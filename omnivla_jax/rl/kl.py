"""Divergences between a policy and another one that scored the same chunks.

The other is the policy that sampled the chunks or a fixed one, such as the policy after
stage II. Every kind gives nats by denoising step, whose sum over the steps is the
chunk's divergence. `exact` is the action head's own, from its distributions
(`policy.heads`); the others are estimates from the densities of the chunks at hand.

Axes: K denoising steps, N chunks.
"""

from typing import Callable, TypeAlias

import chex
import jax
import jax.numpy as jnp

from omnivla_jax.core.types import Score

# step_kl(new, other) -> float32 [K, N]: both score the same N chunks.
StepKl: TypeAlias = Callable[[Score, Score], jax.Array]


def k3(new: Score, other: Score) -> jax.Array:
    """r - 1 - log r with r = π_other / π_θ, by step; >= 0 for every single chunk.

    Its mean is KL(π_θ ‖ π_other) on chunks of π_θ itself, and up to O(d³) on chunks of
    a π_other that is d away. As in GRPO (arXiv 2402.03300, eq. 4). A step's log-ratio
    beyond 88 nats overflows, where the exact divergence does not.
    """
    log_ratio = log_ratio_kl(new, other)
    return jnp.expm1(log_ratio) - log_ratio


def log_ratio_kl(new: Score, other: Score) -> jax.Array:
    """log(π_other / π_θ) by step: eq. 18 as printed, and of either sign.

    Its mean over the chunks of π_other is KL(π_other ‖ π_θ), but its gradient,
    -∇ log π_θ, pulls towards every recorded chunk, however bad.
    """
    chex.assert_rank([new.step_log_prob, other.step_log_prob], 2)
    chex.assert_equal_shape([new.step_log_prob, other.step_log_prob])
    chex.assert_type([new.step_log_prob, other.step_log_prob], jnp.float32)
    return other.step_log_prob - new.step_log_prob


# None: the divergence that the action head computes from its distributions.
KINDS: dict[str, StepKl | None] = {"exact": None, "k3": k3, "log_ratio": log_ratio_kl}
