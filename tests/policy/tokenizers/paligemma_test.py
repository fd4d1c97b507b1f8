"""Tests of PaliGemma's tokens: a tiny SentencePiece model, and spelling in bytes."""

import numpy as np
import pytest
import sentencepiece

from omnivla_jax.policy.tokenizers import paligemma
from tests.helpers.pretrained import published_folder

SENTENCES = ["put the bowl on the plate", "turn on the stove", "open the drawer"]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A model with Gemma's special ids and byte fallback, as PaliGemma's has."""
    path = tmp_path_factory.mktemp("model") / "tiny.model"
    published_folder.train_tokenizer(
        path,
        SENTENCES,
        model_type="unigram",
        vocab_size=300,
        split_digits=False,
        user_defined_symbols=[],
    )
    return path


def test_pieces_frame_the_text_as_pi0_does(model):
    tokens, mask = paligemma.load(model).encode("  turn_on the\nstove ", 32)
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(model))
    assert tokens.dtype == np.int32 and mask.dtype == bool
    assert tokens[0] == pieces.bos_id()
    assert pieces.Decode(tokens[mask].tolist()) == "turn on the stove\n"
    assert pieces.IdToPiece(int(tokens[mask][-1])) == "<0x0A>"
    assert not tokens[~mask].any() and mask.tolist() == sorted(mask, reverse=True)


def test_bytes_are_those_of_the_text():
    tokens, mask = paligemma.BYTES.encode(" open_é", 12)
    spelt = tokens[mask][1:] - paligemma.FIRST_BYTE
    assert tokens[0] == paligemma.BEGIN
    assert bytes(spelt.tolist()).decode() == "open é\n"
    assert tokens.max() < paligemma.BYTES.vocab


@pytest.mark.parametrize("with_model", [True, False])
def test_nothing_is_cut_and_nothing_is_empty(model, with_model):
    encode = (paligemma.load(model) if with_model else paligemma.BYTES).encode
    with pytest.raises(ValueError, match="needs .* tokens, but length=3: shorten"):
        encode("turn on the stove", 3)
    with pytest.raises(ValueError, match="holds no word"):
        encode(" _\n", 9)


def test_a_file_that_is_no_model(tmp_path):
    (tmp_path / "x.model").write_text("nothing of the kind")
    for name in ("x.model", "y.model"):
        with pytest.raises(ValueError, match=f"{name} is no SentencePiece model"):
            paligemma.load(tmp_path / name)
