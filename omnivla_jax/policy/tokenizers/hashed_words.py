"""Instructions to tokens without a download: one token a word, by a fixed hash.

Short sequences matter on a CPU: a LIBERO instruction has at most 15 words, where bytes
would make 80 tokens. Ids: 0 padding, 1 begin of text, 2 to VOCAB - 1 words. Any word
has an id, so that reworded instructions work too; two words may share one. Among the
words of LIBERO's own instructions none do: SALT was searched for that.
"""

import hashlib
import re
from typing import Callable, NamedTuple, TypeAlias

import numpy as np

VOCAB = 512
PADDING, BEGIN, FIRST_WORD = 0, 1, 2
SALT = b"71"

# (text, length) -> tokens int32 [length] and mask bool [length], padded at the end.
Encode: TypeAlias = Callable[[str, int], tuple[np.ndarray, np.ndarray]]


class Tokenizer(NamedTuple):
    """An encoder of instructions, and what it is made of."""

    encode: Encode
    vocab: int  # rows of a word table that its ids need
    pieces: Callable[[str], list[int]]  # ids of any text, without marks around it
    begin: int  # id of the mark before a text


def word_id(word: str) -> int:
    """The id of one lower-case word, in [FIRST_WORD, VOCAB)."""
    digest = hashlib.blake2b(word.encode(), digest_size=8, salt=SALT).digest()
    return FIRST_WORD + int.from_bytes(digest, "big") % (VOCAB - FIRST_WORD)


def pieces(text: str) -> list[int]:
    """The ids of lower-case words and numbers; underscores separate words."""
    return [word_id(word) for word in re.findall(r"[^\W_]+", text.lower())]


def encode(text: str, length: int) -> tuple[np.ndarray, np.ndarray]:
    """`text` -> (tokens int32 [length], mask bool [length]), padded at the end.

    Raises ValueError if `text` holds no word, or more words than fit: a cut
    instruction could name a different task.
    """
    ids = [BEGIN, *pieces(text)]
    if len(ids) == 1:
        raise ValueError(f"The instruction {text!r} holds no word to encode.")
    return pad_tokens(text, ids, length)


def pad_tokens(text: str, ids: list[int], length: int) -> tuple[np.ndarray, np.ndarray]:
    """`ids` of `text` -> (tokens int32 [length], mask bool [length]), zeros behind.

    Raises ValueError if they do not fit: nothing is ever cut.
    """
    if len(ids) > length:
        raise ValueError(
            f"The instruction {text!r} needs {len(ids)} tokens, but {length=}: shorten "
            "it, or raise the policy's max_tokens."
        )
    padding = length - len(ids)
    tokens = np.array(ids + [PADDING] * padding, np.int32)
    return tokens, np.arange(length) < len(ids)


HASHED_WORDS = Tokenizer(encode, VOCAB, pieces, BEGIN)
