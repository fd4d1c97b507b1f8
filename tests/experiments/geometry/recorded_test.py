"""Tests of experiments.geometry.recorded: parts, joints, regions and frames."""

import numpy as np
import pytest

from experiments.geometry import recorded

pytestmark = pytest.mark.slow  # of code that made objects.json once

CATEGORIES = recorded.read()


def test_categories_have_as_many_boxes_as_liberos():
    assert len(CATEGORIES) == 28
    counts = {"akita_black_bowl": 40, "plate": 10, "white_yellow_mug": 39, "basket": 5}
    for name, count in counts.items():
        assert len(CATEGORIES[name].parts[0].shapes.boxes) == count


@pytest.mark.parametrize("name", ["wooden_cabinet", "white_cabinet"])
def test_every_drawer_carries_its_region(name):
    root, *drawers = CATEGORIES[name].parts
    assert root.name == "" and set(root.regions) == {"top_side"}
    for drawer, level in zip(drawers, ("top", "middle", "bottom"), strict=True):
        assert drawer.name == f"{level}_level"
        assert set(drawer.regions) == {f"{level}_region"}
        slide = recorded.Joint("slide", (0, 1, 0), (-0.16, 0.01), 50.0, (0, 0, 0))
        assert drawer.joint == slide
        assert drawer.explicit_mass


def test_the_stove_is_flattened_onto_its_root():
    root, button = CATEGORIES["flat_stove"].parts
    np.testing.assert_allclose(root.regions["cook_region"].position, [0.15, 0, 0])
    assert len(root.shapes.boxes) == 2, "the copy in group 1 is only seen"
    np.testing.assert_allclose(button.frame.quaternion, [0.5**0.5, 0, 0, 0.5**0.5])
    assert button.joint is not None and button.joint.range == (-0.005, 2.1)


def test_the_microwave_door_has_a_capsule_handle():
    root, door = CATEGORIES["microwave"].parts
    assert len(root.shapes.boxes) == 6
    assert set(root.regions) == {"heating_region", "top_side"}
    assert door.name == "microjoint" and len(door.shapes.boxes) == 1
    np.testing.assert_allclose(door.frame.position, [-0.1725, -0.088, 0.096])
    # Turned by 1.57 about x, a bar of the handle lies along y.
    bar = door.shapes.capsules[1]
    np.testing.assert_allclose(bar[:3] - bar[3:6], [0, 0.03, 0], atol=3e-5)
    assert len(door.shapes.capsules) == 3


def test_the_place_of_the_object_body_is_ignored():
    bowl = CATEGORIES["akita_black_bowl"].parts[0].shapes.boxes
    assert np.abs(bowl[:, :2].mean(axis=0)).max() < 0.005, "its body stands at y -0.1"


def test_unique_keeps_the_order():
    rows = np.array([[3.0, 1], [1, 1], [3, 1], [0, 2]])
    np.testing.assert_array_equal(recorded.unique(rows), rows[[0, 1, 3]])
