"""Tests of data_pipelines.frame_order: every frame once an epoch, or as drawn."""

import numpy as np
import pytest

from data_pipelines import frame_order
from data_pipelines.frame_order import DrawnOrder, ShuffledOrder

COUNTS = np.array([5, 4, 6, 5, 5, 3, 7, 5, 5])  # frames of nine demonstrations
FRAMES = [(index, step) for index, count in enumerate(COUNTS) for step in range(count)]


def epoch_of(order, number, frames=len(FRAMES)):
    """Demonstration and step at every position of an epoch."""
    return [order[number * frames + offset] for offset in range(frames)]


def test_every_epoch_shows_every_frame_once(monkeypatch):
    monkeypatch.setattr(frame_order, "WINDOW", 4)  # which does not divide the nine
    order, other = (ShuffledOrder(COUNTS, np.ones(9), seed) for seed in (0, 1))
    epochs = [epoch_of(order, number) for number in range(2)]
    assert sorted(epochs[0]) == sorted(epochs[1]) == FRAMES
    assert epochs[0] != epochs[1] != epoch_of(other, 1)


def test_demonstrations_without_frames_are_passed_over(monkeypatch):
    monkeypatch.setattr(frame_order, "WINDOW", 1)
    counts = np.array([0, 2, 0, 1, 0])
    order = ShuffledOrder(counts, np.ones(5), seed=0)
    for number in range(2):
        assert sorted(epoch_of(order, number, 3)) == [(1, 0), (1, 1), (3, 0)]
    drawn = DrawnOrder(counts, np.arange(3))
    assert [drawn[position] for position in range(3)] == [(1, 0), (1, 1), (3, 0)]


def test_a_window_holds_few_demonstrations(monkeypatch):
    monkeypatch.setattr(frame_order, "WINDOW", 3)
    counts = np.full(9, 5)
    used = [index for index, _ in epoch_of(ShuffledOrder(counts, counts, 0), 0, 45)]
    windows = [set(used[start : start + 15]) for start in range(0, 45, 15)]
    assert [len(window) for window in windows] == [3, 3, 3]
    assert set.union(*windows) == set(range(9))


@pytest.mark.parametrize("size, most", [(10, 4), (100, 2)])
def test_large_pictures_make_smaller_windows(monkeypatch, size, most):
    monkeypatch.setattr(frame_order, "WINDOW", 4)
    monkeypatch.setattr(frame_order, "WINDOW_BYTES", 200)
    order = ShuffledOrder(np.full(9, 5), np.full(9, size), seed=0)
    assert len(set(epoch_of(order, 0, 45))) == 45
    assert max(map(len, order._windows(0)[0])) == most


def test_drawn_rows_count_through_all_demonstrations():
    rows = np.random.default_rng(0).integers(0, len(FRAMES), 20)
    order = DrawnOrder(COUNTS, rows)
    drawn = [order[position] for position in range(40)]
    assert drawn == 2 * [FRAMES[row] for row in rows]
