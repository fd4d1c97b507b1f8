"""Tests of sim.assets.category_variants: what a derived category inherits."""

import json

import numpy as np
import pytest

from omnivla_jax.sim.assets import category_variants, shape_changes
from omnivla_jax.sim.assets.json_fields import CategoryError
from omnivla_jax.sim.assets.objects import CATEGORIES

# LIBERO-PRO's `ood_object.yaml`, and LIBERO-Plus' distractors.
LIBERO_PRO = (
    "bigger_akita_black_bowl", "bigger_alphabet_soup", "bigger_milk", "black_bowl",
    "blue_ketchup", "brown_rack", "green_bbq_sauce", "green_butter",
    "green_chocolate_pudding", "red_akita_black_bowl",
    "red_alphabet_soup", "red_basket", "red_bowl", "red_cream_cheese",
    "red_salad_dressing", "short_cabinet", "white_bottle",
    "white_porcelain_mug", "wine_rack_stand", "yellow_bowl", "yellow_cabinet",
    "yellow_milk", "yellow_moka_pot", "yellow_plate", "yellow_stove",
    "yellow_tomato_sauce",
)  # fmt: skip
LIBERO_PLUS = (
    "bag_of_yeast", "bottle_of_alfredo_sauce", "bottle_of_antihistamines",
    "bottle_of_aspirin", "bottle_of_baby_oil", "bottle_of_barbecue_sauce__2",
    "box_of_shampoo__1", "box_of_vegetable_juice__1", "box_of_yogurt__1",
    "boxed_ink_cartridge__3", "can_of_sardines", "can_of_soda__1", "canned_food__1",
)  # fmt: skip


def _made(extra):
    """The categories of a table's rows."""
    table = category_variants.table(extra)
    found = [category_variants.resolve(name.lower(), table) for name in extra]
    names = [name for name in found if name is not None]
    assert len(names) == len(extra)
    return [CATEGORIES[name] for name in names], names


@pytest.mark.parametrize("name", LIBERO_PRO + LIBERO_PLUS)
def test_names_of_others_are_categories(name):
    found = category_variants.resolve(name, category_variants.table())
    assert found == name and CATEGORIES[name].parts
    assert name not in CATEGORIES  # LIBERO's own stay what is listed


def test_scale_changes_all_lengths_mass_and_inertia():
    base = CATEGORIES["basket"]
    (large,), (name,) = _made({"large_basket": {"base": "basket", "scale": 1.5}})
    assert (large.bottom, large.top) == (1.5 * base.bottom, 1.5 * base.top)
    np.testing.assert_allclose(large.radius, 1.5 * base.radius)
    (old,), (new,) = base.parts, large.parts
    for before, after in zip(old.collision, new.collision, strict=True):
        np.testing.assert_allclose(after.size, 1.5 * np.array(before.size))
        np.testing.assert_allclose(after.position, 1.5 * np.array(before.position))
        assert after.quaternion == before.quaternion
    inner, outer = old.regions["contain_region"], new.regions["contain_region"]
    np.testing.assert_allclose(outer.half_size, 1.5 * np.array(inner.half_size))
    np.testing.assert_allclose(outer.position, 1.5 * np.array(inner.position))
    assert old.inertia and new.inertia
    np.testing.assert_allclose(new.inertia.mass, 1.5**3 * old.inertia.mass)
    moments, center = np.array(old.inertia.moments), np.array(old.inertia.center)
    np.testing.assert_allclose(new.inertia.moments, 1.5**5 * moments)
    np.testing.assert_allclose(new.inertia.center, 1.5 * center)
    for before, after in zip(old.visual, new.visual, strict=True):
        np.testing.assert_allclose(after.size, 1.5 * np.array(before.size))


def test_a_scaled_cabinet_slides_farther():
    base = CATEGORIES["wooden_cabinet"]
    (half,), (name,) = _made({"half_cabinet": {"base": "wooden_cabinet", "scale": 0.5}})
    assert half.parts[1].joint.range == (-0.08, 0.005)
    assert half.articulation.open == (-0.08, -0.07)
    lowest = [shape_changes.lowest(one) - one.bottom for one in (base, half)]
    np.testing.assert_allclose(lowest[0], lowest[1])  # above LIBERO's bottom site


def test_a_scaled_knob_turns_as_before():
    (stove,), (name,) = _made({"big_stove": {"base": "flat_stove", "scale": 2}})
    assert stove.parts[1].joint == CATEGORIES["flat_stove"].parts[1].joint
    assert stove.articulation == CATEGORIES["flat_stove"].articulation


def test_colour_is_all_that_changes():
    (red,), (name,) = _made({"red_moka": {"base": "moka_pot", "color": [1, 0, 0.2]}})
    base = CATEGORIES["moka_pot"]
    (old,), (new,) = base.parts, red.parts
    assert {shape.material for shape in new.visual} == {
        f"{shape.material}@ff0033" for shape in old.visual
    }
    assert red._replace(parts=(new._replace(visual=old.visual),)) == base


def test_rows_build_on_rows():
    rows = {
        "Big_Plate": {"base": "yellow_plate", "scale": 2},
        "bigger_plate": {"base": "big_plate", "scale": 1.5, "colour": "#00FF00"},
    }
    (_, bigger), (_, name) = _made(rows)
    base = CATEGORIES["plate"]
    np.testing.assert_allclose(bigger.radius, 3 * base.radius)
    old, new = base.parts[0].inertia, bigger.parts[0].inertia
    assert old and new
    np.testing.assert_allclose(new.mass, 27 * old.mass)
    assert {shape.material for shape in bigger.parts[0].visual} == {"plate@00ff00"}


def test_solids_have_the_density_of_libero_s_objects():
    rows = {
        "brick": {"base": "box", "size": [0.1, 0.06, 0.04]},
        "tin": {"base": "cylinder", "size": [0.03, 0.1]},
    }
    (brick, tin), _ = _made(rows)
    mass = 100 * 0.1 * 0.06 * 0.04
    np.testing.assert_allclose(brick.parts[0].inertia.mass, mass)
    np.testing.assert_allclose(
        brick.parts[0].inertia.moments,
        mass / 12 * np.array([0.0016 + 0.0036, 0.0016 + 0.01, 0.01 + 0.0036]),
    )
    assert (brick.bottom, brick.top) == (-0.02, 0.02)
    mass = 100 * np.pi * 0.03**2 * 0.1
    np.testing.assert_allclose(tin.parts[0].inertia.mass, mass)
    np.testing.assert_allclose(tin.parts[0].inertia.moments[2], mass * 0.03**2 / 2)
    corners = [np.hypot(*shape.size[:2]) for shape in tin.parts[0].collision]
    np.testing.assert_allclose(corners, 0.03)  # the edges lie on the cylinder


def test_what_is_fixed_stands_on_its_lowest_point():
    (still,), (name,) = _made({"stuck_soup": {"base": "alphabet_soup", "fixed": True}})
    assert still.fixture and still.pinned and still.parts[0].inertia is None
    # The can was modelled lying along y; it stands upright: half its height below.
    np.testing.assert_allclose(still.bottom, -0.0377 - 0.0007, atol=1e-6)
    z = [v for s in still.parts[0].visual for v in s.position[2:]]
    assert max(map(abs, z)) < 0.002


def test_tables_that_disagree_do_not_meet():
    (first,), (one,) = _made({"odd_plate": {"base": "plate", "scale": 1.1}})
    (second,), (two,) = _made({"odd_plate": {"base": "plate", "scale": 1.2}})
    (third,), (three,) = _made({"odd_plate": {"base": "plate", "scale": 1.1}})
    assert one == "odd_plate" == three and two.startswith("odd_plate#")
    np.testing.assert_allclose(second.radius / first.radius, 1.2 / 1.1)
    assert third is first


@pytest.mark.parametrize("row, says", [
    ({"base": "plat"}, "'x': unknown base 'plat': choose one of .*plate"),
    ({}, "unknown base ''"),
    ({"base": "plate", "size": 2}, "base 'plate' takes none"),
    ({"base": "plate", "scale": 0}, "scale 0: it takes a number from 0.1 to 10"),
    ({"base": "plate", "scale": float("nan")}, "scale nan"),
    ({"base": "plate", "scale": "big"}, "scale 'big'"),
    ({"base": "plate", "colour": "red"}, "colour 'red': it takes \"#rrggbb\""),
    ({"base": "plate", "colour": [0, 0, 9]}, "colour"),
    ({"base": "plate", "fixed": 1}, "fixed 1: it takes true or false"),
    ({"base": "plate", "mass": 1}, r"unknown fields \['mass'\]: it takes \['base'"),
    ({"base": "box"}, r"size \(\): base 'box' takes 3 lengths"),
    ({"base": "box", "size": [1, 2, 9]}, "takes 3 lengths from 0.002 to 1.0 m"),
    ({"base": "x"}, "x -> x has no end"),
    ("plate", "expected .*base.*, got a str"),
])  # fmt: skip
def test_wrong_rows_are_named(row, says):
    with pytest.raises(CategoryError, match=says) as caught:
        category_variants.table({"x": row})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text, says", [
    ("{\n,}", r"table.json:2: no JSON"),
    ("[1]", "expected {name: {...}}, got a list"),
    (json.dumps({"plate": {"base": "plate"}}), "table.json: 'plate' is LIBERO's own"),
])  # fmt: skip
def test_wrong_tables_are_named(tmp_path, text, says):
    path = tmp_path / "table.json"
    path.write_text(text)
    with pytest.raises(CategoryError, match=says):
        category_variants.table(path)
    with pytest.raises(CategoryError, match="No such file"):
        category_variants.table(tmp_path / "none.json")
