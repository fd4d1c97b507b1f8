"""The page of predicted geometry: its table, pictures and point clouds."""

import base64
import json
import re

import numpy as np
import pytest

from experiments.reporting import geometry_page
from omnivla_jax.core.types import Geometry
from tests.helpers import browser

SIDE = 4
PROGRAM = browser.find()
# The pixels of the predicted cloud, which dragging changes.
CANVAS = "document.querySelectorAll('canvas')[1].toDataURL()"


def example():
    depth = np.linspace(1, 2, 2 * SIDE * SIDE).reshape(1, 2, SIDE, SIDE)
    points = np.stack([depth, -depth, depth], axis=2).astype(np.float32)
    truth = Geometry(
        points=points,
        normals=np.broadcast_to(
            np.array([0, 0, -1.0])[:, None, None], points.shape
        ).astype(np.float32),
        rotation=np.tile(np.eye(3, dtype=np.float32), (1, 2, 1, 1)),
        translation=np.zeros((1, 2, 3), np.float32),
    )
    valid = np.ones((1, 2, SIDE, SIDE), bool)
    valid[0, 1, 0] = False
    images = np.full((1, 2, SIDE, SIDE, 3), 200, np.uint8)
    guess = truth._replace(points=1.5 * points)
    return geometry_page.GeometryExample(images, truth, guess, valid)


def test_the_page_holds_everything(tmp_path):
    errors = {name: 0.0421 for name in geometry_page.COLUMNS}
    summary = {"scenes": 7, "suites": {"libero_<b>": {"nominal": errors}}}
    path = tmp_path / "geometry.html"
    geometry_page.write(path, summary, {"libero_<b>": example()})
    page = path.read_text("utf-8")
    assert "libero_&lt;b&gt;, nominal" in page and "libero_<b>" not in page
    assert "4.2 %" in page and "7 held-out scenes" in page
    assert page.count("data:image/png;base64,") == 12
    (text,) = re.findall(r'id="clouds">(.*?)</script>', page)
    clouds = json.loads(text)
    ((true, predicted),) = clouds
    for cloud, factor in ((true, 1.0), (predicted, 1.5)):
        numbers = np.frombuffer(base64.b64decode(cloud["points"]), "<i2")
        points = numbers.reshape(-1, 3) * cloud["scale"]
        assert len(points) == 2 * SIDE * SIDE - SIDE
        np.testing.assert_allclose(points[0], [factor, -factor, factor], rtol=1e-3)
        colours = np.frombuffer(base64.b64decode(cloud["colours"]), np.uint8)
        assert (colours == 200).all() and colours.size == points.size


def test_depth_goes_from_near_to_far():
    depth = np.array([[1.0, 2.0], [3.0, 9.0]])
    valid = np.array([[True, True], [True, False]])
    picture = geometry_page.depth_picture(depth, valid, 1.0, 3.0)
    assert picture[0, 0].tolist() == geometry_page.RAMP[0].astype(int).tolist()
    assert picture[1, 0].tolist() == geometry_page.RAMP[-1].astype(int).tolist()
    assert picture[1, 1].tolist() == [0, 0, 0]


def test_a_wall_in_front_is_blue():
    normals = np.array([0.0, 0.0, -1.0])[:, None, None] * np.ones((3, 2, 2))
    picture = geometry_page.normal_picture(normals, np.ones((2, 2), bool))
    assert picture[0, 0].tolist() == [127, 127, 255]


def test_error_of_depth_has_its_own_ramp():
    share = np.array([[0.0, 1.0], [2.0, 0.5]])
    picture = geometry_page.ramp_picture(
        share, np.array([[True, True], [True, False]]), geometry_page.ERROR_RAMP
    )
    last = geometry_page.ERROR_RAMP[-1].astype(int).tolist()
    assert picture[0, 1].tolist() == picture[1, 0].tolist() == last
    assert picture[1, 1].tolist() == [0, 0, 0]


@pytest.mark.skipif(PROGRAM is None, reason="no Chromium is installed")
@pytest.mark.slow
def test_clouds_are_drawn_and_turn_in_a_browser(tmp_path):
    errors = {name: 0.0421 for name in geometry_page.COLUMNS}
    summary = {"scenes": 7, "suites": {"libero_goal": {"nominal": errors}}}
    path = tmp_path / "geometry.html"
    geometry_page.write(path, summary, {"libero_goal": example()})
    assert PROGRAM is not None
    with browser.launched(PROGRAM, tmp_path / "profile") as page:
        page.open(path, width=1100, height=900)
        assert page.run("document.body.dataset.drawn") == "2"
        before = page.run(CANVAS)
        page.run(
            "document.querySelector('canvas').dispatchEvent(new PointerEvent("
            "'pointermove', {buttons: 1, movementX: 40, bubbles: true}))"
        )
        assert page.run(CANVAS) != before  # both clouds turn together
        assert not page.complaints
