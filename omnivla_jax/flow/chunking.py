"""Real-time chunking: a new chunk that continues the one that is being executed.

While a chunk is computed the robot goes on with the last one. The new chunk's first
actions are therefore given, the next ones should agree with what the last chunk had
planned, and those behind its end are free (Black et al., 2025):

    reward(A1) = -1/2 sum_i W_i |Y_i - A1_i|^2

Axes: B samples, H actions of a chunk, D action dimensions.
"""

import jax
import jax.numpy as jnp
import numpy as np

from omnivla_jax.flow.guidance import RewardFn

MAX_STRENGTH = 5.0  # the clip of the guidance's weight, as in RLinf


def overlap_weights(horizon: int, *, delay: int, overlap: int) -> np.ndarray:
    """W float32 [H]: 1 on the delay, falling over the overlap, 0 behind it.

    Args:
      horizon: H.
      delay: actions that are executed while the chunk is computed.
      overlap: actions for which the last chunk has a plan, at least `delay`.

    Raises:
      ValueError: not 0 <= delay <= overlap <= horizon.
    """
    if not 0 <= delay <= overlap <= horizon:
        raise ValueError(
            f"delay={delay} and overlap={overlap} of a chunk of {horizon} actions: "
            "keep 0 <= delay <= overlap <= horizon."
        )
    number = np.arange(horizon)
    share = np.clip((overlap - number) / (overlap - delay + 1), 0.0, 1.0)
    falling = share * np.expm1(share) / (np.e - 1.0)
    weights = np.where(number < delay, 1.0, np.where(number < overlap, falling, 0.0))
    return weights.astype(np.float32)


def continuation_reward(remainder: jax.Array, weights: jax.Array) -> RewardFn:
    """Minus the weighted distance from what is left of the last chunks.

    Args:
      remainder: Y float32 [B, H, D], aligned to the new chunk, anything behind it.
      weights: W float32 [H], or [B, H].
    """
    weights = jnp.broadcast_to(weights, remainder.shape[:2])[..., None]

    def reward(chunk: jax.Array) -> jax.Array:
        gap = jnp.square(remainder - chunk)
        return -0.5 * jnp.sum(weights * gap, axis=(1, 2))

    return reward


def strength(tau: jax.Array) -> jax.Array:
    """The weight of the gradient at flow times float32 [B] in [0, 1).

    (1 - tau) / tau ((1 - tau)^2 + tau^2) / (1 - tau)^2, at most MAX_STRENGTH.
    """
    left = 1.0 - tau
    ratio = (left**2 + tau**2) / (jnp.maximum(tau, 1e-6) * left)
    return jnp.minimum(ratio, MAX_STRENGTH)
