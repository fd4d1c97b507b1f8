"""PPO for flow policies: the clipped ratio of a chunk, and a critic (arXiv 1707.06347).

The other baseline: no groups; `gae` says what a chunk is worth against a value head on
the prefix, as in pi_RL (arXiv 2510.25889). Everything is float32.

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
class PpoConfig:
    """Settings of the objective, of its critic and of the advantages.

    `length` divides a chunk's log-ratio (1: the plain likelihood ratio). `value_clip`
    is how far a value may move from the old one (math.inf: as far as it likes),
    `value_coefficient` the critic's weight. `gamma` and `gae_lambda` are `gae`'s.
    """

    length: int = 1
    clip_low: float = 0.2
    clip_high: float = 0.2
    kl_coefficient: float = 0.0
    kl_kind: kl.StepKl = kl.exact
    value_clip: float = 0.2
    value_coefficient: float = 0.5
    gamma: float = 0.99
    gae_lambda: float = 0.95

    def __post_init__(self) -> None:
        if self.length < 1:
            raise ValueError(f"length is {self.length}, but it is at least 1.")
        if self.value_clip <= 0:
            raise ValueError(
                f"value_clip is {self.value_clip}, under which no value could move: "
                "choose a positive one, or math.inf for none."
            )
        if not (0 <= self.gamma <= 1 and 0 <= self.gae_lambda <= 1):
            raise ValueError(
                f"gamma is {self.gamma} and gae_lambda {self.gae_lambda}: both lie in "
                "[0, 1]."
            )
        check_clip(self.clip_low, self.clip_high)


def loss(
    new: ChainScore,
    old: ChainScore,
    advantages: jax.Array,
    weights: jax.Array,
    *,
    config: PpoConfig,
    reference: ChainScore | None = None,
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """The negated objective of the policy, and metrics by name (float32 scalars).

        r_i = (π_θ(A_i | s_i) / π_old(A_i | s_i))^(1/length)
        J = mean_i [ min(r_i Adv_i, clip(r_i, 1-ε₋, 1+ε₊) Adv_i) - β Σ_k KL_ik ]

    with the likelihoods of whole chains. `new` and `old` score the same N chains;
    advantages, weights float32 [N]: the mean is weighted, and 0 where all weights are
    0. `reference` scores them too, under the policy that the divergence is taken from
    (None: `old`).
    """
    chex.assert_rank([new.log_prob, new.means, new.stds], [1, 4, 4])
    chex.assert_equal_shape([new.log_prob, old.log_prob, advantages, weights])
    chex.assert_type([advantages, weights], jnp.float32)
    ratios = ratio(new.log_prob, old.log_prob, length=config.length)
    surrogate = clipped(ratios, advantages, low=config.clip_low, high=config.clip_high)
    step_kl = config.kl_kind(new, old if reference is None else reference)  # [K, N]
    penalty = jnp.sum(step_kl, axis=0)
    objective = surrogate - config.kl_coefficient * penalty
    value = -diagnostics.weighted_mean(objective, weights)
    metrics = {
        "loss": value,
        "surrogate": diagnostics.weighted_mean(surrogate, weights),
        "kl_penalty": diagnostics.weighted_mean(penalty, weights),
        **diagnostics.ratio_metrics(
            jnp.log(ratios), weights, low=config.clip_low, high=config.clip_high
        ),
        **diagnostics.chain_metrics(new, old, weights),
    }
    return value, jax.lax.stop_gradient(metrics)


def value_loss(
    values: jax.Array,
    old_values: jax.Array,
    returns: jax.Array,
    weights: jax.Array,
    *,
    config: PpoConfig,
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """The critic's loss, to be added to the policy's, and metrics by name.

        V' = V_old + clip(V - V_old, -ε_v, ε_v)
        L = c_v mean_i max((V_i - R_i)², (V'_i - R_i)²) / 2

    values float32 [N] under the parameters being trained, `old_values` those that the
    advantages came from, `returns` R from `gae.estimate`; weights as in `loss`. The
    explained variance is that of the old values.
    """
    chex.assert_rank(values, 1)
    chex.assert_equal_shape([values, old_values, returns, weights])
    chex.assert_type([values, old_values, returns, weights], jnp.float32)
    moved = values - old_values
    bounded = old_values + jnp.clip(moved, -config.value_clip, config.value_clip)
    error = jnp.maximum((values - returns) ** 2, (bounded - returns) ** 2) / 2.0
    value = config.value_coefficient * diagnostics.weighted_mean(error, weights)
    outside = (jnp.abs(moved) > config.value_clip).astype(jnp.float32)
    metrics = {
        "value_loss": value,
        "value_clip_fraction": diagnostics.weighted_mean(outside, weights),
        **diagnostics.value_metrics(old_values, returns, weights),
    }
    return value, jax.lax.stop_gradient(metrics)
