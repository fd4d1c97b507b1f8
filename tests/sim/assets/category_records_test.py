"""Tests of sim.assets.category_records: new categories from a user's file."""

import copy
import json
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from omnivla_jax.render import types
from omnivla_jax.sim import env, scene
from omnivla_jax.sim.assets import category_records, category_variants
from omnivla_jax.sim.assets.json_fields import CategoryError
from omnivla_jax.sim.assets.objects import CATEGORIES
from omnivla_jax.sim.libero import files
from omnivla_jax.world import observe, visual_scene

TEA_BOX: dict[str, Any] = {
    "parts": [
        {
            "boxes": [[0, 0, 0, 0.03, 0.05, 0.04]],
            "visual": {
                "shapes": [
                    {
                        "shape": "box",
                        "low": [-0.03, -0.05, -0.04],
                        "high": [0.03, 0.05, 0.02],
                        "material": "paper",
                    },
                    {
                        "shape": "box",
                        "position": [0, 0, 0.03],
                        "half_size": [0.03, 0.05, 0.01],
                        "material": "lid",
                    },
                ]
            },
        }
    ],
    "materials": {
        "paper": {"rgb": "#ff00ff", "specular": 0.0},
        "lid": {"rgb": [0.0, 1.0, 1.0], "specular": 0.0},
    },
}


def resolved(rows, name="tea_box"):
    """The category that a table of `rows` adds."""
    found = category_variants.resolve(name, category_variants.table(rows))
    assert found is not None
    return CATEGORIES[found]


@pytest.fixture
def made(tmp_path):
    """A scene of libero_object whose butter is a user's tea box."""
    (tmp_path / "tea.json").write_text(json.dumps({"tea_box": TEA_BOX}))
    text = files.suite_files("libero_object").paths[6].read_text()
    path = tmp_path / "tea.bddl"
    path.write_text(text.replace("- butter", "- tea_box"))
    return scene.make(path, engine="mujoco", categories=tmp_path / "tea.json")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::omnivla_jax.sim.libero.task_files.TaskFileWarning")
def test_a_new_category_resets_steps_and_renders(made):
    state = env.reset(made, [0], jax.random.split(jax.random.key(0), 1))
    state, outcome = env.step(made, state, jnp.zeros((1, 7)))
    assert not state.diverged[0] and not outcome.truncated[0]
    height = state.physics.xpos[0, made.bodies["butter_1"], 2]
    np.testing.assert_allclose(height, 0.04, atol=2e-3)  # it stands on the floor
    drawn = observe.images(visual_scene.make(made), state.physics, size=96)[0, 0]
    red, green, blue = np.moveaxis(np.asarray(drawn, int), -1, 0)
    assert ((red > 2 * green + 40) & (blue > 2 * green + 40)).sum() > 5  # the paper
    assert ((green > 2 * red + 40) & (blue > 2 * red + 40)).sum() > 5  # the lid


def test_what_a_record_leaves_out_follows_its_shapes():
    box = resolved({"tea_box": TEA_BOX})
    (part,) = box.parts
    mass = category_records.DENSITY * 0.06 * 0.1 * 0.08
    np.testing.assert_allclose(part.inertia.mass, mass)
    moments = mass / 12 * np.array([0.1**2 + 0.08**2, 0.06**2 + 0.08**2, 0.0136])
    np.testing.assert_allclose(sorted(part.inertia.moments), sorted(moments))
    assert (box.bottom, box.top) == (-0.04, 0.04) and not box.fixture
    np.testing.assert_allclose(box.radius, np.hypot(0.03, 0.05))
    heavy = resolved({"tea_box": {**TEA_BOX, "mass": 1.0, "fixture": False}})
    np.testing.assert_allclose(heavy.parts[0].inertia.mass, 1.0)
    np.testing.assert_allclose(
        np.array(heavy.parts[0].inertia.moments) * mass, part.inertia.moments
    )


def test_other_rows_can_build_on_a_record():
    rows = {
        "tea_box": TEA_BOX,
        "big_tea_box": {"base": "tea_box", "scale": 2, "colour": "#102030"},
    }
    (part,) = resolved(rows, "big_tea_box").parts
    assert part.collision[0].size == (0.06, 0.1, 0.08)
    assert [shape.material for shape in part.visual] == [
        "tea_box/paper@102030",
        "tea_box/lid@102030",
    ]


def test_a_fixture_stands_on_its_lowest_point():
    shelf = copy.deepcopy(TEA_BOX) | {"fixture": True}
    shelf["parts"].append({
        "name": "drawer",
        "boxes": [[0, 0, 0, 0.02, 0.02, 0.01]],
        "joint": {"kind": "slide", "axis": [0, 1, 0], "range": [-0.1, 0.0],
                  "damping": 10},
    })  # fmt: skip
    shelf["articulation"] = {"open": [-0.1, -0.08], "close": [-0.01, 0.0]}
    category = resolved({"shelf": shelf}, "shelf")
    assert category.pinned and category.bottom == -0.04
    assert category.articulation.open == (-0.1, -0.08)
    assert category.parts[0].inertia is None and category.parts[1].inertia
    assert category.parts[1].visual[0].material == "shelf/paper"  # its first


def test_shipped_records_read_as_a_user_s():
    record = json.loads(
        (category_variants.TABLE.parent / "categories" / "moka_pot.json").read_text()
    )["moka_pot"]
    copied = resolved({"my_pot": record}, "my_pot")
    original = CATEGORIES["moka_pot"]
    assert copied.grip == original.grip is not None
    assert copied.parts[0].inertia == original.parts[0].inertia
    assert len(copied.parts[0].visual) == len(original.parts[0].visual)


def test_textures_are_the_renderer_s():
    assert category_records.TEXTURES == types.TEXTURES


WRONG_PARTS: list[tuple[Any, str]] = [
    ([], "'x': it takes a part"),
    (3, r"'x'.parts: expected \[...\], got 3"),
    ([{}], r"'x'.parts\[0\]: no boxes or capsules"),
    (
        [{"boxes": [[0, 0, 1]]}],
        r"boxes\[0\]: expected 6 or 10 numbers, got \[0, 0, 1\]",
    ),
    ([{"boxes": [[0, 0, 0, 1, 1, 0]]}], r"boxes\[0\]: half sizes \[1, 1, 0\]"),
    ([{"boxes": [[0, 0, float("nan"), 1, 1, 1]]}], r"boxes\[0\]: expected 6 or 10"),
    ([{"boxes": [[0, 0, 0, 1, 1, 1]], "name": "lid"}], "the first part has no name"),
    ([{"box": []}], r"'x'.parts\[0\]: unknown keys \['box'\]: it takes name, position"),
]
WRONG_KEYS: list[tuple[dict[str, Any], str]] = [
    ({"colour": "#102030"}, r"'x': unknown keys \['colour'\]: it takes parts"),
    ({"fixture": 1}, "'x'.fixture: 1: it takes true or false"),
    ({"mass": -1}, "'x'.mass: -1 is not between"),
    ({"center": [0, 0, 0]}, "'x': it takes mass alone, or all of mass, center"),
    (
        {"grasp_like": "buter"},
        "'x'.grasp_like: unknown 'buter': choose one of .*butter",
    ),
    ({"grip": {"kind": "suction"}}, "'x'.grip.kind: unknown 'suction'"),
    ({"grip": {"kind": "rim", "radius": 0.04}}, "'x'.grip: no 'height'"),
    ({"materials": {"paper": {"rgb": "red"}}}, "'x'.materials.paper.rgb: 'red'"),
    ({"materials": {"paper": {}}}, "'x'.materials.paper: no 'rgb'"),
    ({"init_rotation": {"quaternion": [1, 1, 0, 0]}}, "is no unit quaternion"),
    ({"init_rotation": {"yaw": [1, 0]}}, "init_rotation.yaw: an inverted range"),
    ({"articulation": {"ajar": [0, 1]}}, r"'x'.articulation: unknown keys \['ajar'\]"),
]
BOX = {"shape": "box", "low": [0, 0, 0], "high": [1, 1, 1], "material": "plain"}
WRONG_SHAPES: list[tuple[dict[str, Any], str]] = [
    (
        {**BOX, "material": "gold"},
        r"shapes\[0\].material: unknown 'gold': choose among",
    ),
    ({**BOX, "shape": "torus"}, r"shapes\[0\].shape: unknown 'torus'"),
    ({"shape": "cone", "material": "plain"}, "a cone takes start, end, radii; it has"),
]


@pytest.mark.parametrize(
    "row, says",
    [({"parts": parts}, says) for parts, says in WRONG_PARTS]
    + [({**TEA_BOX, **keys}, says) for keys, says in WRONG_KEYS]
    + [
        ({"parts": [TEA_BOX["parts"][0] | {"visual": {"shapes": [shape]}}]}, says)
        for shape, says in WRONG_SHAPES
    ],
)
def test_a_wrong_record_names_file_and_key(tmp_path, row, says):
    path = tmp_path / "mine.json"
    path.write_text(json.dumps({"x": row}))
    with pytest.raises(CategoryError, match=says) as caught:
        category_variants.table(path)
    assert str(caught.value).startswith(f"{path}: 'x'")
    assert "\n" not in str(caught.value)
