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
        shape = (len(leaf), group_size, *leaf.shape[1:])
        return jnp.broadcast_to(leaf[:, None], shape).reshape(-1, *leaf.shape[1:])

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
    if len(returns) % group_size:
        raise ValueError(
            f"{len(returns)} episodes do not divide into groups of {group_size}: make "
            "the batch a multiple of the group size."
        )
    grouped = returns.reshape(-1, group_size)  # [N, G]
    centred = grouped - jnp.mean(grouped, axis=1, keepdims=True)
    std = jnp.std(grouped, axis=1, keepdims=True)
    # By equality rather than by std: the mean of equal floats may round.
    equal = jnp.max(grouped, axis=1) == jnp.min(grouped, axis=1)
    used = repeat(~equal, group_size)
    scaled = (centred / jnp.maximum(std, std_floor)).reshape(-1)
    advantages = jnp.where(used, scaled, 0.0)
    return GroupAdvantages(advantages, used.astype(jnp.float32), equal)
