"""Negative-aware fine-tuning: learn towards good chunks, and away from bad ones.

Two implicit velocities are mixed from the one that acted, v, and the one that is
trained, v_θ (DiffusionNFT, arXiv 2509.16117): v± = v ± β (v_θ - v). With the errors E±
of the two on a chunk and its rank r in [0, 1],

    L = r E+ + (1 - r) E-,    E = ‖v± - target‖² / 2

In scores of the bound (`flow.bound`), with log s = log π_θ - log π of a draw and
D = ‖v_θ - v‖² / 2 its divergence, that is up to a constant

    L / β = -(2 r - 1) (log s + D) + β D

so it is an objective on scores like the others: no clip, but a pull back that grows
with the square of the change, and twice as much for bad chunks as for average ones.

Axes: N chunks, K draws of a chunk.
"""

from dataclasses import dataclass

import chex
import jax
import jax.numpy as jnp

from omnivla_jax.core.types import Score
from omnivla_jax.rl import diagnostics, kl, surrogate


@dataclass(frozen=True)
class NftConfig:
    """Settings of the objective.

    Attributes:
      ratio_normalizer: the length that log-ratios and divergences are divided by.
      nft_beta: β, how far the implicit velocities reach; the pull back grows with it.
      advantage_clip: the advantage at which a chunk's rank is 1, below 0 that of 0.
    """

    ratio_normalizer: int = 1
    nft_beta: float = 1.0
    advantage_clip: float = 1.0

    def __post_init__(self) -> None:
        if self.ratio_normalizer < 1:
            raise ValueError(
                f"ratio_normalizer is {self.ratio_normalizer}, but it is at least 1."
            )
        if self.nft_beta <= 0 or self.advantage_clip <= 0:
            raise ValueError(
                f"nft_beta is {self.nft_beta} and advantage_clip "
                f"{self.advantage_clip}: both must be positive."
            )


def loss(
    new: Score,
    old: Score,
    advantages: jax.Array,
    weights: jax.Array,
    *,
    config: NftConfig,
    exact_kl: kl.StepKl,
    reference: Score | None = None,
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """L / β without its constant, and metrics by name (all float32 scalars).

    Args:
      new, old, advantages, weights, exact_kl: as of `gspo.loss`; the scores are those
        of a bound, whose divergence is the velocities' distance.
      config: β and the clip of advantages.
      reference: not used: the loss pulls back to `old`.
    """
    del reference
    chex.assert_rank([new.log_prob, new.step_log_prob], [1, 2])
    chex.assert_equal_shape([new.log_prob, old.log_prob, advantages, weights])
    chex.assert_type([advantages, weights], jnp.float32)
    log_ratio = surrogate.log_ratio(
        new.log_prob, old.log_prob, normalizer=config.ratio_normalizer
    )
    step_kl = exact_kl(new, old)
    distance = jnp.sum(step_kl, axis=0) / config.ratio_normalizer
    direction = jnp.clip(advantages / config.advantage_clip, -1.0, 1.0)  # 2 r - 1
    per_chunk = config.nft_beta * distance - direction * (log_ratio + distance)
    value = diagnostics.weighted_mean(per_chunk, weights)
    metrics = {
        "loss": value,
        "kl_penalty": diagnostics.weighted_mean(distance, weights),
        **diagnostics.ratio_metrics(log_ratio, weights, low=1.0, high=jnp.inf),
        **diagnostics.chain_metrics(step_kl, old, weights),
    }
    return value, jax.lax.stop_gradient(metrics)
