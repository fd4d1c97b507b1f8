"""The clipped surrogate that the three objectives share (PPO, arXiv 1707.06347, eq. 7).

Axes: ... whatever has a ratio of its own (chunks, or denoising steps of chunks).
"""

import chex
import jax
import jax.numpy as jnp

# e^20 is far outside any clip, and its products are far from overflowing.
LARGEST_LOG_RATIO = 20.0


def ratio(log_prob: jax.Array, old_log_prob: jax.Array, *, length: int) -> jax.Array:
    """(π_θ / π_old)^(1/length), [...], from float32 log-densities.

    Where a ratio leaves [e^-20, e^20] it stays at the end and has no gradient: the
    plain ratio of hundreds of densities can overflow in one bad update, and a single
    infinity would take the batch with it.
    """
    chex.assert_equal_shape([log_prob, old_log_prob])
    chex.assert_type([log_prob, old_log_prob], jnp.float32)
    log_ratio = (log_prob - old_log_prob) / length
    return jnp.exp(jnp.clip(log_ratio, -LARGEST_LOG_RATIO, LARGEST_LOG_RATIO))


def clipped(
    ratio: jax.Array, advantages: jax.Array, *, low: float, high: float
) -> jax.Array:
    """min(s Adv, clip(s, 1-ε₋, 1+ε₊) Adv), [...] (eq. 17); low is ε₋, high is ε₊."""
    chex.assert_equal_shape([ratio, advantages])
    bounded = jnp.clip(ratio, 1.0 - low, 1.0 + high)
    return jnp.minimum(ratio * advantages, bounded * advantages)


def check_clip(low: float, high: float) -> None:
    """Raises ValueError unless [1 - low, 1 + high] contains 1 and excludes 0."""
    if not (0 <= low < 1 and high >= 0):
        raise ValueError(
            f"The clip [1 - {low}, 1 + {high}] must contain 1 and exclude 0: choose "
            "0 <= clip_low < 1 and clip_high >= 0."
        )
