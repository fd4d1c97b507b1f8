"""Tests of experiments.reporting.curves: seeds on one grid, whole files."""

import numpy as np
import pytest
from PIL import Image

from experiments.reporting import curves

HISTORY = [
    {"success": 0.1 * n, "reward": 0.2 * n, "clip_fraction": 0.05, "kl": 1e-3 * n}
    for n in range(8)
]


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


def seed(slope, *, first=1, last=8, key="success"):
    return [{"update": float(n), key: slope * n} for n in range(first, last + 1)]


def test_seeds_meet_on_their_common_updates():
    columns = [
        np.array([[0.0, 10.0, 20.0], [0.3, 0.3, 0.3]]),
        np.array([[5.0, 15.0, 25.0], [0.5, 0.5, 0.5]]),
    ]
    grid, values = curves.seed_curves(columns)
    np.testing.assert_array_equal(grid, [5.0, 10.0, 15.0, 20.0])
    np.testing.assert_allclose(values, [[0.3] * 4, [0.5] * 4])


def compared_axes(tmp_path, monkeypatch, *arguments, **options):
    """The panel of success that `curves.compare` draws."""
    figures = []

    def figure(*size):
        figures.append(original(*size))
        return figures[0]

    original = curves._figure
    monkeypatch.setattr(curves, "_figure", figure)
    path = tmp_path / "compared.png"
    curves.compare(path, *arguments, **options)
    assert Image.open(path).width >= 1200 and list(tmp_path.iterdir()) == [path]
    return figures[0].axes[0]


def test_a_line_and_a_band_for_every_run(tmp_path, monkeypatch):
    """The mean of the seeds, between the lowest and the highest."""
    runs = {"ours": [seed(0.0), seed(0.1)], "theirs": [seed(0.05, last=5)]}
    level = {"success": 0.3, "interval": [0.2, 0.4]}
    axes = compared_axes(tmp_path, monkeypatch, runs, levels={"before": level})
    ours, theirs, before = axes.lines
    assert axes.get_title(loc="left") == "Success"
    assert [line.get_label() for line in axes.lines] == ["ours", "theirs", "before"]
    rows = [(row["update"], row["success"]) for row in seed(0.1)]
    top = curves.seed_curves([np.array(rows).T])[1][0]
    np.testing.assert_allclose(ours.get_ydata(), top / 2)
    band = axes.collections[0].get_paths()[0].get_extents()
    np.testing.assert_allclose(band.intervaly, [0.0, top[-1]])
    assert len(theirs.get_xdata()) == 5 and set(before.get_ydata()) == {0.3}


def test_evaluations_stand_beside_the_last_update(tmp_path, monkeypatch):
    runs = {"ours": [seed(0.1, last=11)], "theirs": [seed(0.05, last=11)]}
    ends = {
        "theirs": {"success": 0.4, "interval": [0.3, 0.5]},
        "ours": {"success": 0.7, "interval": [0.6, 0.8]},
    }
    axes = compared_axes(tmp_path, monkeypatch, runs, ends=ends)
    theirs, ours = axes.lines[2:]
    np.testing.assert_allclose((*theirs.get_xdata(), *ours.get_xdata()), (11.2, 11.4))
    assert [*theirs.get_ydata(), *ours.get_ydata()] == [0.4, 0.7]
    assert theirs.get_color() == curves.COLOURS[1]
    assert ours.get_color() == curves.COLOURS[0]


def test_comparing_needs_something_and_not_too_much(tmp_path):
    many = {f"run {n}": [seed(0.1)] for n in range(9)}
    for runs in ({}, many):
        with pytest.raises(ValueError, match="give 1 to 8"):
            curves.compare(tmp_path / "compared.png", runs)
    assert not list(tmp_path.iterdir())
    runs = {"nothing yet": [[]], "another metric": [seed(0.1, key="kl")]}
    curves.compare(tmp_path / "compared.png", runs)
    assert (tmp_path / "compared.png").stat().st_size > 10_000


def test_the_average_is_corrected_for_its_start():
    # keep = 1/2: weights 1/2 over 1/2; then (1/4, 1/2) over 3/4.
    np.testing.assert_allclose(curves.smooth(np.array([2.0, 5.0]), 0.5), [2.0, 4.0])
    np.testing.assert_allclose(curves.smooth(np.full(9, 3.0)), 3.0)


def test_the_average_passes_over_gaps():
    values = np.array([np.nan, 4.0, np.nan, 4.0])
    np.testing.assert_allclose(curves.smooth(values), [np.nan, 4.0, 4.0, 4.0])
