"""Tests of experiments.geometry.mass: LIBERO's masses, a hand-worked inertia."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from experiments.geometry import mass, recorded
from experiments.geometry.recorded import Shapes

pytestmark = pytest.mark.slow  # of code that made objects.json once

# kg, compiled by LIBERO itself (robosuite, MuJoCo 3.3.7).
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
    "orange_juice": 0.0317,
    "plate": 0.0115,
    "porcelain_mug": 0.0165,
    "red_coffee_mug": 0.0294,
    "salad_dressing": 0.0218,
    "tomato_sauce": 0.0266,
    "white_yellow_mug": 0.0309,
    "wine_bottle": 0.0154,
}
NONE = np.zeros((0, 7))


def test_every_movable_weighs_what_libero_says():
    categories = recorded.read()
    movable = {name for name, category in categories.items() if not category.fixture}
    assert movable == set(LIBERO)
    for name, expected in LIBERO.items():
        (part,) = categories[name].parts
        # The table has four decimals, of which the last may be cut off.
        assert mass.inertia(part.shapes).mass == pytest.approx(expected, abs=1e-4), name


def test_a_dumbbell_of_two_boxes_by_hand():
    rows = [[x, 0, 0, 1, 0, 0, 0, 0.01, 0.02, 0.03] for x in (-0.1, 0.3)]
    found = mass.inertia(Shapes(np.array(rows), NONE))
    one = 100 * 8 * 0.01 * 0.02 * 0.03
    assert found.mass == pytest.approx(2 * one)
    np.testing.assert_allclose(found.center, [0.1, 0, 0], atol=1e-12)
    x, y, z = one / 3 * np.array([0.0013, 0.0010, 0.0005]) * 2
    apart = 2 * one * 0.2**2
    expected = [x, z + apart, y + apart]
    np.testing.assert_allclose(np.sort(found.inertia), expected, rtol=1e-6)


def test_principal_axes_turn_with_the_body():
    box = np.array([[0, 0, 0, 1, 0, 0, 0, 0.01, 0.02, 0.03]])
    turn = Rotation.from_euler("xyz", [0.4, 0.5, 0.6])
    turned = box.copy()
    turned[0, 3:7] = turn.as_quat(scalar_first=True)
    tensors = []
    for rows in (box, turned):
        found = mass.inertia(Shapes(rows, NONE))
        axes = Rotation.from_quat(found.quaternion, scalar_first=True).as_matrix()
        tensors.append(axes @ np.diag(found.inertia) @ axes.T)
    plain = turn.as_matrix()
    np.testing.assert_allclose(tensors[1], plain @ tensors[0] @ plain.T, atol=1e-12)


def test_capsules_weigh_too_and_scaling_keeps_the_shape():
    rod = Shapes(np.zeros((0, 10)), np.array([[0, 0, -0.1, 0, 0, 0.1, 0.01]]))
    found = mass.inertia(rod)
    volume = np.pi * 0.01**2 * 0.2 + 4 / 3 * np.pi * 0.01**3
    assert found.mass == pytest.approx(100 * volume)
    double = mass.scaled(found, 2 * found.mass)
    np.testing.assert_allclose(double.inertia, 2 * found.inertia)
