"""Tests of data_pipelines.streaming: a known order, exact resume, bounded memory."""

import collections
import itertools

import numpy as np
import pytest

from data_pipelines import lazy_images, rlds, streaming
from data_pipelines.lazy_images import LazyImages
from data_pipelines.readers import READERS
from tests.helpers import reaching

TEXTS = list(reaching.TEXTS)
DEMONSTRATIONS = reaching.demonstrations(count=9)


def frames_of(padding="clamp", seed=0, demonstrations=DEMONSTRATIONS):
    return streaming.TrainingFrames(
        demonstrations, TEXTS, horizon=4, padding=padding, seed=seed
    )


def assert_same(batch, other):
    for leaf, expected in zip(batch, other, strict=True):
        np.testing.assert_array_equal(leaf, expected)


def test_a_frame_is_the_demonstrations():
    frames = frames_of("mask")
    seen: collections.Counter = collections.Counter()
    for position in range(len(frames)):
        frame = frames[position]
        index, step = frames.order[position]
        demonstration = DEMONSTRATIONS[index]
        np.testing.assert_array_equal(frame.images, demonstration.images[step])
        np.testing.assert_array_equal(frame.state, demonstration.state[step])
        np.testing.assert_array_equal(frame.chunk[0], demonstration.action[step])
        left = len(demonstration.action) - step
        assert frame.loss_mask.sum() == min(4, left)
        seen[TEXTS[frame.instruction]] += 1
    assert set(seen) == set(TEXTS)


def test_resized_pictures_count_as_they_are_read():
    images = DEMONSTRATIONS[0].images
    small = lazy_images.resize(lazy_images.pick(images, np.arange(5)), 4)
    assert small.shape == (5, 2, 4, 4, 3)
    assert lazy_images.source_shape(small) == images.shape
    assert lazy_images.source_shape(images) == images.shape


def test_no_frame_left_is_refused():
    short = [d._replace(action=d.action[:3]) for d in DEMONSTRATIONS]
    with pytest.raises(ValueError, match="has 4 steps, and .*'drop' leaves no frame"):
        frames_of("drop", demonstrations=short)


def test_a_missing_grain_is_one_line(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "grain", None)
    with pytest.raises(ModuleNotFoundError, match="streaming needs grain: pip install"):
        streaming.BatchStream(frames_of(), 4)


def test_batches_follow_the_order_through_epochs():
    pytest.importorskip("grain")
    frames = frames_of("mask")
    stream = streaming.BatchStream(frames, 8)
    batches = [streaming.stack_batches(stream, 2) for _ in range(6)]
    assert all(leaf.ctypes.data % streaming.ALIGNMENT == 0 for leaf in batches[0])
    assert batches[0].images.shape[:2] == batches[0].loss_mask.shape[:2] == (2, 8)
    for name in ("images", "state", "chunk", "loss_mask"):
        flat = [
            leaf for batch in batches for part in getattr(batch, name) for leaf in part
        ]
        expected = [getattr(frames[position], name) for position in range(6 * 16)]
        np.testing.assert_array_equal(flat, expected)


def test_parts_of_a_batch_join_to_the_whole():
    pytest.importorskip("grain")
    whole = streaming.BatchStream(frames_of(), 8)
    parts = [
        streaming.BatchStream(frames_of(), 8, rows=rows)
        for rows in ([0, 1, 2], [3, 4, 5, 6, 7])
    ]
    for _ in range(12):
        joined = [np.concatenate(leaves) for leaves in zip(*map(strip, parts))]
        assert_same(joined, strip(whole))


def strip(stream):
    """The leaves of the next batch."""
    return [leaf for leaf in next(stream) if leaf is not None]


def test_resuming_goes_on_with_the_next_batch():
    pytest.importorskip("grain")
    whole = list(itertools.islice(streaming.BatchStream(frames_of(), 8), 12))
    first = streaming.BatchStream(frames_of(), 8)
    for _ in range(5):
        next(first)
    assert first.get_state() == 5
    resumed = streaming.BatchStream(frames_of(), 8, position=first.get_state())
    for batch in whole[5:]:
        assert_same(next(resumed), batch)
    first.set_state(2)
    assert_same(next(first), whole[2])


def test_files_give_the_batches_of_memory(tmp_path):
    pytest.importorskip("grain")
    rlds.write(tmp_path, DEMONSTRATIONS, name="reaching")
    files = list(READERS["rlds"](tmp_path))
    assert all(isinstance(d.images, LazyImages) for d in files)
    streams = [
        streaming.BatchStream(frames_of("mask", demonstrations=source), 8)
        for source in (files, DEMONSTRATIONS)
    ]
    for _ in range(12):
        assert_same(*map(next, streams))


def test_a_damaged_picture_ends_in_its_readers_line():
    pytest.importorskip("grain")

    def decode(step):
        raise ValueError("a.parquet, row 3 is no whole picture: get the file again.")

    shape = DEMONSTRATIONS[0].images.shape
    broken = [d._replace(images=LazyImages(decode, shape)) for d in DEMONSTRATIONS]
    stream = streaming.BatchStream(frames_of(demonstrations=broken), 8)
    with pytest.raises(ValueError, match="^a.parquet, row 3 is no whole picture"):
        next(stream)
