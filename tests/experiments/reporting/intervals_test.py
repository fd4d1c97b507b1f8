"""Tests of experiments.reporting.intervals against what is known of proportions."""

import numpy as np
import pytest

from experiments.reporting import intervals


def test_equal_seeds_leave_the_binomial_interval():
    low, high = intervals.of_success([0.7] * 5, [210] * 5)
    half = 1.96 * np.sqrt(0.7 * 0.3 / 1050)
    np.testing.assert_allclose([low, high], [0.7 - half, 0.7 + half], atol=0.003)


def test_seeds_that_differ_widen_it():
    equal, unequal = ([0.7] * 4, [0.5, 0.9, 0.5, 0.9])
    narrow, wide = (intervals.of_success(s, [1000] * 4) for s in (equal, unequal))
    assert wide[1] - wide[0] > 4 * (narrow[1] - narrow[0])
    assert wide[0] >= 0.5 - 0.03 and wide[1] <= 0.9 + 0.03


def test_a_lead_that_every_seed_has_is_found():
    """Seeds differ by 40 points and the lead is 8 under each: pairing shows it."""
    other = np.array([0.4, 0.6, 0.8, 0.5, 0.7])
    low, high = intervals.of_difference(other + 0.08, other, [400] * 5)
    assert 0.03 < low < 0.08 < high < 0.13
    reverse = intervals.of_difference(other, other + 0.08, [400] * 5)
    np.testing.assert_allclose(reverse, [-high, -low], atol=0.005)


def test_seeds_must_be_there_and_paired():
    with pytest.raises(ValueError, match="at least one"):
        intervals.of_success([], [])
    with pytest.raises(ValueError, match="2 and 1 seeds"):
        intervals.of_difference([0.1, 0.2], [0.1], [10, 10])
