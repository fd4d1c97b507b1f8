"""Chunk groups: G chunks from one state s_t, and one of their branches continued.

    R_i = Σ_h γ^h r_{i,h},    Adv_i = (R_i - mean_group R) / std_group R     (eq. 16)

Only a simulator whose state is a value can offer them: s_t is cloned to G copies inside
the compiled program, each plays a chunk of its own, and the episode continues from one
of them.

Axes: T chunks of an episode, N episodes, G clones, B = N G, episode by episode, H
control steps of a chunk.
"""

import functools

import chex
import jax
import jax.numpy as jnp

from omnivla_jax.rl import groups
from omnivla_jax.rl.groups import GroupAdvantages


def chunk_advantages(
    returns: jax.Array, mask: jax.Array, *, group_size: int, adv_std_min: float
) -> GroupAdvantages:
    """Advantages of chunk returns float32 [T, B], each among the G clones of its state.

    Fields as in `GroupAdvantages` with T in front. `mask` float32 [T, B] is 1 where the
    episode ran when the chunk began, the same in a whole group; the others weigh
    nothing. Raises ValueError if B is no multiple of G.
    """
    chex.assert_equal_shape([returns, mask])
    chex.assert_type(mask, jnp.float32)
    of_chunk = functools.partial(
        groups.group_advantages, group_size=group_size, adv_std_min=adv_std_min
    )
    chunks = jax.vmap(of_chunk)(returns)
    return chunks._replace(
        advantages=chunks.advantages * mask, weights=chunks.weights * mask
    )


def mix_advantages(
    trajectory: tuple[jax.Array, jax.Array],
    chunk: tuple[jax.Array, jax.Array],
    *,
    chunk_advantage_weight: float,
) -> tuple[jax.Array, jax.Array]:
    """Advantages and weights, float32 [...] each, of both kinds of group together.

        Adv = (1 - α) w_trajectory Adv_trajectory + α w_chunk Adv_chunk

    Each pair is (advantages, weights). A clone that was not continued belongs to no
    trajectory: its trajectory weight is 0 (see `chosen`). The weight is the larger one
    of the kinds that count. α is `chunk_advantage_weight`, a Python number in [0, 1]; 0
    and 1 leave one kind alone.
    """
    chex.assert_equal_shape([*trajectory, *chunk])
    chex.assert_type([*trajectory, *chunk], jnp.float32)
    if not 0.0 <= chunk_advantage_weight <= 1.0:
        raise ValueError(
            f"chunk_advantage_weight is {chunk_advantage_weight}, but it lies in "
            "[0, 1]."
        )
    share = chunk_advantage_weight
    (whole, whole_weight), (part, part_weight) = trajectory, chunk
    advantages = (1.0 - share) * whole_weight * whole + share * part_weight * part
    weights = jnp.maximum(
        float(share < 1.0) * whole_weight, float(share > 0.0) * part_weight
    )
    return advantages, weights
