"""Tests of experiments.geometry.document: the text of sim/data/categories."""

import json

import pytest

from experiments.geometry import document, recorded

pytestmark = pytest.mark.slow  # of code that made objects.json once

CATEGORIES = {
    name: category
    for name, category in recorded.read().items()
    if name in ("flat_stove", "microwave", "butter")
}
RAW = {
    name: tuple(part.shapes for part in category.parts)
    for name, category in CATEGORIES.items()
}
TEXT = document.text(CATEGORIES, RAW)


def test_json_is_sorted_one_line_per_primitive():
    table = json.loads(TEXT)
    assert list(table) == sorted(table) == sorted(CATEGORIES)
    for part in table["microwave"]["parts"]:
        for row in part["boxes"] + part["capsules"]:
            assert any(json.dumps(row) in line for line in TEXT.splitlines())
    boxes = table["flat_stove"]["parts"][1]["boxes"]
    lines = [line.strip(" ,") for line in TEXT.splitlines()]
    assert all(json.dumps(row) in lines for row in boxes[1:-1])


def test_only_what_moves_has_a_mass():
    table = json.loads(TEXT)
    assert "mass" in table["butter"] and not table["butter"]["fixture"]
    assert "mass" not in table["flat_stove"]
    root, button = table["flat_stove"]["parts"]
    assert "mass" not in root and root["joint"] is None
    assert button["mass"] == 3.0 and button["inertia"] == [1.0, 1.0, 1.0]
    assert table["microwave"]["parts"][1]["mass"] == 0.26


def test_the_door_has_the_inertia_of_a_slab():
    door = json.loads(TEXT)["microwave"]["parts"][1]
    width, depth, height = 0.259, 0.024, 0.185
    slab = 0.26 / 12 * (width**2 + height**2)
    assert max(door["inertia"]) == pytest.approx(slab, rel=0.1)
    assert door["center"][0] == pytest.approx(width / 2, abs=0.01)
    assert depth < width


def test_numbers_come_back_to_nine_digits():
    row = json.loads(TEXT)["butter"]["parts"][0]["boxes"][0]
    assert row == pytest.approx(list(RAW["butter"][0].boxes[0]), rel=1e-8, abs=1e-12)
