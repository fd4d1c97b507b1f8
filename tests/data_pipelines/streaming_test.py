"""Tests of data_pipelines.streaming: a known order, exact resume, bounded memory."""

import collections
import itertools

import numpy as np
import pytest

from data_pipelines import streaming
from data_pipelines.lazy_images import LazyImages
from tests.helpers import reaching

TEXTS = list(reaching.TEXTS)
DEMONSTRATIONS = reaching.demonstrations(count=9)


def frames_of(padding="clamp", seed=0, demonstrations=DEMONSTRATIONS):
    return streaming.ShuffledFrames(
        demonstrations, TEXTS, horizon=4, padding=padding, seed=seed
    )


def assert_same(batch, other):
    for leaf, expected in zip(batch, other, strict=True):
        np.testing.assert_array_equal(leaf, expected)


def test_every_epoch_shows_every_frame_once():
    frames = frames_of()
    total = sum(len(d.action) for d in DEMONSTRATIONS)
    assert len(frames) == total
    orders = [frames._order(epoch).tolist() for epoch in range(2)]
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(total))
    assert orders[0] != orders[1] != frames_of(seed=1)._order(1).tolist()


def test_a_frame_is_the_demonstrations():
    frames = frames_of("mask")
    seen: collections.Counter = collections.Counter()
    for position in range(len(frames)):
        frame = frames[position]
        index, step = divmod(int(frames._order(0)[position]), len(frames) // 9)
        demonstration = DEMONSTRATIONS[index]
        np.testing.assert_array_equal(frame.images, demonstration.images[step])
        np.testing.assert_array_equal(frame.state, demonstration.state[step])
        np.testing.assert_array_equal(frame.chunk[0], demonstration.action[step])
        left = len(demonstration.action) - step
        assert frame.loss_mask.sum() == min(4, left)
        seen[TEXTS[frame.instruction]] += 1
    assert set(seen) == set(TEXTS)


def test_pictures_in_use_are_those_of_a_window(monkeypatch):
    monkeypatch.setattr(streaming, "WINDOW", 3)
    used: list[int] = []

    def recorded(index, images):
        def decode(step):
            used.append(index)
            return images[step]

        return LazyImages(decode, images.shape)

    lazy = [
        d._replace(images=recorded(i, d.images)) for i, d in enumerate(DEMONSTRATIONS)
    ]
    frames = frames_of(demonstrations=lazy)
    for position in range(len(frames)):
        frames[position]
    windows = [set(used[start : start + 15]) for start in range(0, 45, 15)]
    assert [len(window) for window in windows] == [3, 3, 3]
    assert set.union(*windows) == set(range(9))


def test_no_frame_left_is_refused():
    short = [d._replace(action=d.action[:3]) for d in DEMONSTRATIONS]
    with pytest.raises(ValueError, match="has 4 steps, and .*'drop' leaves no frame"):
        frames_of("drop", demonstrations=short)


def test_a_missing_grain_is_one_line(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "grain", None)
    with pytest.raises(ModuleNotFoundError, match="streaming needs grain: pip install"):
        streaming.BatchStream(frames_of(), (4,))


def test_batches_follow_the_order_through_epochs():
    pytest.importorskip("grain")
    frames = frames_of()
    batches = list(itertools.islice(streaming.BatchStream(frames, (2, 8)), 6))
    assert batches[0].images.shape[:2] == batches[0].chunk.shape[:2] == (2, 8)
    flat = [leaf for batch in batches for leaf in batch.state.reshape(-1, 8)]
    expected = [frames[position].state for position in range(6 * 16)]
    np.testing.assert_array_equal(flat, expected)


def test_resuming_goes_on_with_the_next_batch():
    pytest.importorskip("grain")
    whole = list(itertools.islice(streaming.BatchStream(frames_of(), (8,)), 12))
    first = streaming.BatchStream(frames_of(), (8,))
    for _ in range(5):
        next(first)
    assert first.get_state() == 5
    resumed = streaming.BatchStream(frames_of(), (8,), position=first.get_state())
    for batch in whole[5:]:
        assert_same(next(resumed), batch)
    first.set_state(2)
    assert_same(next(first), whole[2])
