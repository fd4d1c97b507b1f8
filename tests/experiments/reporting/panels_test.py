"""Tests of experiments.reporting.panels: the average's worked values."""

import numpy as np

from experiments.reporting import panels


def test_the_average_is_corrected_for_its_start():
    # keep = 1/2: weights 1/2 over 1/2; then (1/4, 1/2) over 3/4.
    np.testing.assert_allclose(panels.smooth(np.array([2.0, 5.0]), 0.5), [2.0, 4.0])
    np.testing.assert_allclose(panels.smooth(np.full(9, 3.0)), 3.0)


def test_the_average_passes_over_gaps():
    values = np.array([np.nan, 4.0, np.nan, 4.0])
    np.testing.assert_allclose(panels.smooth(values), [np.nan, 4.0, 4.0, 4.0])
