"""Tests of omnivla_jax.train.sft_data: units, words, and the last chunks."""

import dataclasses

import chex
import numpy as np
import pytest

from omnivla_jax.policy.config import preset
from omnivla_jax.train import sft_data
from tests.helpers import reaching

CONFIG = preset("debug")


def test_the_dataset_is_normalised_and_keeps_its_words():
    episodes = reaching.demonstrations()
    normalizer = sft_data.fit_normalizer(episodes)
    dataset = sft_data.make_dataset(episodes, normalizer, config=CONFIG)
    frames = sum(len(e.action) for e in episodes)
    chex.assert_shape(dataset.chunk, (frames, CONFIG.horizon, 7))
    first = dataset.chunk[:, 0]
    np.testing.assert_allclose(np.mean(first, axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(np.std(first, axis=0)[:2], 1, atol=1e-5)
    assert len(np.unique(dataset.instruction)) == dataset.tokens.shape[0] == 3


def test_a_codec_is_fitted_to_normalised_chunks():
    episodes = reaching.demonstrations()
    normalizer = sft_data.fit_normalizer(episodes)
    params = {"action": {"codec": {}, "input": 1}, "reasoning": 2}
    assert (
        sft_data.fit_codec(params, episodes, normalizer, config=CONFIG) is params
    ), "the flow head has none"
    tokens = dataclasses.replace(CONFIG, head="tokens")
    fitted = sft_data.fit_codec(params, episodes, normalizer, config=tokens)
    dataset = sft_data.make_dataset(episodes, normalizer, config=tokens)
    high = np.quantile(np.reshape(dataset.chunk, (-1, 7)), 0.99, axis=0)
    codec = fitted["action"]["codec"]
    np.testing.assert_allclose(codec["high"][:2], high[:2], rtol=1e-5)
    assert (codec["high"] > codec["low"]).all(), "the gripper never moves"
    assert fitted["action"]["input"] == 1 and params["action"]["codec"] == {}


def test_masked_actions_are_known_to_the_dataset():
    demonstrations = reaching.demonstrations()
    normalizer = sft_data.fit_normalizer(demonstrations)
    data = sft_data.make_dataset(
        demonstrations, normalizer, config=CONFIG, padding="mask"
    )
    ends = np.cumsum([len(d.action) for d in demonstrations]) - 1
    mask = np.asarray(data.loss_mask)
    assert mask.shape == data.chunk.shape[:2]
    assert mask[ends].sum(axis=1).tolist() == [1] * len(demonstrations)
    whole = sft_data.make_dataset(
        demonstrations, normalizer, config=CONFIG, padding="drop"
    )
    missing = len(demonstrations) * (CONFIG.horizon - 1)
    assert len(whole.chunk) == len(data.chunk) - missing


def test_a_rule_that_leaves_no_frame_is_refused():
    short = [d._replace(action=d.action[:1]) for d in reaching.demonstrations()]
    normalizer = sft_data.fit_normalizer(reaching.demonstrations())
    with pytest.raises(ValueError, match="padding='drop' leaves no frame"):
        sft_data.make_dataset(short, normalizer, config=CONFIG, padding="drop")
