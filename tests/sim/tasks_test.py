"""Tests of omnivla_jax.sim.tasks: LIBERO's forty tasks, and a user's own."""

import pytest

from omnivla_jax.sim import libero_files, tasks

# The predicates of the goals of each suite, counted in LIBERO's files.
GOALS = {
    "libero_spatial": {"on": 10},
    "libero_object": {"in": 10},
    "libero_goal": {"open": 1, "in": 1, "on": 7, "turnon": 1},
    "libero_10": {"on": 7, "in": 9, "close": 2, "turnon": 2},
}


@pytest.mark.parametrize("name", GOALS)
def test_goal_predicates_are_libero_s(name):
    suite = tasks.suite(name)
    assert len(suite.tasks) == 10
    counts: dict[str, int] = {}
    for task in suite.tasks:
        for goal in task.goal:
            counts[goal.predicate] = counts.get(goal.predicate, 0) + 1
    assert counts == GOALS[name]


@pytest.mark.parametrize(
    "name, row, instruction, arena",
    [
        ("libero_goal", 7, "turn on the stove", "tabletop"),
        ("libero_object", 0, "pick up the alphabet soup and place it in the basket",
         "floor"),
        ("libero_10", 8, "put both moka pots on the stove", "kitchen"),
        ("libero_10", 4, "put the white mug on the left plate and put the yellow and "
         "white mug on the right plate", "living_room"),
        ("libero_10", 5, "pick up the book and place it in the back compartment of the "
         "caddy", "study"),
    ],
)  # fmt: skip
def test_instructions_are_the_file_names(name, row, instruction, arena):
    task = tasks.suite(name).tasks[row]
    assert task.instruction == instruction and task.arena == arena


def test_starts_of_all_kinds():
    spatial = tasks.suite("libero_spatial").tasks
    bowl = {row: spatial[row].movables[0] for row in (3, 4, 5, 7)}
    assert (bowl[3].relation, bowl[3].reference) == ("on", "cookies_1")
    assert (bowl[4].relation, bowl[4].region) == ("in", "top_region")
    assert bowl[5].reference == "glazed_rim_porcelain_ramekin_1"
    assert (bowl[7].reference, bowl[7].region) == ("flat_stove_1", "cook_region")
    opened = tasks.Goal("open", "wooden_cabinet_1_top_region")
    assert spatial[4].joints == (opened,)
    cabinet = spatial[4].fixtures[0]
    assert cabinet.name == "wooden_cabinet_1" and 2.66 < cabinet.yaw[0] < 2.67


@pytest.mark.parametrize("row", range(10))
def test_an_inventory_of_one_task_is_its_own(row):
    task = tasks.suite("libero_10").tasks[row]
    stock = tasks.inventory((task,))
    assert tuple(stock.movables) == tuple(start.name for start in task.movables)
    assert stock.arenas == (task.arena,)


def test_an_inventory_is_a_union_without_repeats():
    stock = tasks.inventory(tasks.suite("libero_object").tasks)
    assert len(stock.movables) == 11 and stock.fixtures == {}
    assert tasks.inventory(tasks.suite("libero_10").tasks).arenas == (
        "living_room",
        "kitchen",
        "study",
    )


def test_a_user_s_file_and_folder_are_suites(tmp_path):
    path = tmp_path / "my_own_task.bddl"
    text = libero_files.suite_files("libero_spatial").paths[4].read_text()
    path.write_text(text.replace("plate_1))", "cookies_1))"))
    for name in (str(path), str(path.parent)):
        suite = tasks.suite(name)
        assert [task.instruction for task in suite.tasks] == ["my own task"]
        assert suite.tasks[0].goal[0].target == "cookies_1"


def test_an_unknown_suite_lists_the_known():
    with pytest.raises(ValueError, match="libero_moon.*libero_goal.*bddl"):
        tasks.suite("libero_moon")
