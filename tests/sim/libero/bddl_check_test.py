"""Tests of sim.libero.bddl_check: what a wrong file says, and of which line."""

import re

import pytest

from omnivla_jax.sim.libero import bddl, files, task_files, tasks

INIT_PLATE = "(On plate_1 main_table_plate_region)"
INIT_BOWL = "(In akita_black_bowl_1 wooden_cabinet_1_top_region)"
INIT_OPEN = "(Open wooden_cabinet_1_top_region)"
GOAL = "(On akita_black_bowl_1 plate_1)"
# These files are called otherwise than their :language says.
pytestmark = pytest.mark.filterwarnings(
    "ignore::omnivla_jax.sim.libero.task_files.TaskFileWarning"
)


@pytest.fixture
def write(tmp_path):
    """Writes a task of LIBERO's with one text replaced; gives file and line."""

    def rewritten(old, new):
        text = files.suite_files("libero_spatial").paths[4].read_text()
        assert old in text
        path = tmp_path / "my_own_task.bddl"
        path.write_text(text.replace(old, new, 1))
        return path, text[: text.index(old)].count("\n") + 1

    return rewritten


def _says(path, line, *parts):
    with pytest.raises(bddl.BddlError) as caught:
        tasks.read_task(path)
    message = str(caught.value)
    assert message.startswith(f"{path}:{line}: ") and "\n" not in message
    for part in parts:
        assert re.search(part, message), message


@pytest.mark.parametrize(
    "old, new, says",
    [
        # The word "bowl" stands in the :language, too, and long before.
        ("plate_1 - plate", "plate_1 - bowl", ("category 'bowl'", "cookies, .*plate")),
        ("- cookies\n", "- biscuits\n", ("category 'biscuits'", "cookies.*wine_rack")),
        ("- cookies\n", "- flat_stove\n", ("'cookies_1'.*'flat_stove'.*:fixtures",)),
        ("- flat_stove\n", "- plate\n", ("'flat_stove_1' is a 'plate'.*:objects",)),
        ("LIBERO_Tabletop", "libero_moon", ("'libero_moon.*libero_floor",)),
        ("(:target main_table)", "(:target moon_table)",
         ("target 'moon_table'", "cookies_1.*main_table.*wooden_cabinet_1")),
        ("(:target main_table)", "(:target cookies_1)",
         ("ranges.*'cookies_1'", "takes main_table")),
    ],
)  # fmt: skip
def test_declarations_are_checked_at_their_own_lines(write, old, new, says):
    _says(*write(old, new), *says)


def test_what_is_placed_twice_is_named(write):
    path, line = write(INIT_PLATE, f"{INIT_PLATE}\n(On plate_1 cookies_1)")
    _says(path, line + 1, f"a second place for 'plate_1': the first is in line {line}")


@pytest.mark.parametrize("suffix", ["tabletop_light_sync_modified_12", "x"])
def test_problem_classes_with_a_suffix_are_their_base(write, suffix):
    name = "LIBERO_Tabletop_Manipulation"
    path, _ = write(name, f"Libero_Tabletop_Manipulation_{suffix}")
    with pytest.warns(task_files.TaskFileWarning, match="light or surfaces"):
        task = tasks.read_task(path)
    assert (task.arena, task.appearance) == ("tabletop", suffix)
    path, line = write(name, f"{name}2")
    _says(path, line, "unknown problem class 'libero_tabletop_manipulation2'")


def test_unplaced_objects_are_named_where_declared(write):
    _, line = write("cookies_1 - cookies", "")
    path, _ = write("(On cookies_1 main_table_box_region)", "")
    _says(path, line, "places 'cookies_1'", "placed are akita.*plate_1")


@pytest.mark.parametrize("goal, says", [
    ("(On akita_black_bowl_1 plate_9)", ("unknown.*'plate_9'", "cookies_1.*plate_1")),
    ("(On akita_black_bowl_1 plate_1_lid)", ("unknown.*'plate_1_lid'",)),
    ("(On akita_black_bowl_1 main_table_moon)",
     ("unknown.*'main_table_moon'", "main_table_plate_region.*top_side")),
    ("(On bowl plate_1)", ("unknown.*'bowl'", "akita_black_bowl_1.*plate_1")),
    ("(In akita_black_bowl_1 plate_1)",
     ("'in' does not take 'plate_1' in :goal", "cook_region.*cabinet_1_top_region")),
    ("(In akita_black_bowl_1 main_table_plate_region)",
     ("'in' does not take 'main_table_plate_region'", "it takes .*top_region")),
    ("(On akita_black_bowl_1 main_table)",
     ("'on' does not take 'main_table'", "main_table_plate_region.*plate_1")),
    ("(On akita_black_bowl_1 akita_black_bowl_1)", ("it takes akita_black_bowl_2",)),
    ("(On main_table plate_1)", ("not take 'main_table'", "takes akita.*plate_1")),
    ("(On wooden_cabinet_1 plate_1)", ("not take 'wooden_cabinet_1'",)),
    ("(Open akita_black_bowl_1)",
     ("'open' does not take 'akita_black_bowl_1'",
      "takes wooden_cabinet_1, .*bottom_region, .*middle_region, .*top_region.$")),
    ("(Open flat_stove_1)", ("'open' does not take 'flat_stove_1'",)),
    ("(Turnon wooden_cabinet_1)",
     ("'turnon' does not take 'wooden_cabinet_1'", "it takes flat_stove_1.$")),
    ("(Close wooden_cabinet_1_top_side)",
     ("'close' does not take 'wooden_cabinet_1_top_side'", "top_region")),
    ("(Turnon flat_stove_1_cook_region)", ("it takes flat_stove_1.$",)),
    ("(Up wooden_cabinet_1)", ("'up' does not take", "akita.*plate_1.$")),
])  # fmt: skip
def test_goals_that_nothing_can_judge(write, goal, says):
    _says(*write(GOAL, goal), *says)


@pytest.mark.parametrize("old, new, says", [
    (INIT_PLATE, "(On plate_9 main_table_plate_region)",
     ("unknown.*'plate_9'", "known are akita.*plate_1")),
    (INIT_PLATE, "(On plate_1 main_table)",
     ("'on' does not take 'main_table' in :init", "main_table_plate_region")),
    (INIT_PLATE, "(On plate_1 wooden_cabinet_1)",
     ("not take 'wooden_cabinet_1'", "wooden_cabinet_1_top_side")),
    (INIT_PLATE, "(On plate_1 wooden_cabinet_1_attic)",
     ("unknown.*'wooden_cabinet_1_attic'", "wooden_cabinet_1_top_side")),
    (INIT_PLATE, "(On plate_1 plate_1)", ("not take 'plate_1'",)),
    (INIT_BOWL, "(In akita_black_bowl_1 plate_1)",
     ("'in' does not take 'plate_1'", "wooden_cabinet_1_top_region")),
    ("(On wooden_cabinet_1 main_table_cabinet_region)",
     "(On wooden_cabinet_1 flat_stove_1_cook_region)",
     ("not take 'flat_stove_1_cook_region'", "it takes main_table_")),
    (INIT_OPEN, "(Open plate_1)", ("'open' does not take 'plate_1' in :init",)),
    (INIT_OPEN, "(Open wooden_cabinet_1_top_side)", ("takes wooden_cabinet_1, ",)),
    (INIT_OPEN, "(Up plate_1)", ("'up' does not take.*it takes nothing here",)),
])  # fmt: skip
def test_starts_that_nothing_can_set_up(write, old, new, says):
    _says(*write(old, new), *says)


def test_no_tower_of_three_can_be_set_up(write):
    path, line = write(INIT_PLATE, "(On plate_1 cookies_1)")
    assert tasks.read_task(path).objects[-1].reference == "cookies_1"
    path.write_text(path.read_text().replace(INIT_BOWL, GOAL))
    _says(path, line - 3, "'on' does not take 'plate_1' in :init", "cookies_1")


def test_only_used_regions_need_a_target(write):
    idle = "(shelf (:target bowl_drainer_1))"  # so in LIBERO's own libero_goal
    path, line = write("(plate_region", f"{idle}\n(plate_region")
    tasks.read_task(path)
    path.write_text(path.read_text().replace(GOAL, "(In plate_1 bowl_drainer_1_shelf)"))
    _says(path, line, "target 'bowl_drainer_1'", "cookies_1.*plate_1")


@pytest.mark.parametrize("goal", [
    "(On akita_black_bowl_1 wooden_cabinet_1)",
    "(In akita_black_bowl_1 wooden_cabinet_1_top_side)",
    "(Close wooden_cabinet_1)",
    "(Turnoff flat_stove_1)",
    "(Up plate_1)",
])  # fmt: skip
def test_other_goals_of_libero_s_predicates_are_accepted(write, goal):
    path, _ = write(GOAL, goal)
    assert len(tasks.read_task(path).goal) == 1
