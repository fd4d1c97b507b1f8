"""Velocities that are altered while a chunk is sampled, without training.

    v' = v + strength(tau) * gradient of reward(A1) in A,   A1 = A + (1 - tau) v(A, tau)

A1 is the chunk that a sample is heading for. With a reward of a task this is guidance
(VLS); with minus the distance from what is left of the last chunk it is real-time
chunking. The sum of several velocities under one noise composes policies (GPC).

Axes: B samples, H actions of a chunk, D action dimensions.
"""

from typing import Callable, Sequence, TypeAlias

import chex
import jax
import jax.numpy as jnp

from omnivla_jax.flow.ode import VelocityFn

# chunk float32 [B, H, D] -> float32 [B], each of its own chunk alone
RewardFn: TypeAlias = Callable[[jax.Array], jax.Array]
# tau float32 [B] -> the weight of the reward's gradient, float32 [B]
StrengthFn: TypeAlias = Callable[[jax.Array], jax.Array]


def guided(
    velocity_fn: VelocityFn, reward_fn: RewardFn, strength_fn: StrengthFn
) -> VelocityFn:
    """The velocity that also climbs the reward of the chunk it is heading for.

    The gradient goes through the velocity, at the price of one more pass backwards.
    """

    def velocity(x: jax.Array, tau: jax.Array) -> jax.Array:
        def reward(x: jax.Array) -> tuple[jax.Array, jax.Array]:
            velocity_now = velocity_fn(x, tau)
            rewards = reward_fn(x + (1.0 - tau)[:, None, None] * velocity_now)
            chex.assert_shape(rewards, tau.shape)
            return jnp.sum(rewards), velocity_now

        gradient, velocity_now = jax.grad(reward, has_aux=True)(x)
        return velocity_now + strength_fn(tau)[:, None, None] * gradient

    return velocity


def composed(
    velocity_fns: Sequence[VelocityFn], weights: Sequence[float]
) -> VelocityFn:
    """The weighted mean of velocities at the same noisy chunk (GPC).

    Args:
      velocity_fns: of policies with the same actions and normalisation.
      weights: one each, none negative, with sum 1.

    Raises:
      ValueError: other weights.
    """
    if len(weights) != len(velocity_fns) or min(weights) < 0:
        raise ValueError(
            f"weights={tuple(weights)} of {len(velocity_fns)} velocities: give one "
            "each, none negative."
        )
    if abs(sum(weights) - 1.0) > 1e-6:
        raise ValueError(f"weights={tuple(weights)} sum to {sum(weights)}, not to 1.")

    def velocity(x: jax.Array, tau: jax.Array) -> jax.Array:
        parts = [w * fn(x, tau) for w, fn in zip(weights, velocity_fns)]
        return sum(parts[1:], start=parts[0])

    return velocity
