"""GRPO for flow policies: every denoising step is an action with a ratio of its own.

The baseline that Flow-GSPO is compared with: group advantages as there, but a ratio, a
clip and a divergence by step, as by token in GRPO (arXiv 2402.03300, eq. 3) and by
denoising step in Flow-GRPO (arXiv 2505.05470). Everything is float32.

Axes: N chunks, K denoising steps, H actions of a chunk, D action dimensions.
"""

from dataclasses import dataclass

import chex
import jax
import jax.numpy as jnp

from omnivla_jax.core.types import ChainScore
from omnivla_jax.rl import diagnostics, kl
from omnivla_jax.rl.surrogate import check_clip, clipped, ratio


@dataclass(frozen=True)
class GrpoConfig:
    """Settings of the objective.

    `length` divides a step's log-ratio: 1 is the plain likelihood ratio, H D the mean
    over a step's entries that Flow-GRPO's code takes (together with a clip of 1e-4).
    The divergence is a mean over steps as well, so `kl_coefficient` weighs K times less
    than in `gspo`.
    """

    length: int = 1
    clip_low: float = 0.2
    clip_high: float = 0.2
    kl_coefficient: float = 0.01
    kl_kind: kl.StepKl = kl.exact

    def __post_init__(self) -> None:
        if self.length < 1:
            raise ValueError(f"length is {self.length}, but it is at least 1.")
        check_clip(self.clip_low, self.clip_high)


def loss(
    new: ChainScore,
    old: ChainScore,
    advantages: jax.Array,
    weights: jax.Array,
    *,
    config: GrpoConfig,
    reference: ChainScore | None = None,
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """The negated objective, and metrics by name (all float32 scalars).

        r_ik = (π_θ(A_i^{k+1} | A_i^k) / π_old(A_i^{k+1} | A_i^k))^(1/length)
        J = mean_i mean_k [ min(r_ik Adv_i, clip(r_ik, 1-ε₋, 1+ε₊) Adv_i) - β KL_ik ]

    over the steps that have a density. `new` and `old` score the same N chains;
    advantages, weights float32 [N]: the mean over chunks is weighted, and 0 where all
    weights are 0. `reference` scores them too, under the policy that the divergence is
    taken from (None: `old`).
    """
    chex.assert_rank([new.step_log_prob, new.means, new.stds], [2, 4, 4])
    chex.assert_equal_shape([new.log_prob, advantages, weights])
    chex.assert_type([advantages, weights], jnp.float32)
    ratios = ratio(new.step_log_prob, old.step_log_prob, length=config.length)
    every_step = jnp.broadcast_to(advantages, ratios.shape)
    surrogate = clipped(ratios, every_step, low=config.clip_low, high=config.clip_high)
    step_kl = config.kl_kind(new, old if reference is None else reference)
    step_weights = jnp.broadcast_to(weights, ratios.shape) * step_shares(old.stds)
    objective = surrogate - config.kl_coefficient * step_kl
    value = -diagnostics.weighted_mean(objective, step_weights)
    metrics = {
        "loss": value,
        "surrogate": diagnostics.weighted_mean(surrogate, step_weights),
        "kl_penalty": diagnostics.weighted_mean(step_kl, step_weights),
        **diagnostics.ratio_metrics(
            jnp.log(ratios), step_weights, low=config.clip_low, high=config.clip_high
        ),
        **diagnostics.chain_metrics(new, old, weights),
    }
    return value, jax.lax.stop_gradient(metrics)


def step_shares(stds: jax.Array) -> jax.Array:
    """What each step counts in its chunk's mean, float32 [K, N]; stds [K, N, ., .].

    1 / K' for the K' steps that have a density, 0 for the others.
    """
    dense = jnp.any(stds > 0.0, axis=(2, 3)).astype(jnp.float32)
    return dense / jnp.maximum(jnp.sum(dense, axis=0, keepdims=True), 1.0)
