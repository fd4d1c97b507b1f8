"""Flow-GSPO: group sequence policy optimisation with an action chunk as the sequence.

The update's objective for chunks whose denoising chains were recorded (paper,
eq. 15-18). Everything is float32.

Axes: N chunks, K denoising steps, H actions of a chunk, D action dimensions.
"""

import math
from dataclasses import dataclass

import chex
import jax
import jax.numpy as jnp

from omnivla_jax.core.types import ChainScore
from omnivla_jax.rl import diagnostics, kl
from omnivla_jax.rl.surrogate import check_clip, clipped

# How far a chunk's log-likelihood may move before its ratio is clipped: at |A| = 32 by
# about 0.04. PPO's 0.2 on a ratio that is the |A|-th root would allow 0.2 |A| nats, as
# far as no chunk of an update moves.
CLIP_NATS = 1.28


@dataclass(frozen=True)
class GspoConfig:
    """Settings of the objective; the defaults are the paper's, but for the clip.

    `length` is |A| (see `chunk_length`), `clip_low` and `clip_high` bound the ratio to
    [1 - clip_low, 1 + clip_high] (None: where the log-likelihood has moved by
    `CLIP_NATS`), `kl_coefficient` is beta, `kl_kind` one of `kl.KINDS` or another
    function of its kind.
    """

    length: int
    clip_low: float | None = None
    clip_high: float | None = None
    kl_coefficient: float = 0.01
    kl_kind: kl.StepKl = kl.exact

    def __post_init__(self) -> None:
        if self.length < 1:
            raise ValueError(f"length is {self.length}, but |A| is at least 1.")
        check_clip(*self.clip)

    @property
    def clip(self) -> tuple[float, float]:
        """How far below and above 1 a ratio counts."""
        moved = CLIP_NATS / self.length
        low = -math.expm1(-moved) if self.clip_low is None else self.clip_low
        high = math.expm1(moved) if self.clip_high is None else self.clip_high
        return low, high


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
    reference: ChainScore | None = None,
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """The negated objective, and metrics by name (all float32 scalars).

        s_i = (π_θ / π_old)^(1/|A|)                                        (eq. 15)
        J = mean_i [ min(s_i Adv_i, clip(s_i, 1-ε₋, 1+ε₊) Adv_i) - β KL_i ]  (eq. 17)
        KL_i = Σ_k KL_ik, by default exact                     (instead of eq. 18)

    `new` and `old` score the same N chains; advantages, weights float32 [N]: the mean
    is weighted, and 0 where all weights are 0. `reference` scores them too, under the
    policy that the divergence is taken from (None: `old`).
    """
    chex.assert_rank([new.log_prob, new.means, new.stds], [1, 4, 4])
    chex.assert_equal_shape([new.log_prob, old.log_prob, advantages, weights])
    chex.assert_type([old.log_prob, advantages, weights], jnp.float32)
    low, high = config.clip
    log_ratio = chunk_log_ratio(new.log_prob, old.log_prob, length=config.length)
    surrogate = clipped(
        jnp.exp(log_ratio), advantages, low=low, high=high
    )
    step_kl = config.kl_kind(new, old if reference is None else reference)  # [K, N]
    penalty = jnp.sum(step_kl, axis=0)
    objective = surrogate - config.kl_coefficient * penalty
    value = -diagnostics.weighted_mean(objective, weights)
    metrics = {
        "loss": value,
        "surrogate": diagnostics.weighted_mean(surrogate, weights),
        "kl_penalty": diagnostics.weighted_mean(penalty, weights),
        **diagnostics.ratio_metrics(
            log_ratio, weights, low=low, high=high
        ),
        **diagnostics.chain_metrics(new, old, weights),
    }
    return value, jax.lax.stop_gradient(metrics)


def chunk_log_ratio(
    log_prob: jax.Array, old_log_prob: jax.Array, *, length: int
) -> jax.Array:
    """log s_i = (log π_θ - log π_old) / |A|, float32 [N] (eq. 15)."""
    # A bfloat16 log-probability of 5,000 nats is off by up to 16.
    chex.assert_type([log_prob, old_log_prob], jnp.float32)
    return (log_prob - old_log_prob) / length
