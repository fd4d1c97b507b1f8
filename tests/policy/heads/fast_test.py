"""The fast head: its codec against scipy and tokenizers, its likelihood by hand."""

import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.fft
import tokenizers

from omnivla_jax.policy.config import FAST_SYMBOLS
from omnivla_jax.policy.heads import fast, fast_codec
from omnivla_jax.policy.heads.token_law import TokenSampler
from tests.helpers.small_heads import KEY, Encoded, small

CONFIG = small("fast", horizon=6, fast_vocab=FAST_SYMBOLS + 60)
LENGTH = 6 * 3


def chunks(count, seed=0):
    """Smooth chunks [N, 6, 3], of which some numbers recur."""
    rng = np.random.default_rng(seed)
    slope = rng.integers(-2, 3, (count, 1, 3)) * np.linspace(0, 1, 6)[:, None]
    return (slope + rng.choice([-1.0, 1.0], (count, 1, 3))).astype(np.float32)


@pytest.fixture(scope="module")
def fitted():
    return fast_codec.fit(chunks(300), config=CONFIG)


@pytest.fixture(scope="module")
def encode(fitted):
    return jax.jit(lambda x: fast_codec.encode(fitted, x, config=CONFIG))


def padded(numbers):
    return jnp.pad(jnp.asarray(numbers), ((0, 0), (0, 0), (0, 1)))


def symbols_by_scipy(fitted, numbers):
    """The rounded coefficients [N, L], frequency by frequency."""
    low, high = np.asarray(fitted["low"]), np.asarray(fitted["high"])
    share = 2 * (numbers - low) / (high - low) - 1
    coefficients = scipy.fft.dct(share, axis=1, norm="ortho")
    return np.rint(10 * coefficients).astype(int).reshape(len(numbers), -1)


def test_tokens_are_those_of_tokenizers(fitted, encode):
    """Its own encoder, from our merges, on chunks that were not fitted."""
    numbers = chunks(64, seed=1) + np.random.default_rng(2).normal(0, 0.1, (64, 6, 3))
    numbers = numbers.astype(np.float32)
    rows = symbols_by_scipy(fitted, numbers) + fast_codec.LIMIT
    letters = [chr(fast_codec.FIRST_LETTER + s) for s in range(FAST_SYMBOLS)]
    merges = np.asarray(fitted["merges"], int)
    names = list(letters)
    for left, right in merges[merges[:, 0] >= 0]:
        names.append(names[left] + names[right])
    pairs = [(names[i], names[j]) for i, j in merges[merges[:, 0] >= 0]]
    assert len(pairs) > 20
    model = tokenizers.Tokenizer(
        tokenizers.models.BPE({n: i for i, n in enumerate(names)}, pairs)
    )
    found = np.asarray(encode(padded(numbers)))
    for row, tokens in zip(rows, found):
        expected = model.encode("".join(letters[s] for s in row)).ids
        np.testing.assert_array_equal(tokens[: len(expected)], expected)
        assert not tokens[len(expected) :].any()
    assert encode._cache_size() == 1


def test_runs_of_one_symbol_merge_from_the_left():
    letter = [chr(fast_codec.FIRST_LETTER + s) for s in range(3)]
    merges = [(letter[1], letter[1]), (letter[1] * 2, letter[1])]
    config = small("fast", horizon=5, real_action_dim=1, fast_vocab=FAST_SYMBOLS + 4)
    arrays = fast_codec._tables(merges, config) | {
        "low": -jnp.ones(1),
        "high": jnp.ones(1),
    }
    coefficients = (np.full((1, 5, 1), 1.0) - fast_codec.LIMIT) / 10
    numbers = scipy.fft.idct(coefficients, axis=1, norm="ortho")
    chunk = jnp.pad(jnp.asarray(numbers, jnp.float32), ((0, 0), (0, 0), (0, 3)))
    found = fast_codec.encode(arrays, chunk, config=config)
    # 1 1 1 1 1 -> (11) (11) 1 -> (11) (111)
    np.testing.assert_array_equal(found[0], [FAST_SYMBOLS, FAST_SYMBOLS + 1, 0, 0, 0])


def test_reading_gives_the_rounded_chunk(fitted, encode):
    numbers = chunks(64, seed=3)
    found = fast_codec.decode(fitted, encode(padded(numbers)), config=CONFIG)
    low, high = np.asarray(fitted["low"]), np.asarray(fitted["high"])
    rounded = symbols_by_scipy(fitted, numbers).reshape(64, 6, 3) / 10
    share = scipy.fft.idct(rounded, axis=1, norm="ortho")
    expected = low + (share + 1) / 2 * (high - low)
    np.testing.assert_allclose(found[..., :3], expected, atol=1e-4)
    np.testing.assert_array_equal(found[..., 3], 0.0)


@pytest.fixture(scope="module")
def encoded(fitted):
    head = Encoded(CONFIG, TokenSampler(temperature=0.8, exec_horizon=3))
    head.params["action"]["codec"] = fitted
    return head


@pytest.mark.slow
def test_chunks_end_where_they_are_complete(fitted, encoded):
    """Whatever is drawn writes all coefficients, and its likelihood is the tokens'."""
    _, trace = encoded.explore(encoded.params, KEY)
    spans = np.asarray(fast_codec.spans(fitted, config=CONFIG))
    for tokens, written in zip(np.asarray(trace.tokens), np.asarray(trace.written)):
        assert spans[tokens[written]].sum() == LENGTH
    found = encoded.score(encoded.params, trace)
    log_probs = np.asarray(found.distribution)
    chosen = np.take_along_axis(log_probs, np.asarray(trace.tokens)[..., None], -1)
    np.testing.assert_allclose(np.exp(log_probs).sum(-1), 1.0, rtol=1e-5)
    expected = (chosen[..., 0] * np.asarray(trace.written)).sum(1)
    np.testing.assert_allclose(found.log_prob, expected, rtol=1e-5)
    recorded = encoded.score_recorded(trace)
    np.testing.assert_allclose(found.log_prob, recorded.log_prob, atol=1e-5)
    np.testing.assert_allclose(fast.FAST.exact_kl(found, recorded), 0.0, atol=1e-5)
    slope, difference = encoded.slope_and_difference(trace)
    assert float(slope) == pytest.approx(float(difference), rel=2e-2, abs=1e-2)


@pytest.mark.slow
def test_training_reaches_the_chunk(encoded):
    chunk = padded(chunks(2, seed=5))
    trained, losses = encoded.trained(chunk, steps=150, rate=0.05)
    assert losses[-1] < 0.1
    found = encoded.act(trained, KEY)
    np.testing.assert_allclose(found, chunk, atol=0.3)


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(ImportError, match=r"omnivla-rl\[fast\]"):
        fast_codec.fit(chunks(8), config=CONFIG)
    with pytest.raises(ValueError, match="fast_vocab is 100"):
        small("fast", fast_vocab=100)
