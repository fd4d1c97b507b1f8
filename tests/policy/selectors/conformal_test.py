"""Tests of omnivla_jax.policy.selectors.conformal: ranks by hand, coverage in bulk."""

import numpy as np
import pytest

from omnivla_jax.policy.selectors import conformal

SHAPE = np.array([[0.0, 1.0], [2.0, 3.0]])  # mean 1, 2 and deviation 1, 1
ALL = np.ones((2, 2), bool)


def test_quantile_is_the_order_statistic():
    """Of 9 episodes with deviations 1 to 9 and alpha = 0.2 it is the 8th."""
    deviations = np.arange(1.0, 10.0)
    scores = np.array([1.0, 2.0]) + np.stack([deviations, np.zeros(9)], axis=1)
    valid = np.ones_like(scores, bool)
    band = conformal.fit(SHAPE, ALL, scores, valid, alpha=0.2)
    assert band.quantile == 8.0
    np.testing.assert_allclose(band.upper, [9.0, 10.0])


def test_scores_behind_an_end_count_nowhere():
    scores = np.array([[1.0, 99.0], [2.0, 2.0], [1.5, 99.0]])
    valid = np.array([[True, False], [True, True], [True, False]])
    band = conformal.fit(SHAPE, ALL, scores, valid, alpha=0.3)
    assert band.quantile == 1.0
    np.testing.assert_array_equal(
        conformal.first_flag(band, scores + 1.0, valid), [-1, 0, 0]
    )


def test_width_goes_on_where_all_episodes_ended():
    """The second decision has no episode: it is judged as the first."""
    ended = np.array([[True, False], [True, False]])
    scores = np.zeros((9, 2))
    band = conformal.fit(SHAPE, ended, scores, scores == 0, alpha=0.2)
    assert band.upper[0] == band.upper[1]


def test_coverage_is_exact_on_average():
    """The share of flagged new episodes is 1 - k / (n + 1), whatever the scores are."""
    rng = np.random.default_rng(0)
    flagged = []
    for _ in range(400):
        walks = np.cumsum(rng.standard_cauchy((80, 5)), axis=1)  # no moments at all
        shape, known, new = walks[:20], walks[20:39], walks[39:]
        band = conformal.fit(
            shape,
            np.ones_like(shape, bool),
            known,
            np.ones_like(known, bool),
            alpha=0.1,
        )
        found = conformal.first_flag(band, new, np.ones_like(new, bool))
        flagged.append((found >= 0).mean())
    assert np.mean(flagged) == pytest.approx(2 / 20, abs=0.012)


def test_too_few_episodes_are_refused():
    scores = np.zeros((18, 2))
    with pytest.raises(ValueError, match="alpha=0.05: give at least 19"):
        conformal.fit(SHAPE, ALL, scores, scores == 0, alpha=0.05)
    with pytest.raises(ValueError, match="alpha is 0"):
        conformal.fit(SHAPE, ALL, scores, scores == 0, alpha=0)
