"""Tests of experiments.reporting.curves: the average's worked values, a whole file."""

import numpy as np
import pytest
from PIL import Image

from experiments.reporting import curves

HISTORY = [
    {"success": 0.1 * n, "reward": 0.2 * n, "clip_fraction": 0.05, "kl": 1e-3 * n}
    for n in range(8)
]


def test_the_average_is_corrected_for_its_start():
    # keep = 1/2: weights 1/2 over 1/2; then (1/4, 1/2) over 3/4.
    np.testing.assert_allclose(curves.smooth(np.array([2.0, 5.0]), 0.5), [2.0, 4.0])
    np.testing.assert_allclose(curves.smooth(np.full(9, 3.0)), 3.0)


def test_the_average_passes_over_gaps():
    values = np.array([np.nan, 4.0, np.nan, 4.0])
    np.testing.assert_allclose(curves.smooth(values), [np.nan, 4.0, 4.0, 4.0])


def test_a_readable_picture_is_written_whole(tmp_path):
    path = tmp_path / "curve.png"
    before = {"success": 0.3, "interval": [0.25, 0.36]}
    after = {"success": 0.7, "interval": [0.64, 0.75]}
    curves.save(path, HISTORY, before=before, after=after)
    image = Image.open(path)
    assert image.width >= 1200 and image.height >= 700
    assert np.asarray(image.convert("L")).std() > 5
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    "history", [[], HISTORY[:1], [{"success": 0.5}], [{"kl": float("nan")}]]
)
def test_short_and_incomplete_histories_still_draw(tmp_path, history):
    curves.save(tmp_path / "curve.png", history)
    assert (tmp_path / "curve.png").stat().st_size > 10_000
