"""RLOO: an episode against the mean of the others of its group (arXiv 2402.14740).

    Adv_i = R_i - mean_{j != i} R_j = G / (G - 1) (R_i - mean_group R)

The baseline does not contain the episode's own return, so that the gradient is
unbiased, and there is no division by a deviation. As in RIPT-VLA, whose clip of 0.1 on
the plain likelihood ratio of a chunk is the default; the loss is `gspo.loss`.

Axes: N initial states, G episodes of a group, B = N G.
"""

from dataclasses import dataclass

import chex
import jax
import jax.numpy as jnp

from omnivla_jax.rl import groups
from omnivla_jax.rl.groups import GroupAdvantages
from omnivla_jax.rl.surrogate import ClipConfig


@dataclass(frozen=True)
class RlooConfig(ClipConfig):
    """Settings of the objective: RIPT-VLA's, which takes no divergence."""

    kl_coefficient: float = 0.0

    clip_low: float | None = 0.1
    clip_high: float | None = 0.1


def leave_one_out(returns: jax.Array, *, group_size: int) -> GroupAdvantages:
    """Advantages of returns float32 [B] against the others of their group.

    Groups whose episodes all returned the same have weight 0.

    Raises:
      ValueError: B is no multiple of G, or G is 1, which leaves no other episode.
    """
    chex.assert_rank(returns, 1)
    chex.assert_type(returns, jnp.float32)
    if group_size < 2:
        raise ValueError(
            f"group_size is {group_size}: leaving one out needs at least 2."
        )
    grouped = groups.grouped(returns, group_size)
    others = jnp.sum(grouped, axis=1, keepdims=True) - grouped
    equal = jnp.max(grouped, axis=1) == jnp.min(grouped, axis=1)
    is_used = groups.repeat(~equal, group_size)
    advantages = (grouped - others / (group_size - 1)).reshape(-1)
    return GroupAdvantages(
        jnp.where(is_used, advantages, 0.0), is_used.astype(jnp.float32), equal
    )
