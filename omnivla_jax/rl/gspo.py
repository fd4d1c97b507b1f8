"""Flow-GSPO: group sequence policy optimisation with an action chunk as the sequence.

One ratio a chunk (paper, eq. 15-18). With another `ClipConfig` the same loss is that of
PPO and RLOO, whose advantages differ. Everything is float32.

Axes: N chunks, K denoising steps, H actions of a chunk, D action dimensions.
"""

import math
from dataclasses import dataclass

import chex
import jax
import jax.numpy as jnp

from omnivla_jax.core.types import Score
from omnivla_jax.rl import diagnostics, kl, surrogate
from omnivla_jax.rl.surrogate import ClipConfig

# How far a chunk's log-likelihood may move before its ratio is clipped: at |A| = 32 by
# about 0.04. PPO's 0.2 on a ratio that is the |A|-th root would allow 0.2 |A| nats, as
# far as no chunk of an update moves.
CLIP_NATS = 1.28


@dataclass(frozen=True)
class GspoConfig(ClipConfig):
    """The paper's settings, but for the clip; `ratio_normalizer` is |A|."""

    @property
    def clip(self) -> tuple[float, float]:
        """By default the ratios of log-likelihoods that moved by `CLIP_NATS`."""
        moved = CLIP_NATS / self.ratio_normalizer
        return self._clip_or(-math.expm1(-moved), math.expm1(moved))


def loss(
    new: Score,
    old: Score,
    advantages: jax.Array,
    weights: jax.Array,
    *,
    config: ClipConfig,
    exact_kl: kl.StepKl,
    reference: Score | None = None,
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """The negated objective, and metrics by name (all float32 scalars).

        s_i = (π_θ / π_old)^(1/|A|), or of weighted steps                  (eq. 15)
        J = mean_i [ min(s_i Adv_i, clip(s_i, 1-ε₋, 1+ε₊) Adv_i) - β KL_i ]  (eq. 17)
        KL_i = Σ_k KL_ik, by default exact                     (instead of eq. 18)

    Args:
      new, old: scores of the same N chunks, under the parameters that are trained and
        under those that sampled them.
      advantages, weights: float32 [N]; the mean is weighted.
      config: |A|, the clip and the divergence.
      exact_kl: the action head's divergence of two scores.
      reference: scores under the policy that the divergence is taken from; None: `old`.
    """
    chex.assert_rank([new.log_prob, new.step_log_prob], [1, 2])
    chex.assert_equal_shape([new.log_prob, old.log_prob, advantages, weights])
    step_kl = (kl.KINDS[config.kl_kind] or exact_kl)(new, reference or old)  # [K, N]
    log_probs = (new.log_prob, old.log_prob)
    if config.step_decay != 1.0:
        weight = surrogate.step_weights(len(step_kl), config.step_decay)
        log_probs = (weight @ new.step_log_prob, weight @ old.step_log_prob)
    value, metrics = surrogate.loss(
        surrogate.log_ratio(*log_probs, normalizer=config.ratio_normalizer),
        advantages,
        jnp.sum(step_kl, axis=0),
        weights,
        config=config,
    )
    metrics |= diagnostics.chain_metrics(exact_kl(new, old), old, weights)
    return value, jax.lax.stop_gradient(metrics)
