"""DPPO: every denoising step is an action of its own, worth less the noisier it is.

As in arXiv 2409.00588: the advantage of a chunk comes from a critic and is discounted
backwards over its denoising steps, and a step's ratio is clipped more tightly the
noisier the step is. `grpo.loss` treats all steps alike. Everything is float32.

Axes: N chunks, K denoising steps, from noise to chunk.
"""

import math
from dataclasses import dataclass

import chex
import jax
import jax.numpy as jnp

from omnivla_jax.core.types import Score
from omnivla_jax.rl import diagnostics, grpo, kl, surrogate
from omnivla_jax.rl.ppo import CriticConfig


@dataclass(frozen=True)
class DppoConfig(CriticConfig):
    """Settings of the objective; defaults as in DPPO's code for images.

    Attributes:
      ratio_normalizer: the length that a step's log-ratio is divided by, there H D.
      step_discount: the advantage of a step over that of the step after it.
      first_clip, last_clip: of the noisiest step's ratio and of the last one's.
      clip_growth: how fast the clip rises between them; 0: linearly.
    """

    ratio_normalizer: int = 1
    step_discount: float = 0.99
    first_clip: float = 0.001
    last_clip: float = 0.01
    clip_growth: float = 3.0
    gamma: float = 0.999

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.ratio_normalizer < 1:
            raise ValueError(
                f"ratio_normalizer is {self.ratio_normalizer}, but it is at least 1."
            )
        if not (0 < self.step_discount <= 1 and self.clip_growth >= 0):
            raise ValueError(
                f"step_discount is {self.step_discount} and clip_growth "
                f"{self.clip_growth}: choose one in (0, 1] and one of at least 0."
            )
        if not 0 < self.first_clip <= self.last_clip < 1:
            raise ValueError(
                f"first_clip is {self.first_clip} and last_clip {self.last_clip}: "
                "choose 0 < first_clip <= last_clip < 1."
            )


def step_clips(count: int, config: DppoConfig) -> jax.Array:
    """How far from 1 each step's ratio counts, float32 [K], rising.

    first + (last - first) (e^{c t} - 1) / (e^c - 1), t from 0 at the first step to 1.
    """
    place = jnp.linspace(0.0, 1.0, count) if count > 1 else jnp.ones(1)
    if config.clip_growth:
        growth = config.clip_growth
        place = jnp.expm1(growth * place) / math.expm1(growth)
    return config.first_clip + (config.last_clip - config.first_clip) * place


def loss(
    new: Score,
    old: Score,
    advantages: jax.Array,
    weights: jax.Array,
    *,
    config: DppoConfig,
    exact_kl: kl.StepKl,
    reference: Score | None = None,
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """The negated objective without the critic's loss, and metrics by name.

        J = mean_i mean_k min(r_ik Adv_ik, clip(r_ik, 1 - ε_k, 1 + ε_k) Adv_ik)
        Adv_ik = step_discount^(K - 1 - k) Adv_i

    over the steps that have a density. Arguments as for `gspo.loss`; `reference` is not
    used.
    """
    del reference
    chex.assert_rank([new.log_prob, new.step_log_prob], [1, 2])
    chex.assert_equal_shape([new.log_prob, advantages, weights])
    chex.assert_type([advantages, weights], jnp.float32)
    shape = new.step_log_prob.shape
    log_ratio = surrogate.log_ratio(
        new.step_log_prob, old.step_log_prob, normalizer=config.ratio_normalizer
    )
    behind = jnp.arange(shape[0] - 1, -1, -1, dtype=jnp.float32)
    discounts = config.step_discount**behind
    clips = jnp.broadcast_to(step_clips(shape[0], config)[:, None], shape)
    gain = surrogate.clipped(
        jnp.exp(log_ratio),
        discounts[:, None] * advantages[None],
        low=clips,
        high=clips,
    )
    of_steps = weights[None] * grpo.step_weights(old.has_density)
    value = -diagnostics.weighted_mean(gain, of_steps)
    metrics = {
        "loss": value,
        **diagnostics.ratio_metrics(log_ratio, of_steps, low=clips, high=clips),
        **diagnostics.chain_metrics(exact_kl(new, old), old, weights),
    }
    return value, jax.lax.stop_gradient(metrics)
