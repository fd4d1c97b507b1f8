"""Instructions to PaliGemma's tokens: by its SentencePiece model, or byte by byte.

As pi0 does: begin mark, the text in one line, a line break. The model file comes
with PaliGemma (`paligemma_tokenizer.model`) and is never downloaded. Without it every
byte is one of the byte tokens that the same vocabulary holds, so that any text has a
spelling that the word table knows, if one several times longer.
"""

import functools
from pathlib import Path
from typing import Callable

import numpy as np
import sentencepiece

from omnivla_jax.policy.tokenizers.hashed_words import Tokenizer, pad_tokens

BEGIN, FIRST_BYTE = 2, 217  # ids of Gemma's <bos> and <0x00>


def load(model: Path) -> Tokenizer:
    """The tokenizer of a SentencePiece model file; ValueError if it is none.

    Its encoder raises ValueError, as does that of `tokenizer`, on texts that are empty
    or do not fit.
    """
    pieces = sentencepiece.SentencePieceProcessor()
    try:
        pieces.Load(str(model))
    except (OSError, RuntimeError) as error:
        raise ValueError(
            f"{model} is no SentencePiece model: give the path of PaliGemma's "
            "tokenizer, or 'bytes' to spell in bytes."
        ) from error
    encode = functools.partial(
        _encode,
        # pi0 encodes the line break by itself, so that it cannot join the last word.
        lambda text: [pieces.bos_id(), *pieces.Encode(text), *pieces.Encode("\n")],
    )
    return Tokenizer(encode, pieces.vocab_size(), pieces.Encode, pieces.bos_id())


def _encode(
    tokenize: Callable[[str], list[int]], text: str, length: int
) -> tuple[np.ndarray, np.ndarray]:
    return pad_tokens(text, tokenize(clean(text)), length)


def clean(text: str) -> str:
    """An instruction in one line, as openpi's; ValueError where it holds no word."""
    line = text.strip().replace("_", " ").replace("\n", " ")
    if not line.strip():
        raise ValueError(f"The instruction {text!r} holds no word to encode.")
    return line


def byte_pieces(text: str) -> list[int]:
    """The ids of a text's bytes."""
    return [FIRST_BYTE + byte for byte in text.encode()]


BYTES = Tokenizer(
    functools.partial(_encode, lambda text: [BEGIN, *byte_pieces(f"{text}\n")]),
    FIRST_BYTE + 256,
    byte_pieces,
    BEGIN,
)
