"""Trajectory groups: G episodes from each of N initial states, compared in the group.

    Adv_i = (R_i - mean_group R) / max(std_group R, floor)               (eq. 16)

One return and one advantage per episode; all its running chunks share the latter.

Axes: N initial states, G episodes of a group, B = N G environments, group by group;
T chunks of an episode.
"""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from omnivla_jax.core.types import PyTree


class GroupAdvantages(NamedTuple):
    """What each episode of a batch is worth against its group."""

    advantages: jax.Array  # float32 [B]
    weights: jax.Array  # float32 [B]: 0 in a group whose episodes all returned the same
    zero_variance: jax.Array  # bool [N]: which groups those are


def repeat(tree: PyTree, group_size: int) -> PyTree:
    """Every leaf [N, ...] as [N G, ...]: each initial state G times in a row."""

    def copies(leaf: jax.Array) -> jax.Array:
        count, *rest = leaf.shape
        copied = jnp.broadcast_to(leaf[:, None], (count, group_size, *rest))
        return copied.reshape(count * group_size, *rest)  # a leaf may be empty

    return jax.tree.map(copies, tree)


def episode_returns(reward: jax.Array, mask: jax.Array) -> jax.Array:
    """Returns [B]: rewards [T, B] summed over the chunks that ran, mask [T, B]."""
    chex.assert_rank([reward, mask], 2)
    chex.assert_equal_shape([reward, mask])
    chex.assert_type([reward, mask], jnp.float32)
    return jnp.sum(reward * mask, axis=0)


def group_advantages(
    returns: jax.Array, *, group_size: int, std_floor: float
) -> GroupAdvantages:
    """Advantages of returns float32 [B] within groups of `group_size` neighbours.

    The deviation is the population's. `std_floor` (> 0) keeps groups whose returns
    hardly differ from being blown up. Raises ValueError if B is no multiple of G.
    """
    chex.assert_rank(returns, 1)
    chex.assert_type(returns, jnp.float32)
    grouped = _grouped(returns, group_size)
    centred = grouped - jnp.mean(grouped, axis=1, keepdims=True)
    std = jnp.std(grouped, axis=1, keepdims=True)
    # By equality rather than by std: the mean of equal floats may round.
    equal = jnp.max(grouped, axis=1) == jnp.min(grouped, axis=1)
    used = repeat(~equal, group_size)
    scaled = (centred / jnp.maximum(std, std_floor)).reshape(-1)
    advantages = jnp.where(used, scaled, 0.0)
    return GroupAdvantages(advantages, used.astype(jnp.float32), equal)


def success_rates(success: jax.Array, *, group_size: int) -> jax.Array:
    """The mean of success, bool or float32 [B] in [0, 1], over each group: [N].

    Raises ValueError if B is no multiple of G.
    """
    chex.assert_rank(success, 1)
    return jnp.mean(_grouped(success.astype(jnp.float32), group_size), axis=1)


def keep_between(success_rate: jax.Array, low: float, high: float) -> jax.Array:
    """Which groups, by their success rate float32 [N], lie in [low, high]: bool [N].

    The others are too hard or too easy to learn from now: the division by a small
    deviation would make rare outcomes loud (pi_RL's GRPO keeps .1 to .9). Raises
    ValueError where nothing could be kept.
    """
    chex.assert_type(success_rate, jnp.float32)
    if not 0.0 <= low <= high <= 1.0:
        raise ValueError(
            f"Success rates between {low} and {high} cannot be kept: choose "
            "0 <= low <= high <= 1."
        )
    return (success_rate >= low) & (success_rate <= high)


def keep(worth: GroupAdvantages, kept: jax.Array) -> GroupAdvantages:
    """`worth` with no weight on the groups that are not `kept`, bool [N]."""
    chex.assert_equal_shape([worth.zero_variance, kept])
    chex.assert_type(kept, jnp.bool_)
    group_size = len(worth.weights) // len(kept)
    used = repeat(kept, group_size)
    return worth._replace(
        advantages=jnp.where(used, worth.advantages, 0.0),
        weights=jnp.where(used, worth.weights, 0.0),
    )


def _grouped(values: jax.Array, group_size: int) -> jax.Array:
    """[B] as [N, G]."""
    if len(values) % group_size:
        raise ValueError(
            f"{len(values)} episodes do not divide into groups of {group_size}: make "
            "the batch a multiple of the group size."
        )
    return values.reshape(-1, group_size)
