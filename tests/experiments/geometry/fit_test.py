"""Tests of experiments.geometry.fit: merging, limits, and boxes named anew."""

import numpy as np
import pytest
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from experiments.geometry import deviation, fit, recorded

pytestmark = pytest.mark.slow  # of code that made objects.json once

UPRIGHT = [1.0, 0.0, 0.0, 0.0]


def corners(box):
    signs = np.array(np.meshgrid(*[[-1, 1]] * 3)).reshape(3, -1).T
    turn = Rotation.from_quat(box[3:7], scalar_first=True)
    return box[:3] + turn.apply(signs * box[7:])


def test_slices_of_a_rotated_box_merge_into_it():
    turn = Rotation.from_euler("xyz", [0.2, -0.3, 0.4])
    quaternion = turn.as_quat(scalar_first=True)
    slices = [
        np.concatenate([turn.apply([x, 0, 0]), quaternion, [0.01, 0.02, 0.015]])
        for x in (-0.02, 0.0, 0.02)
    ]
    (found,) = fit.fit(np.array(slices), limit=0.001)
    expected = [0, 0, 0, *quaternion, 0.03, 0.02, 0.015]
    np.testing.assert_allclose(found, expected, atol=2e-6)


def test_rings_of_plates_become_bars():
    core = [0, 0, 0, *UPRIGHT, 0.02, 0.02, 0.05]
    plates = []
    for yaw in np.arange(0, 360, 45):
        turn = Rotation.from_euler("z", yaw, degrees=True)
        center, quaternion = turn.apply([0.022, 0, 0]), turn.as_quat(scalar_first=True)
        plates.append([*center, *quaternion, 0.004, 0.0107, 0.05])
    octagon = np.array([core, *plates])
    found = fit.fit(octagon, limit=0.0025)
    assert len(found) <= 5
    assert max(map(np.max, deviation.deviation(octagon, found))) < 0.003


def test_a_cup_keeps_its_opening():
    cup = recorded.read()["basket"].parts[0].shapes.boxes
    found = fit.fit(cup, limit=0.0025)
    rng = np.random.default_rng(0)
    opening = rng.uniform((-0.05, -0.05, 0.03), (0.05, 0.05, 0.14), (200, 3))
    assert deviation.clearance(opening, found).min() > 0


@pytest.mark.parametrize("limit", [0.004, 0.008])
def test_boxes_stick_out_by_the_limit_at_most(limit):
    rng = np.random.default_rng(3)
    centers, halves = rng.uniform(-0.02, 0.02, (8, 3)), rng.uniform(0.01, 0.02, (8, 3))
    cloud = np.hstack([centers, np.tile(UPRIGHT, (8, 1)), halves])
    found = fit.fit(cloud, limit=limit)
    out = deviation.clearance(deviation.outer_surface(found), cloud).max()
    left = deviation.clearance(deviation.outer_surface(cloud), found).max()
    # Candidates are measured at points 3 mm apart, so corners may exceed a little.
    assert max(out, left) < limit + 0.002
    assert len(found) < len(cloud)


def test_renamed_axes_keep_the_box_turned_least():
    rng = np.random.default_rng(0)
    for turn in Rotation.random(100, rng=rng):
        box = np.concatenate(
            [rng.normal(size=3), turn.as_quat(scalar_first=True), rng.random(3) + 0.1]
        )
        found = fit.canonical(box)
        distance, _ = cKDTree(corners(box)).query(corners(found))
        assert distance.max() < 1e-9
        angle = Rotation.from_quat(found[3:7], scalar_first=True).magnitude()
        least = (turn * Rotation.create_group("O")).magnitude().min()
        assert angle == pytest.approx(least, abs=1e-6)
