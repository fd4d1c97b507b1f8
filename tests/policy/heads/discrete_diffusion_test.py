"""Discrete diffusion: its iterations, its likelihood by hand, and what it learns."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from omnivla_jax.policy.heads import bins, discrete_diffusion
from omnivla_jax.policy.heads.discrete_diffusion import IterationSampler
from tests.helpers.small_heads import KEY, Encoded, small

CONFIG = small("discrete_diffusion")
SAMPLER = IterationSampler(temperature=0.7, iterations=3)


@pytest.fixture(scope="module")
def encoded():
    return Encoded(CONFIG, SAMPLER)


@pytest.fixture(scope="module")
def explored(encoded):
    return encoded.explore(encoded.params, KEY)


@pytest.mark.parametrize(
    "iterations, length", [(1, 6), (3, 6), (12, 56), (6, 6), (9, 4)]
)
def test_masks_fall_along_a_cosine_to_none(iterations, length):
    left = discrete_diffusion.num_masked(jnp.arange(iterations + 1), iterations, length)
    assert left[0] == length and left[-1] == 0
    assert (np.diff(left) <= 0).all()
    if length >= iterations:
        assert (np.diff(left) < 0).all()
    if iterations == 12:
        expected = np.floor(56 * np.cos(np.pi / 2 * np.arange(12) / 12))
        np.testing.assert_array_equal(left[1:10], np.minimum(expected, 55)[1:10])


def test_every_iteration_unmasks_what_the_schedule_says(explored):
    _, trace = explored
    left = discrete_diffusion.num_masked(jnp.arange(4), 3, 6)
    for iterations in np.asarray(trace.unmasked_in):
        counts = [(iterations >= number).sum() for number in range(4)]
        np.testing.assert_array_equal(counts, left)
    assert trace.tokens.max() < CONFIG.action_bins


def test_the_likelihood_is_that_of_the_iterations(encoded, explored):
    """Worked iteration by iteration, each from the tokens of the iterations before."""
    _, trace = explored
    found = encoded.score(encoded.params, trace)
    by_hand = np.zeros(trace.tokens.shape)
    for now in range(3):
        seen = jnp.where(trace.unmasked_in < now, trace.tokens, CONFIG.action_bins)
        logits = discrete_diffusion.predict(
            encoded.params, encoded.cache, encoded.proprio, seen, config=CONFIG
        )
        weights = np.exp(np.asarray(logits, np.float64) / 0.7)
        law = weights / weights.sum(-1, keepdims=True)
        for row, place in np.argwhere(np.asarray(trace.unmasked_in) == now):
            token = trace.tokens[row, place]
            by_hand[row, place] = np.log(law[row, place, token])
    np.testing.assert_allclose(found.log_prob, by_hand.sum(1), rtol=1e-4)
    np.testing.assert_allclose(found.step_log_prob.T, by_hand, atol=1e-4)
    recorded = encoded.score_recorded(trace)
    np.testing.assert_allclose(found.log_prob, recorded.log_prob, atol=1e-5)
    kl = discrete_diffusion.DISCRETE_DIFFUSION.exact_kl(found, recorded)
    np.testing.assert_allclose(kl, 0.0, atol=1e-5)
    assert encoded.score._cache_size() == 1


def test_the_gradient_is_the_difference(encoded, explored):
    slope, difference = encoded.slope_and_difference(explored[1])
    assert float(slope) == pytest.approx(float(difference), rel=2e-2, abs=1e-3)


@pytest.mark.slow
def test_training_reaches_two_modes_at_once():
    """Chunks of either sign, whole, though numbers are drawn in iterations."""
    config = small("discrete_diffusion", action_dim=3, real_action_dim=None)
    many = Encoded(config, dataclasses.replace(SAMPLER, temperature=1.0, iterations=6))
    many.cache, many.proprio = jax.tree.map(
        lambda leaf: jnp.repeat(leaf[:1], 16, 0), (many.cache, many.proprio)
    )
    sign = jnp.array([-0.8, 0.8])[jax.random.bernoulli(KEY, 0.5, (16,)).astype(int)]
    chunk = jnp.broadcast_to(sign[:, None, None], (16, 2, 3))
    trained, _ = many.trained(chunk, steps=300, rate=0.05)
    drawn = np.concatenate(
        [many.explore(trained, jax.random.key(seed))[0] for seed in range(8)]
    )
    whole = np.abs(drawn.mean((1, 2))) > 0.79
    assert whole.mean() > 0.8
    assert 0.25 < (drawn[whole, 0, 0] > 0).mean() < 0.75
    best = np.asarray(many.act(trained, KEY))
    assert np.abs(best.mean((1, 2))).min() > 0.79


def test_acting_in_one_iteration_takes_the_modes(encoded):
    one = dataclasses.replace(CONFIG, remask=0.0)
    chunk = discrete_diffusion.act(
        encoded.params, encoded.cache, encoded.proprio, KEY, config=one, steps=1
    )
    masked = jnp.full((2, 6), CONFIG.action_bins)
    logits = discrete_diffusion.predict(
        encoded.params, encoded.cache, encoded.proprio, masked, config=CONFIG
    )
    written = bins.encode(encoded.params["action"]["codec"], chunk, config=CONFIG)
    np.testing.assert_array_equal(written, jnp.argmax(logits, -1))


def test_bad_settings_are_named():
    with pytest.raises(ValueError, match="steps is 0"):
        IterationSampler(iterations=0)
    with pytest.raises(ValueError, match="remask is 2"):
        dataclasses.replace(CONFIG, remask=2.0)
