"""Tests of the word tokenizer: fixed ids, no clashes where it matters, clear errors."""

import numpy as np
import pytest

from omnivla_jax.policy.tokenizers import hashed_words

LIBERO_WORDS = """pick up the black bowl between plate and ramekin place it on next to
    from table center cookie box in top drawer of wooden cabinet stove alphabet soup
    basket cream cheese salad dressing bbq sauce ketchup tomato butter milk chocolate
    pudding orange juice open middle put inside wine bottle rack push front turn both
    moka pots pot close bottom back book compartment caddy white yellow mug microwave
    left right two with frying pan shelf red under stack""".split()


def test_known_ids():
    # Fixed for ever: a saved policy depends on them.
    tokens, mask = hashed_words.encode("Turn on the stove", 6)
    assert tokens[0] == hashed_words.BEGIN and tokens[5] == hashed_words.PADDING
    assert mask.tolist() == [True] * 5 + [False]
    assert tokens[1:5].tolist() == [hashed_words.word_id(w) for w in _words()]
    assert tokens.dtype == np.int32 and mask.dtype == bool


def _words() -> list[str]:
    return ["turn", "on", "the", "stove"]


def test_spelling_of_file_names_and_sentences_agree():
    first, _ = hashed_words.encode("turn_on_the_stove", 8)
    second, _ = hashed_words.encode(" Turn on, the  STOVE!", 8)
    np.testing.assert_array_equal(first, second)


def test_libero_words_do_not_clash():
    ids = {hashed_words.word_id(word) for word in LIBERO_WORDS}
    assert len(ids) == len(set(LIBERO_WORDS))
    assert hashed_words.FIRST_WORD <= min(ids) and max(ids) < hashed_words.VOCAB


def test_longest_libero_goal_instruction_fits_the_presets():
    hashed_words.encode("open the top drawer and put the bowl inside", 16)


def test_errors():
    with pytest.raises(ValueError, match="needs 5 tokens, but length=4: shorten"):
        hashed_words.encode("turn on the stove", 4)
    with pytest.raises(ValueError, match="holds no word"):
        hashed_words.encode(" !_", 4)
