"""Tests of sim.libero.task_files: folders that load what they can, and names."""

import warnings
from pathlib import Path

import pytest

from omnivla_jax.sim.libero import bddl, files, task_files, tasks

pytestmark = pytest.mark.filterwarnings(
    "ignore::omnivla_jax.sim.libero.task_files.TaskFileWarning"
)


@pytest.fixture
def folder(tmp_path):
    """Three tasks, of which two cannot be loaded."""
    text = files.suite_files("libero_goal").paths[8].read_text()
    (tmp_path / "good.bddl").write_text(text)
    (tmp_path / "other.BDDL").write_text(text.replace("- plate", "- saucer"))
    (tmp_path / "wrong.bddl").write_text(text.replace("(0.04 ", "(nan "))
    (tmp_path / "._good.bddl").write_bytes(b"\0\5\26\7")  # as macOS leaves them
    (tmp_path / "notes.txt").write_text("no task")
    (tmp_path / "more.bddl").mkdir()
    return tmp_path


def test_all_files_that_cannot_load_are_listed(folder):
    with pytest.raises(task_files.TaskFilesError) as caught:
        tasks.suite(folder)
    first, *rows, last = str(caught.value).splitlines()
    assert first == f"{folder}: 2 of 3 task files cannot be loaded:"
    assert rows == [
        "  other.BDDL:106: unknown object category 'saucer'.",
        "  wrong.bddl:8: 'nan' is no finite number, in 'nan -0.03 0.060000000000000005 "
        "-0.01'.",
    ]
    assert last.startswith(f"{folder}: unknown object category 'saucer' (1); ")
    assert last.endswith("skip_unknown=True takes the other 1.")
    assert isinstance(caught.value, bddl.BddlError)


def test_a_folder_loads_what_it_can(folder):
    with pytest.warns(task_files.TaskFileWarning, match="2 of 3 files .* skipped: unk"):
        suite = tasks.suite(folder, skip_unknown=True)
    assert [task.name for task in suite.tasks] == ["good"]
    (folder / "good.bddl").unlink()
    with pytest.raises(task_files.TaskFilesError, match="none loads"):
        tasks.suite(folder, skip_unknown=True)
    with pytest.raises(bddl.BddlError, match="other.BDDL:106: unkn.*known are akita"):
        tasks.suite(folder / "other.BDDL", skip_unknown=True)


def test_long_lists_end_with_a_count(folder):
    errors = [bddl.BddlError(f"{i}.bddl", 1, "no.") for i in range(60)]
    rows = str(task_files.TaskFilesError("x", errors, 0)).splitlines()
    assert len(rows) == 53 and rows[-2] == "  ... and 10 more files."
    assert rows[-1] == "x: no (60); none loads."


def test_one_name_for_two_things_is_renamed(folder):
    text = (folder / "good.bddl").read_text()
    swapped = text.replace("plate_1 - plate", "plate_1 - red_bowl")
    swapped = swapped.replace("flat_stove_1 - flat_stove", "flat_stove_1 - wine_rack")
    goals = "(On wine_bottle_1 plate_1) (On plate_1 flat_stove_1_top_region)"
    swapped = swapped.replace("(On akita_black_bowl_1 plate_1)", goals)
    (folder / "later.bddl").write_text(swapped)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        suite = tasks.suite(folder, skip_unknown=True)
    said = [str(one.message) for one in caught]
    said = [message for message in said if "different things" in message]
    assert len(said) == 1 and "'red_bowl__plate_1'" in said[0] and "1 others" in said[0]
    good, later = suite.tasks
    assert "plate_1" in [start.name for start in good.objects]
    assets = tasks.scene_assets(suite.tasks)
    assert assets.objects["red_bowl__plate_1"] == "red_bowl"
    assert assets.objects["plate_1"] == "plate"
    assert assets.fixtures["wine_rack__flat_stove_1"] == "wine_rack"
    assert [goal[:3] for goal in later.goal] == [
        ("on", "wine_bottle_1", "red_bowl__plate_1"),
        ("on", "red_bowl__plate_1", "wine_rack__flat_stove_1_top_region"),
    ]


def test_libero_130_is_all_suites_in_order():
    ninety, all_tasks = tasks.suite("libero_90"), tasks.suite("libero_130")
    assert (len(ninety.tasks), ninety.horizon) == (90, 400)
    assert all_tasks.tasks[30:120] == ninety.tasks and len(all_tasks.tasks) == 130
    assert all_tasks.tasks[:10] == tasks.suite("libero_spatial").tasks
    assert all_tasks.tasks[120:] == tasks.suite("libero_10").tasks
    stove = ninety.tasks[39]
    assert [row[:2] for row in stove.joints] == [("turnon", "flat_stove_1")]
    assert [row[:2] for row in stove.goal] == [("turnoff", "flat_stove_1")]


@pytest.mark.parametrize("name, near", [
    ("libero_gaol", "libero_goal"),
    ("LIBERO_SPATIAL", "libero_spatial"),
    ("libero-object", "libero_object"),
    ("libero10", "libero_10"),
])  # fmt: skip
def test_misspelt_suites_get_the_nearest_name(name, near):
    with pytest.raises(ValueError, match=f"{name!r}: is it {near!r}"):
        tasks.suite(name)


def test_an_unknown_suite_lists_the_known():
    with pytest.raises(ValueError, match="moon.*libero_goal.*bddl"):
        tasks.suite("moon")


def test_paths_that_hold_no_task_are_named(folder):
    (folder / "down").mkdir()
    (folder / "down" / "empty").mkdir()
    cases = {
        folder / "god.bddl": "god.bddl: no such file: is it 'good.bddl'",
        folder / "notes.txt": "ends in .bddl",
        folder / "down" / "empty": "a folder without .bddl files",
        folder.parent: f"its folders .*{folder.name}",
        folder / "none" / "such": "no such file or folder",
    }
    for path, says in cases.items():
        with pytest.raises(ValueError, match=says) as caught:
            tasks.suite(path)
        assert "\n" not in str(caught.value)


def test_home_folders_are_expanded(folder, monkeypatch):
    monkeypatch.setenv("HOME", str(folder))
    assert tasks.suite("~/good.bddl").tasks == tasks.suite(folder / "good.bddl").tasks
    assert tasks.read_task("~/good.bddl").name == "good"
    assert task_files.find("~") == [
        folder / name for name in ("good.bddl", "other.BDDL", "wrong.bddl")
    ]


def test_libero_90_lists_every_task_once():
    paths = files.suite_files("libero_90").paths
    assert len({path.stem for path in paths}) == 90
    assert {path.stem for path in paths[0].parent.glob("*.bddl")} == {
        path.stem for path in paths
    }


def test_a_path_beats_a_suite_name(folder, monkeypatch):
    (folder / "libero_goal").mkdir()
    (folder / "good.bddl").rename(folder / "libero_goal" / "good.bddl")
    monkeypatch.chdir(folder)
    assert len(tasks.suite("libero_goal").tasks) == 10
    for name in (Path("libero_goal"), "./libero_goal", folder / "libero_goal"):
        suite = tasks.suite(name)
        assert [task.name for task in suite.tasks] == ["good"]
        assert suite.name != "libero_goal"
