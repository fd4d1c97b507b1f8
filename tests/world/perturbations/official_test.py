"""LIBERO-Plus' names: exact numbers where known, marked stand-ins elsewhere."""

import json

import jax
import numpy as np
import pytest

from omnivla_jax.world.perturbations import kinds, official, robot

BASE = "put_the_bowl_on_the_plate"
VIEW = f"{BASE}_view_0_0_100"
NAMES = (
    BASE,
    f"{VIEW}_2_352_initstate_0",
    f"{BASE}_view_285_15_100_0_0_initstate_0",
    f"{VIEW}_0_0_initstate_317",
    f"{VIEW}_0_0_initstate_0_noise_23",
    f"{BASE}_light_7",
    f"{BASE}_table_3",
    f"{BASE}_tb_4",
    f"{BASE}_add_13",
    f"{BASE}_moved_level2_sample3",
    f"{BASE}_language_9_view_0_0_100_0_0_initstate_0",
)
DIMENSIONS = (
    *("", "camera", "camera", "robot", "noise", "light", "background", "background"),
    *("layout", "layout", "language"),
)


@pytest.fixture(scope="module")
def listed(scene):
    return official.variants(scene, NAMES)


@pytest.fixture(scope="module")
def change(scene, listed):
    return official.perturbations(scene, listed)


def test_names_are_counted_under_their_dimension(scene, listed):
    assert tuple(one.dimension for one in listed) == DIMENSIONS
    assert all(scene.tasks[one.task].name == BASE for one in listed)
    exact = [not one.stand_in for one in listed]
    assert exact == [name in ("", "camera", "robot", "noise") for name in DIMENSIONS]


def test_known_numbers_are_exact(change):
    shift = np.stack(change.camera, axis=1)
    np.testing.assert_array_equal(shift[1], [0, 0, 100, 2, -8])
    np.testing.assert_array_equal(shift[2], [-75, 15, 100, 0, 0])
    assert (shift[[0, *range(3, len(NAMES))]] == [0, 0, 100, 0, 0]).all()
    goal = np.asarray(change.robot.goal)
    offset = robot.published_offsets()[316].astype(np.float32)
    np.testing.assert_array_equal(goal[3], offset)
    assert not goal[[0, 1, 2, *range(4, len(NAMES))]].any()
    assert not change.robot.arm.any()  # the recorded state puts it back
    assert np.flatnonzero(change.noise.number).tolist() == [4]
    assert change.noise.number[4] == 23


def test_stand_ins_change_their_dimension_alone(change):
    gloss, wall = np.asarray(change.lights.gloss), np.asarray(change.surfaces.wall)
    table = np.asarray(change.surfaces.workspace)
    assert np.flatnonzero(gloss != 1).tolist() == [5]
    assert np.flatnonzero(wall >= 0).tolist() == [7]
    assert np.flatnonzero(table >= 0).tolist() == [6, 7]
    moved = np.linalg.norm(change.layout.change.objects, axis=-1).max(axis=1)
    assert np.flatnonzero(moved).tolist() == [9] and moved[9] <= 0.04
    phrase = np.asarray(change.phrase)
    assert np.flatnonzero(phrase).tolist() == [10]
    assert phrase[10] == 1 + 6 * 3 + 1  # the ninth: second context


def test_a_variant_is_its_names_alone(scene, listed, change):
    fewer = official.perturbations(scene, listed[5:6])
    for one, other in zip(jax.tree.leaves(change), jax.tree.leaves(fewer)):
        np.testing.assert_array_equal(one[5:6], other)


def test_names_come_from_either_file(tmp_path):
    rows = [{"id": 1, "name": NAMES[5], "category": "Light Conditions"}]
    path = tmp_path / "task_classification.json"
    path.write_text(json.dumps({"libero_goal": rows, "libero_10": []}))
    assert official.read_names(path, "libero_goal") == [NAMES[5]]
    with pytest.raises(ValueError, match="no variants of libero_10"):
        official.read_names(path, "libero_10")
    lines = tmp_path / "names.txt"
    lines.write_text("\n".join(NAMES) + "\n\n")
    assert official.read_names(lines, "libero_goal") == list(NAMES)


@pytest.mark.parametrize(
    "name, words",
    [
        ("open_the_fridge_light_7", "does not hold"),
        (f"{BASE}_view_0_0_100_0_0_initstate_501", "0 to 500"),
        (f"{BASE}_add_31", "1 to 30"),
    ],
)
def test_wrong_names_are_refused(scene, name, words):
    with pytest.raises(ValueError, match=words):
        official.variants(scene, [name])
    assert len(kinds.DIMENSIONS) == 7
