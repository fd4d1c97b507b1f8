"""Tests of the choice of a tokenizer by a policy's configuration."""

import dataclasses

import numpy as np
import pytest
import sentencepiece

from omnivla_jax.policy import config as configs
from omnivla_jax.policy.tokenizers import hashed_words
from omnivla_jax.policy.tokenizers import paligemma as paligemma_tokenizer
from omnivla_jax.policy.tokenizers import registry as tokenizers

TEXT = "turn on the stove"


def policy(name, vocab=512):
    config = configs.preset("debug")
    return dataclasses.replace(config, tokenizer=name, vocab=vocab)


def pieces(folder):
    """The path of a SentencePiece model of some thirty pieces."""
    sentencepiece.SentencePieceTrainer.Train(
        sentence_iterator=iter([TEXT] * 9),
        model_prefix=str(folder / "tiny"),
        vocab_size=30,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    return str(folder / "tiny.model")


def test_each_name_has_its_spelling(tmp_path):
    path = pieces(tmp_path)
    expected = {
        "words": hashed_words.HASHED_WORDS,
        "bytes": paligemma_tokenizer.BYTES,
        path: paligemma_tokenizer.load(path),
    }
    spelt = {
        name: tokenizers.make_tokenizer(policy(name))(TEXT, 32)[0] for name in expected
    }
    for name, chosen in expected.items():
        np.testing.assert_array_equal(spelt[name], chosen.encode(TEXT, 32)[0])
    assert len({tuple(tokens) for tokens in spelt.values()}) == 3


def test_every_preset_can_spell():
    for name in configs.PRESETS:
        config = configs.preset(name)
        tokens, _ = tokenizers.make_tokenizer(config)("go on", config.max_tokens)
        assert 0 <= tokens.min() and tokens.max() < config.vocab


def test_ids_that_the_word_table_lacks_are_refused(tmp_path):
    for name in ("words", "bytes", pieces(tmp_path)):
        with pytest.raises(ValueError, match="vocab=9 rows: raise vocab, or choose"):
            tokenizers.make_tokenizer(policy(name, vocab=9))


def test_a_path_without_a_model_is_named():
    with pytest.raises(ValueError, match="no.model is no SentencePiece model: give"):
        tokenizers.make_tokenizer(policy("no.model"))
