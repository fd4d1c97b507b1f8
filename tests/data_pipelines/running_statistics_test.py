"""Running statistics against NumPy's, in any order and at any scale."""

import numpy as np
import pytest

from data_pipelines.running_statistics import BINS, RunningStatistics

RNG = np.random.default_rng(0)
VALUES = RNG.normal([0, 5, -300], [1, 1e-3, 80], (4000, 3))


def statistics(parts):
    running = RunningStatistics(parts[0].shape[1])
    for part in parts:
        running.update(part)
    return running.result()


def test_statistics_are_numpys():
    found = statistics(np.array_split(VALUES, 7))
    np.testing.assert_allclose(found["mean"], VALUES.mean(axis=0), rtol=1e-9)
    np.testing.assert_allclose(found["std"], VALUES.std(axis=0), rtol=1e-9)
    bins = 2 * np.ptp(VALUES, axis=0) / BINS
    gaps = np.abs(np.diff(np.sort(VALUES, axis=0), axis=0))[[38, 39, 40, -41, -40, -39]]
    for name, share in (("q01", 0.01), ("q99", 0.99)):
        expected = np.quantile(VALUES, share, axis=0)
        assert (np.abs(found[name] - expected) <= bins + gaps.max(axis=0)).all()


def test_order_and_parts_do_not_matter():
    first = statistics(np.array_split(VALUES, 7))
    other = statistics(np.array_split(RNG.permutation(VALUES), 200))
    for name in ("q01", "q99"):
        np.testing.assert_array_equal(first[name], other[name])


@pytest.mark.parametrize("value", [0.0, -1.0, 0.1, 3e15])
def test_a_constant_dimension_has_that_quantile(value):
    found = statistics([np.full((5, 1), value)])
    assert found["q01"] == found["q99"] == found["mean"] == value and found["std"] == 0


def test_an_outlier_widens_the_bins_without_losing_counts():
    values = np.concatenate([np.linspace(0, 1, 1001), [1e6]])[:, None]
    found = statistics([values[:1001], values[1001:]])
    np.testing.assert_allclose(found["q01"], 0.01, atol=2e6 / BINS)
    whole = statistics([values])
    np.testing.assert_array_equal(found["q99"], whole["q99"])


def test_memory_does_not_grow_with_the_values():
    running = RunningStatistics(3)
    before = sum(np.asarray(value).nbytes for value in vars(running).values())
    for _ in range(5):
        running.update(RNG.normal(size=(100, 3)))
    after = sum(np.asarray(value).nbytes for value in vars(running).values())
    assert after == before


def test_unusable_values_are_one_line():
    running = RunningStatistics(2)
    with pytest.raises(ValueError, match="no numbers"):
        running.result()
    with pytest.raises(ValueError, match=r"shape \(3, 1\) where they had 2"):
        running.update(np.zeros((3, 1)))
    with pytest.raises(ValueError, match="not finite"):
        running.update(np.array([[0, np.nan]]))
