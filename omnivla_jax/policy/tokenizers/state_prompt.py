"""pi0.5's prompt with the robot's state in it, spelt as numbers from 0 to 255.

    Task: put the bowl on the stove, State: 127 12 200;\\nAction:

The instruction's part is a row of a table of tokens; the numbers change from step to
step and are put behind it inside the compiled program. Axes: B observations, L tokens,
D dimensions of a state, N numbers, P tokens of a number at most, E tokens of the end.
"""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np

from omnivla_jax.policy.tokenizers.hashed_words import Tokenizer, pad_tokens
from omnivla_jax.policy.tokenizers.paligemma import clean

# Lower edges of the bins of a normalised state; below the first one openpi writes -1.
EDGES = np.linspace(-1, 1, 257, dtype=np.float32)[:-1]
NUMBERS = range(-1, len(EDGES))
END = ";\nAction: "


class NumberTable(NamedTuple):
    """Tokens of every number behind a space, and of the prompt's end."""

    tokens: np.ndarray  # int32 [N, P], padded with zeros; row 0 is -1
    lengths: np.ndarray  # int32 [N]
    end: np.ndarray  # int32 [E]


def make_table(tokenizer: Tokenizer) -> NumberTable:
    """Spell every number once.

    Raises:
      ValueError: the tokenizer joins numbers with their neighbours, so that a prompt
        is not its parts one after the other.
    """
    rows = [tokenizer.pieces(f" {number}") for number in NUMBERS]
    end, head = tokenizer.pieces(END), "Task: any, State:"
    parts = [tokenizer.pieces(head), *rows, end]
    whole = tokenizer.pieces(head + "".join(f" {n}" for n in NUMBERS) + END)
    if whole != [token for part in parts for token in part]:
        raise ValueError(
            "The tokenizer joins numbers with what is beside them, as PaliGemma's does "
            "not: give PaliGemma's own, or a policy without the state in its prompt."
        )
    longest = max(map(len, rows))
    padded = [row + [0] * (longest - len(row)) for row in rows]
    lengths = [len(row) for row in rows]
    return NumberTable(*(np.array(x, np.int32) for x in (padded, lengths, end)))


def encode_task(
    text: str, length: int, *, tokenizer: Tokenizer, table: NumberTable, dims: int
) -> tuple[np.ndarray, np.ndarray]:
    """The instruction's part: tokens int32 [length] and mask bool [length].

    Args:
      text: the instruction.
      length: of the whole prompt.
      tokenizer: spells it.
      table: spells the state.
      dims: D of the state that follows.

    Raises:
      ValueError: `text` holds no word, or leaves too little room for the state.
    """
    task = f"Task: {clean(text)}, State:"
    ids = [tokenizer.begin, *tokenizer.pieces(task)]
    state = dims * table.tokens.shape[1] + len(table.end)
    if len(ids) + state > length:
        raise ValueError(
            f"The instruction {text!r} needs {len(ids)} tokens and the state up to "
            f"{state}, but {length=}: shorten it, or raise the policy's max_tokens."
        )
    return pad_tokens(text, ids, length)


def append_state(
    table: NumberTable, tokens: jax.Array, mask: jax.Array, state: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """The whole prompt.

    Args:
      table: spells the state.
      tokens: int32 [B, L], the instruction's part.
      mask: bool [B, L], True on its tokens, which come first.
      state: float32 [B, D], normalised.

    Returns:
      Tokens int32 [B, L] and mask bool [B, L], padded at the end.
    """
    chex.assert_rank([tokens, mask, state], 2)
    chex.assert_equal_shape_prefix([tokens, mask, state], 1)
    batch, length = tokens.shape
    row = jnp.searchsorted(EDGES, state, side="right")  # 0 is the number -1
    numbers, lengths = jnp.asarray(table.tokens)[row], jnp.asarray(table.lengths)[row]
    begin = jnp.sum(mask, axis=1, keepdims=True)
    ends = begin + jnp.cumsum(lengths, axis=1)
    starts = (ends - lengths)[..., None]
    place = jnp.arange(numbers.shape[-1])
    # Where a number is shorter than P its padding is written nowhere.
    slot = jnp.where(place < lengths[..., None], starts + place, length)
    rows = jnp.arange(batch)[:, None]
    written = tokens.at[rows, slot.reshape(batch, -1)].set(
        numbers.reshape(batch, -1), mode="drop"
    )
    last = ends[:, -1:] + jnp.arange(len(table.end))
    written = written.at[rows, last].set(jnp.asarray(table.end), mode="drop")
    return written, jnp.arange(length) < last[:, -1:] + 1
