"""Tests of experiments.benchmarks.geometry: the rows of its table."""

import pytest

from experiments.benchmarks import geometry
from experiments.geometry import recorded

pytestmark = pytest.mark.slow  # of code that made objects.json once

RECORDED = recorded.read()


def test_an_unchanged_category_does_not_deviate():
    found = geometry.row(RECORDED["butter"])
    assert found["recorded_primitives"] == found["fitted_primitives"] == 1
    assert found["maximum_mm"] == {"fitted": 0.0, "recorded": 0.0}
    assert found["within"] and "reason" not in found


def test_a_reduced_category_deviates_within_the_limits():
    found = geometry.row(RECORDED["white_yellow_mug"])
    assert (found["recorded_primitives"], found["fitted_primitives"]) == (39, 16)
    assert 0.1 < found["median_mm"]["fitted"] < 3
    assert 1 < max(found["maximum_mm"].values()) < 8 and found["within"]


def test_what_is_outside_says_why():
    found = geometry.row(RECORDED["flat_stove"])
    assert not found["within"] and "replay" in found["reason"]
