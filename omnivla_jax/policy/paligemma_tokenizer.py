"""Instructions to PaliGemma's tokens: by its SentencePiece model, or byte by byte.

As pi0 tells them: begin mark, the text in one line, a line break. The model file comes
with PaliGemma (`paligemma_tokenizer.model`) and is never downloaded. Without it every
byte is one of the byte tokens that the same vocabulary holds, so that any text has a
spelling that the word table knows, if one several times longer.
"""

import functools
from pathlib import Path
from typing import Callable, TypeAlias

import numpy as np
import sentencepiece

from omnivla_jax.policy.tokenizer import padded

# (text, length) -> tokens int32 [length] and mask bool [length], padded at the end.
Encode: TypeAlias = Callable[[str, int], tuple[np.ndarray, np.ndarray]]

VOCAB = 257_152  # with PaliGemma's tokens for places and segments
BEGIN, FIRST_BYTE = 2, 217  # ids of Gemma's <bos> and <0x00>


def encoder(model: Path | None) -> Encode:
    """The encoder of a SentencePiece model file; None spells in bytes.

    Raises ValueError if the file is none, and, as does `tokenizer.encode`, on texts
    that are empty or do not fit.
    """
    if model is None:
        return functools.partial(_encode, _bytes)
    pieces = sentencepiece.SentencePieceProcessor()
    try:
        pieces.Load(str(model))
    except (OSError, RuntimeError) as error:
        raise ValueError(
            f"{model} is no SentencePiece model: give the path of PaliGemma's "
            "tokenizer, or none to spell in bytes."
        ) from error

    def spell(text: str) -> list[int]:
        # pi0 encodes the line break by itself, so that it cannot join the last word.
        return [pieces.bos_id(), *pieces.Encode(text), *pieces.Encode("\n")]

    return functools.partial(_encode, spell)


def _bytes(text: str) -> list[int]:
    return [BEGIN, *(FIRST_BYTE + byte for byte in f"{text}\n".encode())]


def _encode(
    spell: Callable[[str], list[int]], text: str, length: int
) -> tuple[np.ndarray, np.ndarray]:
    clean = text.strip().replace("_", " ").replace("\n", " ")
    if not clean.strip():
        raise ValueError(f"The instruction {text!r} holds no word to encode.")
    return padded(text, spell(clean), length)
