"""Tests of omnivla_jax.sim.resets.region_check: what cannot fit is refused by name."""

import re

import pytest

from omnivla_jax.sim import scene as scenes
from omnivla_jax.sim.libero import files
from omnivla_jax.sim.resets import region_check
from tests.helpers import crowded

ONE_REGION = "main_table_akita_black_bowl_region"


def _edited(folder, *changes, suite="libero_goal", row=0):
    """A task file of LIBERO's with other places; every pattern must be in it."""
    text = files.suite_files(suite).paths[row].read_text()
    for pattern, new in changes:
        text, count = re.subn(pattern, new, text)
        assert count, pattern
    path = folder / "edited.bddl"
    path.write_text(text)
    return str(path)


@pytest.mark.parametrize("suite", files.BENCHMARK_SUITES)
def test_libero_s_own_tasks_fit(suite):
    assert region_check.infeasible_tasks(scenes.make(suite, engine="mujoco")) == {}


def test_four_objects_in_two_centimetres_are_refused(tmp_path):
    moved = r"\(On (\w+_1) main_table_(wine_bottle|plate|cream_cheese)_region"
    path = _edited(tmp_path, (moved, rf"(On \1 {ONE_REGION}"))
    with pytest.raises(ValueError) as caught:
        scenes.make(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ") and "\n" not in message
    for name in (ONE_REGION, "wine_bottle_1", "plate_1", "cream_cheese_1", "widen"):
        assert name in message


def test_the_edge_between_refused_and_unlucky(tmp_path):
    """Six groceries do not fit into 13 cm, and with luck into 16 cm."""
    with pytest.raises(ValueError, match="no room for .*floor_target_object_region"):
        scenes.make(str(crowded.groceries(tmp_path, 0.065)))
    assert scenes.make(str(crowded.groceries(tmp_path, 0.08)))


def test_objects_inside_fixture_discs_are_refused(tmp_path):
    cabinet = r"\(0\.02 -0\.25 0\.04 -0\.23\)", "(-0.01 -0.03 0.01 -0.01)"
    plate = r"\(0\.04 -0\.03 0\.06\d* -0\.01\)", "(-0.01 -0.03 0.01 -0.01)"
    path = _edited(tmp_path, cabinet, plate)
    with pytest.raises(
        ValueError,
        match="no room for plate_1 in main_table_plate_.*" "beside wooden_cabinet_1",
    ):
        scenes.make(path)


def test_two_objects_on_one_are_refused(tmp_path):
    moved = r"\(On (wine_bottle_1|cream_cheese_1) main_table_\w+", r"(On \1 plate_1"
    path = _edited(tmp_path, moved)
    with pytest.raises(
        ValueError, match="cream_cheese_1 and wine_bottle_1 both start on plate_1"
    ):
        scenes.make(path)


def test_two_objects_in_one_drawer_are_refused(tmp_path):
    moved = (
        r"\(On (wine_bottle_1|cream_cheese_1) main_table_\w+",
        r"(In \1 wooden_cabinet_1_top_region",
    )
    path = _edited(tmp_path, moved)
    with pytest.raises(ValueError, match="in wooden_cabinet_1_top_region"):
        scenes.make(path)


def test_one_object_in_a_closed_drawer_fits(tmp_path):
    moved = r"\(On wine_bottle_1 main_table_\w+", (
        "(In wine_bottle_1 wooden_cabinet_1_top_region"
    )
    assert scenes.make(_edited(tmp_path, moved), engine="mujoco")


def test_only_the_tasks_of_the_scene_are_checked(tmp_path):
    crowded.groceries(tmp_path, 0.05)
    crowded.groceries(tmp_path, 0.12)
    with pytest.raises(ValueError, match=r"groceries_50\.bddl: no room"):
        scenes.make(str(tmp_path))
    names = [task.name for task in scenes.suite(str(tmp_path)).tasks]
    assert scenes.make(str(tmp_path), tasks=[names.index("groceries_120")])
