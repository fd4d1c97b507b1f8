"""Skills composed of goals: their order, their names, and what has none."""

import pytest

from omnivla_jax.sim.assets import panda
from omnivla_jax.sim.libero import tasks
from omnivla_jax.sim.libero.tasks import Goal
from omnivla_jax.world import expert
from omnivla_jax.world.expert import composition, destinations, waypoints

NINETY = {task.name: task for task in tasks.suite("libero_90").tasks}


def ordered(name, **changes):
    """The goals of a task of libero_90 in the order in which they are reached."""
    goals = composition.in_order(NINETY[name]._replace(**changes))
    return [(goal.predicate, goal.subject) for goal in goals]


def test_every_task_of_libero_90_has_a_skill():
    for task in NINETY.values():
        skill = expert.find_skill(task)
        assert skill is not None and skill[-1] == waypoints.REST, task.name
        instances = tuple(one.name for one in (*task.objects, *task.fixtures))
        for body in waypoints.body_names(skill) - {panda.EEF_BODY}:
            assert body.startswith(instances), (task.name, body)


def test_what_is_below_is_placed_first():
    stack = "LIVING_ROOM_SCENE4_stack_the_left_bowl_on_the_right_bowl_and_place_them_in"
    assert ordered(f"{stack}_the_tray") == [
        ("in", "akita_black_bowl_2"),
        ("on", "akita_black_bowl_1"),
    ]


def test_drawers_are_open_while_they_are_filled():
    fill = "KITCHEN_SCENE10_put_the_butter_at_the_back_in_the_top_drawer_of_the_cabinet"
    drawer = "wooden_cabinet_1_top_region"
    placed, closed = ("in", "butter_2"), ("close", drawer)
    assert ordered(f"{fill}_and_close_it") == [placed, closed]
    shut = ordered(f"{fill}_and_close_it", joints=())
    assert shut == [("open", drawer), placed, closed]


def test_what_holds_at_the_start_is_left_alone():
    name = "KITCHEN_SCENE8_put_the_right_moka_pot_on_the_stove"
    assert ordered(name) == [("on", "moka_pot_1")]
    assert ("turnon", "flat_stove_1") in ordered(name, joints=())


@pytest.mark.parametrize("goal", [
    Goal("up", "plate_1"),
    Goal("on", "plate_1", "wooden_cabinet_1_top_side"),
])  # fmt: skip
def test_a_goal_without_a_skill_is_named(goal):
    task = NINETY["KITCHEN_SCENE1_put_the_black_bowl_on_the_plate"]
    both = task._replace(goal=(*task.goal, goal))
    with pytest.raises(composition.NoSkill, match=f"^{composition.text(goal)}$"):
        composition.plan(both)
    message = rf"no skill for 'put .*' \({composition.text(goal)}\)"
    with pytest.raises(ValueError, match=message):
        expert.require_skills(tasks.Suite("mine", 400, (both,)), [0])


@pytest.mark.parametrize("category, part, height", [
    ("wooden_cabinet", "", 0.223),
    ("wooden_cabinet", "top_level", 0.1592),
    ("flat_stove", "", 0.0255),
    ("wooden_two_layer_shelf", "", 0.2103),
])  # fmt: skip
def test_surfaces_under_a_point(category, part, height):
    x = 0.15 if category == "flat_stove" else 0.0
    found = destinations.support_height(category, part, x, 0.0, below=1.0)
    assert found == pytest.approx(height, abs=1e-4)


def test_a_shelf_has_a_board_and_ground_below():
    shelf = "wooden_two_layer_shelf"
    board = destinations.support_height(shelf, "", 0.0, 0.0, below=0.2)
    assert board == pytest.approx(0.0709, abs=1e-4)
    assert destinations.support_height(shelf, "", 0.0, 0.0, below=0.05) is None
