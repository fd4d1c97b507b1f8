"""The clipped surrogate that all objectives share (PPO, arXiv 1707.06347, eq. 7).

Axes: ... whatever has a ratio of its own (chunks [N], or denoising steps [K, N]).
"""

from dataclasses import dataclass

import chex
import jax
import jax.numpy as jnp

from omnivla_jax.rl import diagnostics, kl

# e^20 is far outside any clip, and its products are far from overflowing.
LARGEST_LOG_RATIO = 20.0


@dataclass(frozen=True)
class ClipConfig:
    """Settings of a clipped objective with a divergence penalty.

    Attributes:
      ratio_normalizer: the length that a log-ratio is divided by; 1 is the plain
        likelihood ratio.
      clip_low, clip_high: bound the ratio to [1 - clip_low, 1 + clip_high]; None: the
        objective's own.
      clip_quantile: the share of the ratios of a minibatch, by |log s|, that the clip
        never touches: it widens where they spread more. None: it stays as it is.
      step_decay: the weight of a denoising step's log-ratio over that of the step after
        it, at a mean weight of 1; above 1 the last step, whose noise is smallest, holds
        less of a chunk's ratio.
      kl_coefficient: beta, the weight of the divergence from the reference policy.
      kl_kind: one of `kl.KINDS`.
    """

    ratio_normalizer: int = 1
    clip_low: float | None = None
    clip_high: float | None = None
    clip_quantile: float | None = None
    step_decay: float = 1.0
    kl_coefficient: float = 0.01
    kl_kind: str = "exact"

    def __post_init__(self) -> None:
        if self.ratio_normalizer < 1:
            raise ValueError(
                f"ratio_normalizer is {self.ratio_normalizer}, but it is at least 1."
            )
        if self.kl_kind not in kl.KINDS:
            raise ValueError(
                f"kl_kind is {self.kl_kind!r}; choose one of {', '.join(kl.KINDS)}."
            )
        if self.step_decay <= 0:
            raise ValueError(f"step_decay is {self.step_decay}, but it is positive.")
        if self.clip_quantile is not None and not 0 < self.clip_quantile < 1:
            raise ValueError(
                f"clip_quantile is {self.clip_quantile}: choose one in (0, 1), or None."
            )
        low, high = self.clip
        if not (0 <= low < 1 and high >= 0):
            raise ValueError(
                f"The clip [1 - {low}, 1 + {high}] must contain 1 and exclude 0: "
                "choose 0 <= clip_low < 1 and clip_high >= 0."
            )

    @property
    def clip(self) -> tuple[float, float]:
        """How far below and above 1 a ratio counts; PPO's fifth where it is None."""
        return self._clip_or(0.2, 0.2)

    def _clip_or(self, low: float, high: float) -> tuple[float, float]:
        """The clip, with these defaults of an objective."""
        low = low if self.clip_low is None else self.clip_low
        return low, high if self.clip_high is None else self.clip_high


def log_ratio(
    log_prob: jax.Array, old_log_prob: jax.Array, *, normalizer: int
) -> jax.Array:
    """log (π_θ / π_old)^(1/normalizer), [...], from float32 log-densities.

    Beyond ±20 it stays there and has no gradient: the plain ratio of hundreds of
    densities can overflow in one bad update, and a single infinity would take the batch
    with it.
    """
    chex.assert_equal_shape([log_prob, old_log_prob])
    # A bfloat16 log-probability of 5,000 nats is off by up to 16.
    chex.assert_type([log_prob, old_log_prob], jnp.float32)
    scaled = (log_prob - old_log_prob) / normalizer
    return jnp.clip(scaled, -LARGEST_LOG_RATIO, LARGEST_LOG_RATIO)


def step_weights(count: int, decay: float) -> jax.Array:
    """Weights float32 [K] of steps' log-ratios: each `decay` times the next, mean 1."""
    weights = decay ** jnp.arange(count - 1, -1, -1, dtype=jnp.float32)
    return weights / jnp.mean(weights)


def clip_bounds(
    log_ratio: jax.Array, weights: jax.Array, *, config: ClipConfig
) -> tuple[jax.Array, jax.Array]:
    """How far below and above 1 these ratios count, float32 [] each; no gradient.

    The config's clip, or with `clip_quantile` the spread that holds that share of the
    ratios with weight, where it is wider.
    """
    low, high = (jnp.asarray(bound, jnp.float32) for bound in config.clip)
    if config.clip_quantile is None:
        return low, high
    spread = jnp.abs(jax.lax.stop_gradient(log_ratio))
    counted = jnp.where(weights > 0.0, spread, jnp.nan)
    moved = jnp.nan_to_num(jnp.nanquantile(counted, config.clip_quantile))
    return jnp.maximum(low, -jnp.expm1(-moved)), jnp.maximum(high, jnp.expm1(moved))


def clipped(
    ratio: jax.Array,
    advantages: jax.Array,
    *,
    low: float | jax.Array,
    high: float | jax.Array,
) -> jax.Array:
    """min(s Adv, clip(s, 1-ε₋, 1+ε₊) Adv), [...] (eq. 17); low is ε₋, high is ε₊."""
    chex.assert_equal_shape([ratio, advantages])
    bounded = jnp.clip(ratio, 1.0 - low, 1.0 + high)
    return jnp.minimum(ratio * advantages, bounded * advantages)


def loss(
    log_ratio: jax.Array,
    advantages: jax.Array,
    penalty: jax.Array,
    weights: jax.Array,
    *,
    config: ClipConfig,
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """The negated clipped objective, and metrics by name (all float32 scalars).

    Args:
      log_ratio: float32 [...], see `log_ratio`.
      advantages: float32 [...].
      penalty: float32 [...], the divergence that is weighted by `kl_coefficient`.
      weights: float32 [...], of the mean; where all are 0 it is 0.
      config: the clip and the coefficient.
    """
    chex.assert_equal_shape([log_ratio, advantages, penalty, weights])
    chex.assert_type([advantages, weights], jnp.float32)
    low, high = clip_bounds(log_ratio, weights, config=config)
    surrogate = clipped(jnp.exp(log_ratio), advantages, low=low, high=high)
    objective = surrogate - config.kl_coefficient * penalty
    value = -diagnostics.weighted_mean(objective, weights)
    metrics = {
        "loss": value,
        "surrogate": diagnostics.weighted_mean(surrogate, weights),
        "kl_penalty": diagnostics.weighted_mean(penalty, weights),
        **diagnostics.ratio_metrics(log_ratio, weights, low=low, high=high),
    }
    return value, metrics
