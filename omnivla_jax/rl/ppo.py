"""PPO for flow policies: the clipped ratio of a chunk, and a critic (arXiv 1707.06347).

The other baseline: no groups; `gae` gives advantages against a value head on the
prefix, as in pi_RL (arXiv 2510.25889). The policy's loss is `gspo.loss` with
`ratio_normalizer` 1, the plain likelihood ratio of whole chunks. Everything is float32.

Axes: N chunks.
"""

from dataclasses import dataclass

import chex
import jax
import jax.numpy as jnp

from omnivla_jax.rl import diagnostics
from omnivla_jax.rl.surrogate import ClipConfig


@dataclass(frozen=True)
class CriticConfig:
    """Settings of a critic and of the advantages against it.

    `value_clip` is how far a value may move from the old one (math.inf: any distance),
    `value_coefficient` the weight of the critic's loss. `gamma` and `gae_lambda` are
    those of `gae.estimate`.
    """

    value_clip: float = 0.2
    value_coefficient: float = 0.5
    gamma: float = 0.99
    gae_lambda: float = 0.95

    def __post_init__(self) -> None:
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


@dataclass(frozen=True)
class PpoConfig(CriticConfig, ClipConfig):
    """Settings of the objective, of its critic and of the advantages."""

    def __post_init__(self) -> None:
        CriticConfig.__post_init__(self)
        ClipConfig.__post_init__(self)


def value_loss(
    values: jax.Array,
    old_values: jax.Array,
    returns: jax.Array,
    weights: jax.Array,
    *,
    config: CriticConfig,
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
