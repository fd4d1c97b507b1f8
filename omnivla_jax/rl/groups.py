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
    """The advantage of each episode of a batch within its group."""

    advantages: jax.Array  # float32 [B]
    weights: jax.Array  # float32 [B]: 0 in a group whose episodes all returned the same
    zero_variance: jax.Array  # bool [N]: which groups those are


def repeat(tree: PyTree, group_size: int) -> PyTree:
    """Every leaf [N, ...] as [N G, ...]: each initial state G times in a row."""

    def repeat_leaf(leaf: jax.Array) -> jax.Array:
        count, *rest = leaf.shape
        copies = jnp.broadcast_to(leaf[:, None], (count, group_size, *rest))
        return copies.reshape(count * group_size, *rest)  # a leaf may be empty

    return jax.tree.map(repeat_leaf, tree)


def group_advantages(
    returns: jax.Array, *, group_size: int, adv_std_min: float
) -> GroupAdvantages:
    """Advantages of returns float32 [B] within groups of `group_size` neighbours.

    The deviation is the population's. `adv_std_min` (> 0) keeps groups whose returns
    hardly differ from being blown up. Raises ValueError if B is no multiple of G.
    """
    chex.assert_rank(returns, 1)
    chex.assert_type(returns, jnp.float32)
    groups = grouped(returns, group_size)
    centred = groups - jnp.mean(groups, axis=1, keepdims=True)
    std = jnp.std(groups, axis=1, keepdims=True)
    # By equality rather than by std: the mean of equal floats may round.
    equal = jnp.max(groups, axis=1) == jnp.min(groups, axis=1)
    is_used = repeat(~equal, group_size)
    scaled = (centred / jnp.maximum(std, adv_std_min)).reshape(-1)
    advantages = jnp.where(is_used, scaled, 0.0)
    return GroupAdvantages(advantages, is_used.astype(jnp.float32), equal)


def success_rates(success: jax.Array, *, group_size: int) -> jax.Array:
    """The mean of success, bool or float32 [B] in [0, 1], over each group: [N].

    Raises ValueError if B is no multiple of G.
    """
    chex.assert_rank(success, 1)
    return jnp.mean(grouped(success.astype(jnp.float32), group_size), axis=1)


def success_rate_filter(success_rate: jax.Array, low: float, high: float) -> jax.Array:
    """True for groups whose success rate float32 [N] lies in [low, high]: bool [N].

    The others are too hard or too easy to learn from now: the division by a small
    deviation would make rare outcomes loud (pi_RL's GRPO keeps .1 to .9).

    Raises:
      ValueError: no rate could lie in the interval.
    """
    chex.assert_type(success_rate, jnp.float32)
    if not 0.0 <= low <= high <= 1.0:
        raise ValueError(
            f"success_rate_filter=({low}, {high}) keeps no group: choose "
            "0 <= low <= high <= 1."
        )
    return (success_rate >= low) & (success_rate <= high)


def apply_group_filter(
    advantages: GroupAdvantages, is_kept: jax.Array
) -> GroupAdvantages:
    """`advantages` without weight on the groups where bool [N] `is_kept` is False."""
    chex.assert_equal_shape([advantages.zero_variance, is_kept])
    chex.assert_type(is_kept, jnp.bool_)
    is_used = repeat(is_kept, len(advantages.weights) // len(is_kept))
    return advantages._replace(
        advantages=jnp.where(is_used, advantages.advantages, 0.0),
        weights=jnp.where(is_used, advantages.weights, 0.0),
    )


def grouped(values: jax.Array, group_size: int) -> jax.Array:
    """Values [B] as [N, G]; raises ValueError if B is no multiple of G."""
    if len(values) % group_size:
        raise ValueError(
            f"{len(values)} episodes do not divide into groups of {group_size}: make "
            "the batch a multiple of the group size."
        )
    return values.reshape(-1, group_size)
