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

from omnivla_jax.core.types import Score
from omnivla_jax.rl import diagnostics, kl, surrogate
from omnivla_jax.rl.surrogate import ClipConfig


@dataclass(frozen=True)
class GrpoConfig(ClipConfig):
    """Settings of the objective.

    `ratio_normalizer` divides a step's log-ratio: 1 is the plain likelihood ratio, H D
    the mean over a step's entries that Flow-GRPO's code takes (together with a clip of
    1e-4). The divergence is a mean over steps as well, so `kl_coefficient` weighs K
    times less than in `gspo`.
    """


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

        r_ik = (π_θ(A_i^{k+1} | A_i^k) / π_old(A_i^{k+1} | A_i^k))^(1/normalizer)
        J = mean_i mean_k [ min(r_ik Adv_i, clip(r_ik, 1-ε₋, 1+ε₊) Adv_i) - β KL_ik ]

    over the steps that have a density. Arguments as for `gspo.loss`.
    """
    chex.assert_rank([new.log_prob, new.step_log_prob], [1, 2])
    chex.assert_equal_shape([new.log_prob, advantages, weights])
    chex.assert_type([advantages, weights], jnp.float32)
    shape = new.step_log_prob.shape
    of_steps = step_weights(old.has_density) * jnp.broadcast_to(
        surrogate.step_weights(shape[0], config.step_decay)[:, None], shape
    )
    value, metrics = surrogate.loss(
        surrogate.log_ratio(
            new.step_log_prob, old.step_log_prob, normalizer=config.ratio_normalizer
        ),
        jnp.broadcast_to(advantages, shape),
        (kl.KINDS[config.kl_kind] or exact_kl)(new, reference or old),
        jnp.broadcast_to(weights, shape) * of_steps,
        config=config,
    )
    metrics |= diagnostics.chain_metrics(exact_kl(new, old), old, weights)
    return value, jax.lax.stop_gradient(metrics)


def step_weights(has_density: jax.Array) -> jax.Array:
    """The weight of each step in its chunk's mean, float32 [K, N]; bool [K, N].

    1 / K' for the K' steps that have a density, 0 for the others.
    """
    dense = has_density.astype(jnp.float32)
    return dense / jnp.maximum(jnp.sum(dense, axis=0, keepdims=True), 1.0)
