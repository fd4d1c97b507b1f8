"""DPO: chunks of good episodes are preferred to those of bad ones of the same group.

Direct preference optimisation (arXiv 2305.18290) on pairs of one group, which began in
the same state; as NORA-1.5 and others use it on successes and failures:

    L = mean over pairs (i, j) of -log sigmoid(beta (s_i - s_j)),   Adv_i > 0 > Adv_j

with s = log π_θ - log π_reference of a chunk. No clip: the reference holds it.

Axes: N chunks, K denoising steps.
"""

from dataclasses import dataclass

import chex
import jax
import jax.numpy as jnp

from omnivla_jax.core.types import Score
from omnivla_jax.rl import diagnostics, kl, surrogate


@dataclass(frozen=True)
class DpoConfig:
    """Settings of the objective.

    Attributes:
      ratio_normalizer: the length that a chunk's log-ratio is divided by.
      dpo_beta: beta, above 0: how soon a pair is told apart well enough.
    """

    ratio_normalizer: int = 1
    dpo_beta: float = 0.1

    def __post_init__(self) -> None:
        if self.ratio_normalizer < 1 or self.dpo_beta <= 0:
            raise ValueError(
                f"ratio_normalizer is {self.ratio_normalizer} and dpo_beta "
                f"{self.dpo_beta}: choose at least 1, and one above 0."
            )


def loss(
    new: Score,
    old: Score,
    advantages: jax.Array,
    weights: jax.Array,
    group: jax.Array,
    *,
    config: DpoConfig,
    exact_kl: kl.StepKl,
    reference: Score | None = None,
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """The loss of all pairs of a minibatch, and metrics by name (float32 scalars).

    Args:
      new, old, advantages, weights, exact_kl: as of `gspo.loss`.
      group: int32 [N], of each chunk: only chunks of one group make pairs.
      config: beta and the length.
      reference: scores under the policy that holds the trained one; None: `old`.
    """
    chex.assert_rank([new.log_prob, group], [1, 1])
    chex.assert_equal_shape([new.log_prob, advantages, weights, group])
    chex.assert_type([advantages, weights], jnp.float32)
    log_ratio = surrogate.log_ratio(
        new.log_prob, (reference or old).log_prob, normalizer=config.ratio_normalizer
    )
    good, bad = (weights > 0) & (advantages > 0), (weights > 0) & (advantages < 0)
    is_pair = good[:, None] & bad[None] & (group[:, None] == group[None])
    margin = log_ratio[:, None] - log_ratio[None]  # [N, N]
    counted = is_pair.astype(jnp.float32)
    value = diagnostics.weighted_mean(
        -jax.nn.log_sigmoid(config.dpo_beta * margin), counted
    )
    is_right = (margin > 0).astype(jnp.float32)
    metrics = {
        "loss": value,
        "pairs": jnp.sum(counted),
        "preference_accuracy": diagnostics.weighted_mean(is_right, counted),
        **diagnostics.ratio_metrics(log_ratio, weights, low=1.0, high=jnp.inf),
        **diagnostics.chain_metrics(exact_kl(new, old), old, weights),
    }
    return value, jax.lax.stop_gradient(metrics)
