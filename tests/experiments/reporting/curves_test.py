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


def test_seeds_meet_on_the_part_that_all_have_seen():
    columns = [
        np.array([[0.0, 10.0, 20.0], [0.3, 0.3, 0.3]]),
        np.array([[5.0, 15.0, 25.0], [0.5, 0.5, 0.5]]),
    ]
    grid, values = curves.seed_curves(columns)
    np.testing.assert_array_equal(grid, [5.0, 10.0, 15.0, 20.0])
    np.testing.assert_allclose(values, [[0.3] * 4, [0.5] * 4])


def test_a_line_and_a_band_for_every_run(tmp_path, monkeypatch):
    """What is drawn: the mean of the seeds, between the lowest and the highest."""
    drawn: dict = {}

    def spy(axes, name, columns, colour):
        original(axes, name, columns, colour)
        if axes.get_title(loc="left") == "Success" and name == "ours":
            drawn["line"] = axes.lines[-1].get_xydata()
            drawn["band"] = axes.collections[-1].get_paths()[0].get_extents()

    original = curves._draw_seeds
    monkeypatch.setattr(curves, "_draw_seeds", spy)
    runs = {"ours": [seed(0.0), seed(0.1)], "theirs": [seed(0.05, last=5)]}
    path = tmp_path / "compared.png"
    level = {"success": 0.3, "interval": [0.2, 0.4]}
    curves.compare(path, runs, levels={"before": level}, x_label="control steps")
    top = curves.seed_curves([curves._column(seed(0.1), "update", "success")])[1][0]
    np.testing.assert_allclose(drawn["line"][:, 1], top / 2)
    np.testing.assert_allclose(drawn["band"].intervaly, [0.0, top[-1]])
    image = Image.open(path)
    assert image.width >= 1200 and list(tmp_path.iterdir()) == [path]


def test_what_runs_came_to_stands_beside_their_last_update(tmp_path, monkeypatch):
    drawn = []

    def spy(axes, x, evaluation, colour):
        drawn.append((x, evaluation["success"], colour))
        original(axes, x, evaluation, colour)

    original = curves.panels.end
    monkeypatch.setattr(curves.panels, "end", spy)
    runs = {"ours": [seed(0.1, last=11)], "theirs": [seed(0.05, last=11)]}
    ends = {
        "theirs": {"success": 0.4, "interval": [0.3, 0.5]},
        "ours": {"success": 0.7, "interval": [0.6, 0.8]},
    }
    curves.compare(tmp_path / "compared.png", runs, ends=ends)
    (x_theirs, *theirs), (x_ours, *ours) = drawn
    np.testing.assert_allclose((x_theirs, x_ours), (11.2, 11.4))
    assert theirs == [0.4, curves.COLOURS[1]] and ours == [0.7, curves.COLOURS[0]]


def test_comparing_needs_something_and_not_too_much(tmp_path):
    many = {f"run {n}": [seed(0.1)] for n in range(9)}
    for runs in ({}, many):
        with pytest.raises(ValueError, match="give 1 to 8"):
            curves.compare(tmp_path / "compared.png", runs)
    assert not list(tmp_path.iterdir())
    runs = {"nothing yet": [[]], "another metric": [seed(0.1, key="kl")]}
    curves.compare(tmp_path / "compared.png", runs)
    assert (tmp_path / "compared.png").stat().st_size > 10_000
