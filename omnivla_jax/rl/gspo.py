"""Flow-GSPO: group sequence policy optimisation with an action chunk as the sequence.

The update's objective for chunks whose denoising chains were recorded (paper,
eq. 15-18). Everything is float32.

Axes: N chunks, K denoising steps, H actions of a chunk, D action dimensions.
"""

from dataclasses import dataclass

import chex
import jax
import jax.numpy as jnp

from omnivla_jax.core.types import ChainScore
from omnivla_jax.rl import diagnostics


@dataclass(frozen=True)
class GspoConfig:
    """Settings of the objective; the defaults are the paper's.

    `length` is |A| (see `chunk_length`), `clip_low` and `clip_high` bound the ratio to
    [1 - clip_low, 1 + clip_high], `kl_coefficient` is beta.
    """

    length: int
    clip_low: float = 0.2
    clip_high: float = 0.2
    kl_coefficient: float = 0.01

    def __post_init__(self) -> None:
        if self.length < 1:
            raise ValueError(f"length is {self.length}, but |A| is at least 1.")
        if not (0 <= self.clip_low < 1 and self.clip_high >= 0):
            raise ValueError(
                f"The clip [1 - {self.clip_low}, 1 + {self.clip_high}] must contain 1 "
                "and exclude 0: choose 0 <= clip_low < 1 and clip_high >= 0."
            )


def chunk_length(*, horizon: int, steps: int, action_dim: int = 1) -> int:
    """|A| = H K as in the paper, or H K D where `action_dim` is given.

    Count what the likelihood counts: the executed part of the horizon, and the
    stochastic steps (1 in the hybrid mode).
    """
    return horizon * steps * action_dim


def loss(
    new: ChainScore,
    old: ChainScore,
    advantages: jax.Array,
    weights: jax.Array,
    *,
    config: GspoConfig,
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """The negated objective, and metrics by name (all float32 scalars).

        s_i = (π_θ / π_old)^(1/|A|)                                        (eq. 15)
        J = mean_i [ min(s_i Adv_i, clip(s_i, 1-ε₋, 1+ε₊) Adv_i) - β KL_i ]  (eq. 17)
        KL_i = Σ_k ‖μ_θ - μ_old‖² / (2 σ_k² δ)                   (instead of eq. 18)

    `new` and `old` score the same N chains; advantages, weights float32 [N]: the mean
    is weighted, and 0 where all weights are 0.
    """
    chex.assert_rank([new.log_prob, new.means, new.stds], [1, 4, 4])
    chex.assert_equal_shape([new.log_prob, old.log_prob, advantages, weights])
    chex.assert_type([old.log_prob, advantages, weights], jnp.float32)
    log_ratio = chunk_log_ratio(new.log_prob, old.log_prob, length=config.length)
    ratio = jnp.exp(log_ratio)
    surrogate = clipped_surrogate(ratio, advantages, config=config)
    step_kl = gaussian_kl(new.means, old.means, old.stds)  # [K, N]
    objective = surrogate - config.kl_coefficient * jnp.sum(step_kl, axis=0)
    value = -diagnostics.weighted_mean(objective, weights)
    metrics = {
        "loss": value,
        "surrogate": diagnostics.weighted_mean(surrogate, weights),
        **diagnostics.ratio_metrics(
            log_ratio, weights, low=config.clip_low, high=config.clip_high
        ),
        **diagnostics.kl_metrics(step_kl, weights),
    }
    return value, jax.lax.stop_gradient(metrics)


def chunk_log_ratio(
    log_prob: jax.Array, old_log_prob: jax.Array, *, length: int
) -> jax.Array:
    """log s_i = (log π_θ - log π_old) / |A|, float32 [N] (eq. 15)."""
    # A bfloat16 log-probability of 5,000 nats is off by up to 16.
    chex.assert_type([log_prob, old_log_prob], jnp.float32)
    return (log_prob - old_log_prob) / length


def clipped_surrogate(
    ratio: jax.Array, advantages: jax.Array, *, config: GspoConfig
) -> jax.Array:
    """min(s Adv, clip(s, 1-ε₋, 1+ε₊) Adv), [N] (eq. 17)."""
    chex.assert_equal_shape([ratio, advantages])
    clipped = jnp.clip(ratio, 1.0 - config.clip_low, 1.0 + config.clip_high)
    return jnp.minimum(ratio * advantages, clipped * advantages)


def gaussian_kl(means: jax.Array, old_means: jax.Array, stds: jax.Array) -> jax.Array:
    """‖μ_θ - μ_old‖² / (2 σ² δ) per step and chunk, [K, N]; >= 0, 0 on ODE steps.

    Exact for Gaussians of one covariance, and the same in both directions. means
    [K, N, H, D], stds [K, N, 1, 1].
    """
    chex.assert_equal_shape([means, old_means])
    chex.assert_shape(stds, (*means.shape[:2], 1, 1))
    chex.assert_type([means, old_means, stds], jnp.float32)
    noisy = stds > 0.0
    # Both branches of a `where` are differentiated: 0 / 0 must not arise in either.
    scaled = (means - old_means) / jnp.where(noisy, stds, 1.0)
    return jnp.sum(jnp.where(noisy, scaled**2, 0.0), axis=(2, 3)) / 2.0
