"""Tests of lib.surface_deviation: hand-worked boxes, hollows and cracks."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from experiments.benchmarks.lib import surface_deviation

pytestmark = pytest.mark.slow

MM = 1e-3


def boxes(*rows):
    """Upright boxes in mm: centre and half sizes."""
    upright = [1.0, 0.0, 0.0, 0.0]
    return np.array([[*c, *upright, *h] for c, h in np.multiply(rows, MM)])


CUBE = boxes(((0, 0, 0), (20, 20, 20)))
# A tube along z: 40 mm wide, walls 4 mm thick, no bottom.
TUBE = boxes(
    ((18, 0, 0), (2, 20, 20)),
    ((-18, 0, 0), (2, 20, 20)),
    ((0, 18, 0), (20, 2, 20)),
    ((0, -18, 0), (20, 2, 20)),
)


def test_boxes_do_not_deviate_from_themselves():
    turned = np.concatenate([TUBE, CUBE])
    turned[:, 3:7] = Rotation.from_euler("xyz", [0.3, 0.2, 0.1]).as_quat(
        scalar_first=True
    )
    same = surface_deviation.deviation(turned, turned[::-1])
    assert max(map(np.max, same)) < 1e-9


def test_a_longer_box_deviates_at_its_end_only():
    longer = boxes(((3, 0, 0), (23, 20, 20)))
    found = surface_deviation.deviation(CUBE, longer)
    assert found.onto_recorded.max() == pytest.approx(6 * MM, abs=0.1 * MM)
    assert found.onto_fitted.max() == pytest.approx(6 * MM, abs=0.1 * MM)
    assert max(map(np.median, found)) < 1e-9


def test_a_shrunk_box_deviates_evenly():
    found = surface_deviation.deviation(CUBE, boxes(((0, 0, 0), (18, 18, 18))))
    assert max(map(np.median, found)) == pytest.approx(2 * MM, abs=0.01 * MM)
    # At the corner of the cube all three faces are 2 mm away.
    assert found.onto_fitted.max() == pytest.approx(np.sqrt(12) * MM, rel=0.25)


def test_inner_boxes_have_no_outer_surface():
    inside = boxes(((0, 0, 0), (5, 5, 5)))
    found = surface_deviation.deviation(CUBE, np.concatenate([CUBE, inside]))
    assert max(map(np.max, found)) < 1e-9


def test_the_inside_of_a_tube_is_outer_surface():
    found = surface_deviation.deviation(TUBE, CUBE)
    # From the middle of the lid it is 16 mm to the wall, through which it is 4 mm.
    assert found.onto_recorded.max() == pytest.approx(16 * MM, abs=MM)
    assert found.onto_fitted.max() == pytest.approx(4 * MM, abs=0.1 * MM)


@pytest.mark.parametrize("gap, seen", [(4, False), (9, True)])
def test_a_crack_counts_when_the_ball_fits_in(gap, seen):
    middle = 20 + gap / 2
    halves = boxes(((-middle, 0, 0), (20, 20, 20)), ((middle, 0, 0), (20, 20, 20)))
    whole = boxes(((0, 0, 0), (40 + gap / 2, 20, 20)))
    deep = surface_deviation.deviation(halves, whole).onto_fitted.max() > 10 * MM
    assert deep == seen


def test_clearance_is_the_distance_to_the_nearest_box():
    rng = np.random.default_rng(0)
    turn = Rotation.random(rng=rng)
    quaternion = turn.as_quat(scalar_first=True)
    box = np.concatenate([[0.01, 0, 0], quaternion, [0.01, 0.02, 0.03]])
    points = rng.uniform(-0.1, 0.1, (50, 3))
    local = turn.inv().apply(points - box[:3])
    nearest = turn.apply(np.clip(local, -box[7:], box[7:])) + box[:3]
    expected = np.linalg.norm(points - nearest, axis=1)
    np.testing.assert_allclose(
        surface_deviation.clearance(points, np.array([box, box + 0.0])),
        expected,
        atol=1e-12,
    )


def test_normals_point_outwards():
    box = CUBE[0]
    surface = surface_deviation.box_surface(box)
    assert ((surface.points - box[:3]) * surface.normals).sum(axis=1).min() > 19 * MM
