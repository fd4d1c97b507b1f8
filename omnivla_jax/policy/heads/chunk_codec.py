"""The seam of codecs: how a head of tokens writes chunks as tokens, and reads them.

Axes: N chunks, B batch, H chunk length, D action dimensions, R of the robot (the others
are padding), L = H R numbers of a chunk, and so its most tokens, V tokens known.
"""

from typing import Callable, NamedTuple

import jax

from omnivla_jax.core.types import ActionChunk, PyTree
from omnivla_jax.policy.config import PolicyConfig


class ChunkCodec(NamedTuple):
    """One way to write chunks, as pure functions of arrays that are kept with params.

    `arrays` is a tree of float32 arrays, params["action"]["codec"].
    """

    # (config) -> V
    vocab: Callable[[PolicyConfig], int]
    # (config) -> arrays that work on actions normalised to [-1, 1]
    fresh: Callable[[PolicyConfig], PyTree]
    # (normalised chunks float32 [N, H, R], *, config) -> arrays
    fit: Callable[..., PyTree]
    # (arrays, chunk [B, H, D], *, config) -> tokens int32 [B, L], 0 behind the end
    encode: Callable[..., jax.Array]
    # (arrays, tokens int32 [B, L], *, config) -> chunk float32 [B, H, D]
    decode: Callable[..., ActionChunk]
    # (arrays, *, config) -> int32 [V], how many of the L numbers each token writes
    spans: Callable[..., jax.Array]
    # (bool [B, H, R], the numbers that count) -> float32 [B, L] in [0, 1]: how much
    # each token counts, if it is written
    share: Callable[[jax.Array], jax.Array]


def numbers_before(tokens: jax.Array, spans: jax.Array) -> jax.Array:
    """How many numbers are written before each token, int32 [B, L]."""
    written = spans[tokens]
    return written.cumsum(axis=1) - written


def is_written(tokens: jax.Array, spans: jax.Array) -> jax.Array:
    """Tokens int32 [B, L] of a chunk, bool: not behind its end."""
    return numbers_before(tokens, spans) < tokens.shape[1]
