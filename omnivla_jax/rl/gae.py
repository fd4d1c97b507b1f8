"""Generalised advantage estimation over the chunks of episodes (arXiv 1506.02438).

    δ_t = r_t + γ V_{t+1} - V_t,    A_t = δ_t + γ λ A_{t+1}                 (its eq. 16)

V_{t+1} is 0 where chunk t ended the episode by success or failure (termination). Where
it ran out of time (truncation), or the rollout ended, V of the state it stopped in
stands for the rewards that were cut off. Float32 throughout.

Axes: T chunks of an episode, B environments.
"""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from omnivla_jax.rl import diagnostics


class Estimates(NamedTuple):
    """Of every chunk; 0 where the episode no longer ran."""

    advantages: jax.Array  # float32 [T, B]
    returns: jax.Array  # float32 [T, B]: advantage + value, what the critic learns


def estimate(
    reward: jax.Array,
    values: jax.Array,
    mask: jax.Array,
    terminated: jax.Array,
    *,
    gamma: float,
    gae_lambda: float,
) -> Estimates:
    """Advantages and value targets of a rollout whose ended episodes stay as they are.

    reward, mask float32 [T, B] as `rollout` gives them: the mask is 1 where the episode
    ran when the chunk began. values float32 [T + 1, B]: of the state before each chunk,
    and of the last. terminated bool [T, B]: the episode terminated in that chunk; an
    episode whose mask falls to 0 without it was truncated. gamma, gae_lambda in [0, 1],
    for a whole chunk: gamma_step ** (actions of a chunk), if discounting is by control
    step.
    """
    chex.assert_rank([reward, values, mask, terminated], 2)
    chex.assert_equal_shape([reward, values[1:], mask, terminated])
    chex.assert_type([reward, values, mask], jnp.float32)
    chex.assert_type(terminated, jnp.bool_)
    onward = jnp.where(terminated, 0.0, gamma)
    delta = reward + onward * values[1:] - values[:-1]

    def back(
        later: jax.Array, now: tuple[jax.Array, jax.Array, jax.Array]
    ) -> tuple[jax.Array, jax.Array]:
        delta, onward, mask = now
        advantage = mask * (delta + gae_lambda * onward * later)
        return advantage, advantage

    last = jnp.zeros_like(reward[0])
    _, advantages = jax.lax.scan(back, last, (delta, onward, mask), reverse=True)
    return Estimates(advantages, advantages + mask * values[:-1])


def normalized(
    advantages: jax.Array, weights: jax.Array, *, adv_std_min: float
) -> jax.Array:
    """(A - mean) / max(std, adv_std_min) by weight, over all axes; both float32 [...].

    `adv_std_min` (> 0) keeps advantages that hardly differ from being blown up.
    """
    chex.assert_type([advantages, weights], jnp.float32)
    centred = advantages - diagnostics.weighted_mean(advantages, weights)
    variance = diagnostics.weighted_mean(centred**2, weights)
    return centred / jnp.maximum(jnp.sqrt(variance), adv_std_min)
