"""FAST (2501.09747): a chunk's cosine transform, rounded, and written by a BPE.

    Z = round(scale * DCT(chunk along time)), all dimensions of a frequency in a row,
    and byte-pair encoding of Z, each integer a symbol

Fitting runs on the host, by `tokenizers`; writing and reading are JAX, and merge the
same pairs in the same order. Chunks are first mapped so that their 1 % and 99 %
quantiles are -1 and 1.

Axes: N chunks, B batch, H chunk length, D action dimensions, R of the robot, L = H R
coefficients of a chunk, A symbols, M merges, V = A + M tokens: symbols, then merges.
"""

import json

import chex
import jax
import jax.numpy as jnp
import numpy as np
import scipy.fft

from omnivla_jax.core.types import ActionChunk
from omnivla_jax.policy import normalize
from omnivla_jax.policy.config import FAST_SYMBOLS, PolicyConfig
from omnivla_jax.policy.heads import bins
from omnivla_jax.policy.heads.chunk_codec import ChunkCodec, numbers_before

LIMIT = FAST_SYMBOLS // 2  # symbols stand for the integers from -LIMIT to LIMIT
FIRST_LETTER = 0x4E00  # symbols as letters: a run of code points without spaces
# "low" and "high" float32 [R]; "merges" float32 [M, 2], the tokens that each joins;
# "texts" float32 [V, L], the symbols that a token writes. -1 where there is nothing.
Arrays = dict[str, jax.Array]


def fresh(config: PolicyConfig) -> Arrays:
    """No merges, and quantiles at -1 and 1."""
    return bins.fresh(config) | _tables([], config)


def fit(chunks: np.ndarray, *, config: PolicyConfig) -> Arrays:
    """The quantiles and the merges of normalised chunks float32 [N, H, R].

    Raises:
      ImportError: `tokenizers` is not installed.
    """
    try:
        import tokenizers
    except ImportError as error:
        raise ImportError(
            "Fitting the fast head needs tokenizers: pip install 'omnivla-rl[fast]'."
        ) from error
    quantiles = bins.fit(chunks, config=config)
    symbols = np.asarray(_symbols(quantiles, jnp.asarray(chunks), config))
    letters = [chr(FIRST_LETTER + symbol) for symbol in range(FAST_SYMBOLS)]
    lines = ["".join(letters[symbol] for symbol in row) for row in symbols]
    model = tokenizers.Tokenizer(tokenizers.models.BPE())
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=config.fast_vocab,
        min_frequency=2,
        initial_alphabet=letters,
        special_tokens=[],
        show_progress=False,
    )
    model.train_from_iterator(lines, trainer)
    merges = json.loads(model.to_str())["model"]["merges"]
    return quantiles | _tables([(left, right) for left, right in merges], config)


def _tables(merges: list[tuple[str, str]], config: PolicyConfig) -> Arrays:
    """The arrays of merges of letters, in their order."""
    length = config.horizon * config.robot_action_dim
    number = {chr(FIRST_LETTER + symbol): symbol for symbol in range(FAST_SYMBOLS)}
    pairs = np.full((config.fast_vocab - FAST_SYMBOLS, 2), -1.0, np.float32)
    texts = np.full((config.fast_vocab, length), -1.0, np.float32)
    texts[:FAST_SYMBOLS, 0] = np.arange(FAST_SYMBOLS)
    for row, (left, right) in enumerate(merges):
        pairs[row] = number[left], number[right]
        token = FAST_SYMBOLS + row
        number[left + right] = token
        written = [ord(letter) - FIRST_LETTER for letter in left + right]
        texts[token, : len(written)] = written
    return {"merges": jnp.asarray(pairs), "texts": jnp.asarray(texts)}


def encode(arrays: Arrays, chunk: ActionChunk, *, config: PolicyConfig) -> jax.Array:
    """Tokens int32 [B, L] of chunks [B, H, D], 0 behind the end."""
    chex.assert_shape(chunk, (None, config.horizon, config.action_dim))
    symbols = _symbols(
        arrays, normalize.unpad_dims(chunk, config.robot_action_dim), config
    )
    merges = jnp.round(jax.lax.stop_gradient(arrays["merges"])).astype(jnp.int32)
    codes = merges[:, 0] * config.fast_vocab + merges[:, 1]  # < 0: no merge
    order = jnp.argsort(codes)
    never = len(codes)

    def ranks(tokens: jax.Array) -> jax.Array:
        """The rank of the merge of each token with the next, int32 [B, L - 1]."""
        left, right = tokens[:, :-1], tokens[:, 1:]
        pairs = left * config.fast_vocab + right
        rank = order[jnp.searchsorted(codes[order], pairs).clip(0, never - 1)]
        known = (codes[rank] == pairs) & (left >= 0) & (right >= 0)
        return jnp.where(known, rank, never)

    def merge(tokens: jax.Array) -> jax.Array:
        rank = ranks(tokens)
        first = jnp.min(rank, axis=1, keepdims=True)
        joined = _every_other((rank == first) & (first < never))
        none = jnp.zeros_like(joined[:, :1])
        starts = jnp.concatenate([joined, none], axis=1)
        gone = jnp.concatenate([none, joined], axis=1)
        tokens = jnp.where(starts, FAST_SYMBOLS + first, tokens)
        tokens = jnp.where(gone, -1, tokens)
        # Those that are left move up, in their order.
        places = jnp.argsort(tokens < 0, axis=1, stable=True)
        return jnp.take_along_axis(tokens, places, axis=1)

    tokens = jax.lax.while_loop(
        lambda tokens: jnp.any(ranks(tokens) < never), merge, symbols
    )
    return jnp.maximum(tokens, 0)


def decode(arrays: Arrays, tokens: jax.Array, *, config: PolicyConfig) -> ActionChunk:
    """Chunks float32 [B, H, D] of tokens int32 [B, L]; padding is 0."""
    shape = (len(tokens), config.horizon, config.robot_action_dim)
    length = shape[1] * shape[2]
    chex.assert_shape(tokens, (shape[0], length))
    before = numbers_before(tokens, spans(arrays, config=config))
    place = jnp.arange(length)
    # The token that writes each coefficient is the last that begins up to there.
    writer = jnp.sum(before[:, None] <= place[:, None], axis=-1) - 1
    begin = jnp.take_along_axis(before, writer, axis=1)
    texts = arrays["texts"][jnp.take_along_axis(tokens, writer, axis=1)]
    symbols = jnp.take_along_axis(texts, (place - begin)[..., None], axis=-1)[..., 0]
    coefficients = (symbols.reshape(shape) - LIMIT) / config.fast_scale
    share = jnp.einsum("FH,BFR->BHR", _cosines(config), coefficients)
    low, high = arrays["low"], arrays["high"]
    actions = low + (share + 1.0) / 2.0 * (high - low)
    return normalize.pad_dims(actions, config.action_dim)


def spans(arrays: Arrays, *, config: PolicyConfig) -> jax.Array:
    """How many coefficients each token writes, int32 [V]; more than L: none.

    A token that no merge made cannot be drawn: it never fits.
    """
    written = jnp.sum(arrays["texts"] >= 0.0, axis=1, dtype=jnp.int32)
    length = config.horizon * config.robot_action_dim
    return jnp.where(written > 0, written, length + 1)


def share(is_counted: jax.Array) -> jax.Array:
    """Every token tells of all actions: the share of those that count, [B, L]."""
    batch, horizon, dims = is_counted.shape
    whole = jnp.mean(is_counted.astype(jnp.float32), axis=(1, 2))
    return jnp.broadcast_to(whole[:, None], (batch, horizon * dims))


def _symbols(arrays: Arrays, chunk: jax.Array, config: PolicyConfig) -> jax.Array:
    """The rounded coefficients of chunks [B, H, R] as symbols, int32 [B, L]."""
    low, high = arrays["low"], arrays["high"]
    share = 2.0 * (chunk - low) / (high - low) - 1.0
    coefficients = jnp.einsum("FH,BHR->BFR", _cosines(config), share)
    rounded = jnp.round(coefficients * config.fast_scale).astype(jnp.int32)
    return (jnp.clip(rounded, -LIMIT, LIMIT) + LIMIT).reshape(len(chunk), -1)


def _cosines(config: PolicyConfig) -> jax.Array:
    """The orthonormal DCT-II along time, float32 [H, H]."""
    table = scipy.fft.dct(np.eye(config.horizon), norm="ortho", axis=0)
    return jnp.asarray(table, jnp.float32)


def _every_other(hits: jax.Array) -> jax.Array:
    """Hits [B, L] of which no two are neighbours: of a run the 1st, 3rd, 5th ..."""
    place = jnp.arange(hits.shape[1])
    last_miss = jax.lax.cummax(jnp.where(hits, -1, place), axis=1)
    return hits & ((place - last_miss) % 2 == 1)


FAST_CODEC = ChunkCodec(
    vocab=lambda config: config.fast_vocab,
    fresh=fresh,
    fit=fit,
    encode=encode,
    decode=decode,
    spans=spans,
    share=share,
)
