"""Trees of episodes: groups whose members share their beginnings.

A state is cloned at the start of every segment, so that G = b_1 b_2 ... b_L episodes
of a group have played b_1 first segments, b_1 b_2 second ones and so on. The advantage
of a segment is the mean over the episodes that went through it (TreeAdv, arXiv
2601.03703):

    A(segment) = mean over its leaves of their advantages in the group

What lies behind a segment is averaged out, and one group takes fewer steps than G
episodes on their own: of three segments with branching (2, 2, 2), 14 of 24.

Axes: N groups, L segments of an episode, B_l = N b_1 ... b_l nodes of segment l.
"""

import math
from typing import Sequence

import chex
import jax
import jax.numpy as jnp


def nodes(branching: Sequence[int]) -> tuple[int, ...]:
    """Nodes of each segment in one group: b_1, b_1 b_2, ..., G."""
    return tuple(math.prod(branching[: level + 1]) for level in range(len(branching)))


def node_means(leaves: jax.Array, *, count: int) -> jax.Array:
    """The mean of the leaves below each of `count` nodes, float32 [count].

    Args:
      leaves: float32 [N G], those below a node side by side.
      count: nodes B_l of the whole batch, which divide the leaves.
    """
    chex.assert_rank(leaves, 1)
    chex.assert_type(leaves, jnp.float32)
    return jnp.mean(leaves.reshape(count, -1), axis=1)
