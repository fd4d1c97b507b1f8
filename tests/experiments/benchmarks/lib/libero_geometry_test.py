"""Tests of experiments.benchmarks.lib.libero_geometry: parts, frames, doubles."""

import mujoco
import numpy as np
import pytest

from experiments.benchmarks.lib import libero_geometry
from omnivla_jax.sim.assets.objects import CATEGORIES

RECORDED = libero_geometry.read()
# kg, compiled by LIBERO itself (robosuite, MuJoCo 3.3.7); the last digit may be cut.
LIBERO = {
    "akita_black_bowl": 0.0056,
    "alphabet_soup": 0.0259,
    "basket": 0.1361,
    "bbq_sauce": 0.0122,
    "black_book": 0.0425,
    "butter": 0.0052,
    "chefmate_8_frypan": 0.0502,
    "chocolate_pudding": 0.0102,
    "cookies": 0.0096,
    "cream_cheese": 0.0062,
    "glazed_rim_porcelain_ramekin": 0.0097,
    "ketchup": 0.0232,
    "milk": 0.0317,
    "moka_pot": 0.0682,
    "new_salad_dressing": 0.0218,
    "orange_juice": 0.0317,
    "plate": 0.0115,
    "porcelain_mug": 0.0165,
    "red_coffee_mug": 0.0294,
    "salad_dressing": 0.0218,
    "tomato_sauce": 0.0266,
    "white_bowl": 0.0021,
    "white_yellow_mug": 0.0309,
    "wine_bottle": 0.0154,
    "wooden_tray": 0.0572,
    "yellow_book": 0.0281,
}


def test_categories_have_as_many_boxes_as_liberos():
    assert RECORDED.keys() == CATEGORIES.keys()
    counts = {"akita_black_bowl": 40, "plate": 10, "white_yellow_mug": 39, "basket": 5}
    assert {name: len(RECORDED[name][0].boxes) for name in counts} == counts
    for name, parts in RECORDED.items():
        assert len(parts) == len(CATEGORIES[name].parts), name


def test_copies_that_are_only_seen_are_left_out():
    root, _ = RECORDED["flat_stove"]
    assert len(root.boxes) == 2, "the copy in group 1 is only seen"
    _, door = RECORDED["microwave"]
    assert (len(door.boxes), len(door.capsules)) == (1, 3)


def test_frames_compose_along_welded_bodies():
    # Turned by 1.57 about x, a bar of the microwave's handle lies along y.
    _, door = RECORDED["microwave"]
    turn = np.zeros(9)
    axes = []
    for row in door.capsules:
        mujoco.mju_quat2Mat(turn, row[3:7])
        axes.append(np.abs(turn.reshape(3, 3)[:, 2]).round(2).tolist())
    assert sorted(axes) == [[0, 0, 1], [0, 1, 0], [0, 1, 0]]


def test_the_place_of_the_object_body_is_ignored():
    bowl = RECORDED["akita_black_bowl"][0].boxes
    assert np.abs(bowl[:, :2].mean(axis=0)).max() < 0.005, "its body stands at y -0.1"


@pytest.mark.parametrize("name", sorted(LIBERO))
def test_records_weigh_what_the_recorded_shapes_do(name):
    assert not CATEGORIES[name].fixture
    spec = mujoco.MjSpec()
    body = spec.worldbody.add_body()
    for row in RECORDED[name][0].boxes:
        kind = mujoco.mjtGeom.mjGEOM_BOX
        body.add_geom(
            type=kind, pos=row[:3], quat=row[3:7], size=row[7:], density=100.0
        )
    model, found = spec.compile(), CATEGORIES[name].parts[0].inertia
    assert found is not None
    assert found.mass == pytest.approx(LIBERO[name], abs=1e-4)
    assert found.mass == pytest.approx(model.body_mass[1], rel=1e-6)
    np.testing.assert_allclose(found.center, model.body_ipos[1], atol=1e-8)
    np.testing.assert_allclose(found.moments, model.body_inertia[1], rtol=1e-6)


def test_every_movable_has_a_recorded_mass():
    movable = {name for name, one in CATEGORIES.items() if not one.fixture}
    assert movable == set(LIBERO)
