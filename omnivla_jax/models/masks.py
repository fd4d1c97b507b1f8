"""Who may attend to whom: block-wise causal masks from one small table of rules.

Blocks come in the order [reasoning | spatial | state | action]. Reasoning and spatial
are the prefix, which sees all of itself and nothing else; state and action are the
suffix, which sees the whole prefix. Axes: B batch, T query tokens, S key tokens.
"""

from typing import Callable, Mapping

import chex
import jax
import jax.numpy as jnp
import numpy as np

PREFIX = ("reasoning", "spatial")
SUFFIX = ("state", "action")
BLOCKS = PREFIX + SUFFIX

# A rule takes token indices in the whole sequence: query [T, 1] and key [1, S].
Rule = Callable[[np.ndarray, np.ndarray], np.ndarray]


def everything(query: np.ndarray, key: np.ndarray) -> np.ndarray:
    """Every query token sees every key token of the block."""
    return np.broadcast_to(True, np.broadcast_shapes(query.shape, key.shape))


def earlier(query: np.ndarray, key: np.ndarray) -> np.ndarray:
    """A token sees itself and what comes before it."""
    return key <= query


# The paper's figure 2: inside the suffix the mask is lower-triangular. The state comes
# first, so that the action block is the only one in which the two switches differ.
INSIDE_ACTION: Mapping[str, Rule] = {"causal": earlier, "bidirectional": everything}


def rules(suffix_attention: str) -> dict[tuple[str, str], Rule]:
    """The table (query block, key block) -> rule; pairs that are absent see nothing.

    `suffix_attention`: "causal" is OmniVLA-RL's; "bidirectional" is pi0's, in which
    the actions of a chunk see each other both ways.
    """
    if suffix_attention not in INSIDE_ACTION:
        raise ValueError(
            f"suffix_attention is {suffix_attention!r}; choose one of "
            f"{', '.join(INSIDE_ACTION)}."
        )
    table = {(query, key): everything for query in BLOCKS for key in PREFIX}
    table |= {("state", "state"): earlier, ("action", "state"): everything}
    return table | {("action", "action"): INSIDE_ACTION[suffix_attention]}


def block_mask(lengths: Mapping[str, int], *, suffix_attention: str) -> np.ndarray:
    """The mask bool [T, T] for blocks of the given lengths; True means "may see".

    `lengths` maps block names to token counts; a missing block has none. For example
    {reasoning: 2, state: 1, action: 2} and "causal" give

        [[1 1 0 0 0],   reasoning
         [1 1 0 0 0],   reasoning
         [1 1 1 0 0],   state
         [1 1 1 1 0],   action 0
         [1 1 1 1 1]]   action 1
    """
    if unknown := set(lengths) - set(BLOCKS):
        raise ValueError(f"Unknown blocks {sorted(unknown)}; known are {BLOCKS}.")
    table = rules(suffix_attention)
    counts = [lengths.get(name, 0) for name in BLOCKS]
    starts = np.cumsum([0, *counts])
    mask = np.zeros((starts[-1], starts[-1]), bool)
    for i, query in enumerate(BLOCKS):
        for j, key in enumerate(BLOCKS):
            rows = np.arange(starts[i], starts[i + 1])[:, None]
            columns = np.arange(starts[j], starts[j + 1])[None, :]
            if rule := table.get((query, key)):  # else nothing is seen
                mask[rows, columns] = rule(rows, columns)
    return mask


def hide_padding(mask: np.ndarray | jax.Array, valid: jax.Array) -> jax.Array:
    """Combine mask [T, S] with valid keys bool [B, S] into bool [B, T, S]."""
    chex.assert_rank([mask, valid], [2, 2])
    chex.assert_equal_shape_suffix([mask, valid], 1)
    return jnp.asarray(mask)[None] & valid[:, None, :]


def positions(valid: jax.Array) -> jax.Array:
    """RoPE positions int32 [B, T]: padding does not count."""
    chex.assert_rank(valid, 2)
    return jnp.cumsum(valid, axis=1, dtype=jnp.int32) - 1
