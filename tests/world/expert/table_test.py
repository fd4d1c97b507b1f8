"""The compiled table: columns, padding, and tasks without a skill."""

import dataclasses

import numpy as np
import pytest

from omnivla_jax.sim import scene as scenes
from omnivla_jax.sim.assets import panda
from omnivla_jax.sim.libero.tasks import Goal
from omnivla_jax.world import expert
from omnivla_jax.world.expert import table
from omnivla_jax.world.expert.waypoints import REST, START, WORLD, Waypoint

PLATE = "plate_1"


@pytest.fixture(scope="module")
def juggling(scene):
    """The scene with a goal without a skill in row 2."""
    tasks = list(scene.suite.tasks)
    tasks[2] = tasks[2]._replace(
        instruction="juggle the plates", goal=(Goal("up", PLATE),)
    )
    return dataclasses.replace(scene, suite=scene.suite._replace(tasks=tuple(tasks)))


def test_columns_hold_codes_and_repeat_the_last_waypoint(scene):
    skills = [
        (Waypoint(PLATE, (1, 2, 3), frame="y", moved=PLATE), REST),
        (Waypoint(START, (0, 0, 0)), Waypoint(WORLD, (0, 0, 1), max_steps=7), REST),
    ]
    rows = table.stack_skills(scene, skills)
    plate, hand = scene.bodies[PLATE], scene.bodies[panda.EEF_BODY]
    np.testing.assert_array_equal(rows.anchor, [[plate, -1, -1], [-1, -2, -1]])
    np.testing.assert_array_equal(rows.moved, [[plate, hand, hand], [hand] * 3])
    np.testing.assert_array_equal(rows.frame, [[3, 1, 1], [0, 0, 1]])
    np.testing.assert_array_equal(rows.offset[0, 0], [1, 2, 3])
    assert rows.max_steps.dtype == np.int32 and rows.max_steps[1, 1] == 7
    assert rows.speed.dtype == np.float32


def test_one_skill_for_each_task_of_the_suite(scene):
    rows = table.skill_table(scene)
    for column in rows:
        assert column.shape[:2] == (len(scene.tasks), rows.anchor.shape[1])


def test_errors_name_tasks_without_and_with_skills(juggling):
    expert.require_skills(juggling, (0, 1, 7))
    words = (
        r"^no skill for 'juggle the plates' \(Up plate_1\): record with your own "
        r"policy or give a dataset, or .* with a skill: 0,1,3,4,5,6,7,8,9\.$"
    )
    for suite in (juggling, juggling.suite):
        with pytest.raises(ValueError, match=words):
            expert.require_skills(suite, (1, 2))


def test_no_empty_choice_without_any_skill(juggling):
    alone = juggling.suite._replace(tasks=juggling.suite.tasks[2:3])
    with pytest.raises(ValueError, match=r"juggle.* or give a dataset\.$"):
        expert.require_skills(alone, (0,))


def test_many_tasks_without_a_skill_are_counted(juggling):
    tasks = juggling.suite.tasks[2:3] * 90
    with pytest.raises(ValueError, match="89 more of tasks 0,1,.*,15 and 74 more:"):
        expert.require_skills(juggling.suite._replace(tasks=tasks), range(90))


@pytest.mark.parametrize("task", [2, 9])
def test_without_skill_or_objects_the_hand_rests(juggling, task):
    rows = table.skill_table(juggling)
    if task == 9:  # a scene of spatial's objects holds no wine bottle
        spatial = scenes.make("libero_spatial", tasks=(0,), engine="mujoco")
        rows = table.skill_table(dataclasses.replace(spatial, suite=juggling.suite))
    assert (rows.anchor[task] == table.AT_START).all()
    np.testing.assert_array_equal(rows.offset[task], 0.0)
    assert (rows.gripper[task] == expert.OPEN).all()


def test_an_unknown_body_is_an_error(scene):
    with pytest.raises(KeyError, match="teapot"):
        table.stack_skills(scene, [(Waypoint("teapot_1", (0, 0, 0)),)])
