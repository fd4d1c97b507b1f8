"""The tokenizer that a policy's configuration names.

words    one token a word, by a hash: for policies trained from scratch
bytes    PaliGemma's byte tokens: for public weights where its model is not at hand
PATH     PaliGemma's SentencePiece model: what public weights were trained with
"""

import functools
from pathlib import Path
from typing import Mapping

from omnivla_jax.policy.config import PolicyConfig
from omnivla_jax.policy.tokenizers import hashed_words
from omnivla_jax.policy.tokenizers import paligemma as paligemma_tokenizer
from omnivla_jax.policy.tokenizers import state_prompt
from omnivla_jax.policy.tokenizers.hashed_words import Encode, Tokenizer

BUILT_IN: Mapping[str, Tokenizer] = {
    "words": hashed_words.HASHED_WORDS,
    "bytes": paligemma_tokenizer.BYTES,
}


def make_tokenizer(config: PolicyConfig) -> Encode:
    """How `config` spells an instruction, the state behind it left out.

    Raises ValueError if its tokenizer is neither built in nor a SentencePiece model, or
    has more tokens than the policy's word table has rows.
    """
    chosen = _load(config)
    if not config.state_in_prompt:
        return chosen.encode
    return functools.partial(
        state_prompt.encode_task,
        tokenizer=chosen,
        table=state_prompt.make_table(chosen),
        dims=config.robot_proprio_dim,
    )


def number_table(config: PolicyConfig) -> state_prompt.NumberTable:
    """How `config` spells the state; raises ValueError as `make_tokenizer`."""
    return state_prompt.make_table(_load(config))


def _load(config: PolicyConfig) -> Tokenizer:
    name = config.tokenizer
    chosen = BUILT_IN.get(name) or paligemma_tokenizer.load(Path(name))
    if chosen.vocab > config.vocab:
        raise ValueError(
            f"The tokenizer {name!r} has {chosen.vocab} tokens, but the policy's word "
            f"table has vocab={config.vocab} rows: raise vocab, or choose another."
        )
    return chosen
