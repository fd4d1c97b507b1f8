"""The tokens head: its law worked by hand, its decoding, and what training reaches."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats

from omnivla_jax.policy import policy
from omnivla_jax.policy.heads import bins, chunk_codec, tokens
from omnivla_jax.policy.heads.token_law import TokenSampler
from tests.helpers.small_heads import KEY, Encoded, small

CONFIG = small("tokens")
SAMPLER = TokenSampler(temperature=0.7, exec_horizon=1)


@pytest.fixture(scope="module")
def encoded():
    return Encoded(CONFIG, SAMPLER)


@pytest.fixture(scope="module")
def explored(encoded):
    return encoded.explore(encoded.params, KEY)


def test_a_law_asks_for_tokens_before_it_alone(encoded, explored):
    _, trace = explored
    changed = trace.tokens.at[:, 3].set((trace.tokens[:, 3] + 1) % CONFIG.action_bins)
    laws = encoded.score(encoded.params, trace).distribution
    others = encoded.score(encoded.params, trace._replace(tokens=changed)).distribution
    np.testing.assert_allclose(laws[:, :4], others[:, :4], atol=1e-6)
    assert np.abs(laws[:, 4:] - others[:, 4:]).max() > 1e-3


def test_the_likeliest_chunk_is_drawn_token_by_token(encoded):
    """Each token of `act` is the mode of its law, which sees all tokens at once."""
    chunk = encoded.act(encoded.params, KEY)
    written = bins.encode(encoded.params["action"]["codec"], chunk, config=CONFIG)
    _, trace = encoded.explore(encoded.params, KEY)
    laws = encoded.score(encoded.params, trace._replace(tokens=written)).distribution
    np.testing.assert_array_equal(written, np.argmax(laws, axis=-1))
    assert encoded.act._cache_size() == encoded.score._cache_size() == 1
    np.testing.assert_array_equal(chunk[..., 3], 0.0)  # the dimension of padding


def test_the_likelihood_is_a_product_of_softmaxes(encoded, explored):
    """Only the executed action's three numbers count; temperature divides logits."""
    chunk, trace = explored
    warm = trace._replace(temperature=jnp.ones(2))
    log_laws = np.asarray(encoded.score(encoded.params, warm).distribution, np.float64)
    law = scipy.special.softmax(log_laws / 0.7, axis=-1)
    rows = np.take_along_axis(law, np.asarray(trace.tokens)[..., None], -1)[..., 0]
    found = encoded.score(encoded.params, trace)
    np.testing.assert_allclose(found.log_prob, np.log(rows[:, :3]).sum(1), rtol=1e-4)
    np.testing.assert_array_equal(found.has_density[:, 0], [True] * 3 + [False] * 3)
    recorded = encoded.score_recorded(trace)
    np.testing.assert_allclose(found.log_prob, recorded.log_prob, atol=1e-5)
    np.testing.assert_allclose(tokens.TOKENS.exact_kl(found, recorded), 0, atol=1e-5)
    other = encoded.score_recorded(warm._replace(log_probs=jnp.asarray(log_laws)))
    kl = scipy.stats.entropy(law, np.exp(log_laws), axis=-1).T
    kl[3:] = 0.0
    np.testing.assert_allclose(
        tokens.TOKENS.exact_kl(found, other), kl, rtol=1e-3, atol=1e-6
    )
    code = bins.encode(encoded.params["action"]["codec"], chunk, config=CONFIG)
    np.testing.assert_array_equal(code, trace.tokens)


@pytest.mark.slow
def test_the_gradient_is_the_difference(encoded, explored):
    slope, difference = encoded.slope_and_difference(explored[1])
    assert float(slope) == pytest.approx(float(difference), rel=2e-2, abs=1e-3)


@pytest.mark.slow
def test_training_reaches_two_modes_at_once(encoded):
    """Chunks of either sign, whole: a mean between them is never drawn."""
    sign = jnp.array([-0.8, 0.8])[jax.random.bernoulli(KEY, 0.5, (16,)).astype(int)]
    wide = dataclasses.replace(CONFIG, action_dim=3, real_action_dim=None)
    many = Encoded(wide, TokenSampler())
    many.cache, many.proprio = jax.tree.map(
        lambda leaf: jnp.repeat(leaf[:1], 16, 0), (many.cache, many.proprio)
    )
    chunk = jnp.broadcast_to(sign[:, None, None], (16, 2, 3))
    trained, losses = many.trained(chunk, steps=200, rate=0.05)
    best = scipy.stats.entropy([np.mean(sign > 0), np.mean(sign < 0)]) / 6
    assert losses[-1] < best + 0.15
    drawn = np.concatenate(
        [many.explore(trained, jax.random.key(seed))[0] for seed in range(8)]
    )
    whole = np.abs(drawn.mean((1, 2))) > 0.79
    assert whole.mean() > 0.8
    assert 0.25 < (drawn[whole, 0, 0] > 0).mean() < 0.75


def test_bins_fit_quantiles_and_keep_what_they_can():
    rng = np.random.default_rng(0)
    chunks = rng.normal(size=(500, 2, 3)).astype(np.float32) * [1.0, 5.0, 0.0]
    config = small("tokens", action_bins=256)
    codec = bins.fit(chunks.astype(np.float32), config=config)
    np.testing.assert_allclose(
        codec["high"][1], 5 * scipy.stats.norm.ppf(0.99), rtol=0.1
    )
    padded = jnp.pad(jnp.asarray(chunks, jnp.float32), ((0, 0), (0, 0), (0, 1)))
    written = bins.encode(codec, padded, config=config)
    assert written.min() == 0 and written.max() == 255
    error = np.abs(bins.decode(codec, written, config=config) - padded)
    width = float(codec["high"][1] - codec["low"][1]) / 256
    assert (error[..., 1][np.abs(chunks[..., 1]) < 10] <= width / 2 + 1e-5).all()


def test_bad_settings_are_named():
    with pytest.raises(ValueError, match="scale is 0"):
        TokenSampler(temperature=0.0)
    with pytest.raises(ValueError, match="action_bins is 1"):
        dataclasses.replace(CONFIG, action_bins=1)
    adaptive = dataclasses.replace(CONFIG, time_conditioning="adaptive")
    with pytest.raises(ValueError, match="tokens head has no flow time"):
        jax.eval_shape(lambda key: policy.init(key, adaptive), KEY)


def test_spans_end_a_chunk_where_it_is_complete():
    spans = jnp.array([1, 2, 4])
    written = jnp.array([[2, 0, 0, 0], [1, 0, 0, 2], [0, 0, 0, 0]])
    np.testing.assert_array_equal(
        chunk_codec.is_written(written, spans),
        [[1, 0, 0, 0], [1, 1, 1, 0], [1, 1, 1, 1]],
    )
