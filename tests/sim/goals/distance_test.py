"""Tests of sim.goals.distance: worked distances and joints, bounds, sums."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from omnivla_jax.sim.goals import distance as goal_distance
from omnivla_jax.sim.goals import predicates
from omnivla_jax.sim.libero.tasks import Goal

BOWL, PLATE, STOVE = "akita_black_bowl_1", "plate_1", "flat_stove_1"
DRAWER, KNOB = "wooden_cabinet_1_middle_level", "flat_stove_1_button"
DRAWER_REGION = "wooden_cabinet_1_middle_region"


def moved(scene, settled, *, places=None, joints=None):
    """The settled physics with some body origins and joints put elsewhere."""
    xpos, qpos = settled.physics.xpos, settled.physics.qpos
    for name, place in (places or {}).items():
        xpos = xpos.at[:, scene.bodies[name]].set(jnp.asarray(place))
    for name, value in (joints or {}).items():
        qpos = qpos.at[:, scene.joints[name][0]].set(value)
    return dataclasses.replace(settled.physics, xpos=xpos, qpos=qpos)


@pytest.mark.parametrize("distance", [0.0, 0.05, 0.2, 9.0])
def test_on_an_object_by_distance(scene, settled, distance):
    plate = np.array([0.1, 0.2, 0.9])
    bowl = plate + distance * np.array([0.6, 0.0, 0.8])
    physics = moved(scene, settled, places={PLATE: plate, BOWL: bowl})
    found = goal_distance.goal_proximity(scene, physics, Goal("on", BOWL, PLATE))
    np.testing.assert_allclose(found, 1 - np.tanh(distance / 0.2), atol=1e-6)


def test_regions_are_aimed_at_by_their_centre(scene, settled):
    for row in (1, 3, 5):  # on a region, in the top drawer, on the table
        (goal,) = scene.tasks[row].goal
        if goal.zone is not None:
            center = jnp.broadcast_to(jnp.asarray(goal.zone.center), (4, 3))
        else:
            site = scene.sites[goal.target]
            center, _ = predicates.site_pose(settled.physics, site)
        at = moved(scene, settled, places={goal.subject: center})
        off = moved(scene, settled, places={goal.subject: center + 0.1})
        near = [
            goal_distance.goal_proximity(scene, physics, goal) for physics in (at, off)
        ]
        np.testing.assert_allclose(near[0], 1, atol=1e-6)
        expected = 1 - np.tanh(np.sqrt(3) * 0.1 / 0.2)
        np.testing.assert_allclose(near[1], expected, atol=1e-5)


@pytest.mark.parametrize(
    "word, joint, value, expected",
    [
        ("open", DRAWER, 0.0, 0.0),
        ("open", DRAWER, -0.07, 0.5),
        ("open", DRAWER, -0.16, 1.0),
        ("close", DRAWER, -0.07, 0.5),
        ("close", DRAWER, 0.004, 1.0),
        ("turnon", KNOB, 0.1, 0.2),
        ("turnon", KNOB, 1.0, 1.0),
        ("turnoff", KNOB, 0.5, 0.0),
    ],
)
def test_joints_count_the_part_done(scene, settled, word, joint, value, expected):
    subject = DRAWER_REGION if joint == DRAWER else STOVE
    physics = moved(scene, settled, joints={joint: value})
    found = goal_distance.goal_proximity(scene, physics, Goal(word, subject))
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_up_counts_the_height_that_is_missing(scene, settled):
    for height, missing in ((0.9, 0.1), (1.3, 0.0)):
        physics = moved(scene, settled, places={BOWL: [0.0, 0.0, height]})
        found = goal_distance.goal_proximity(scene, physics, Goal("up", BOWL))
        np.testing.assert_allclose(found, 1 - np.tanh(missing / 0.2), atol=1e-5)


@pytest.mark.slow
def test_goal_progress_averages_a_tasks_goals(scene, settled):
    """Task 3, here with a second goal: open the top drawer, put the bowl inside."""
    drawer, (bowl,) = "wooden_cabinet_1_top_level", scene.tasks[3].goal
    both = (Goal("open", "wooden_cabinet_1_top_region"), bowl)
    tasks = list(scene.tasks)
    tasks[3] = tasks[3]._replace(goal=both)
    longer = dataclasses.replace(scene, suite=scene.suite._replace(tasks=tuple(tasks)))
    physics = moved(scene, settled, joints={drawer: -0.15, KNOB: 0.25})
    task = jnp.array([3, 7, 3, 7])
    found = goal_distance.goal_progress(longer, physics, task)
    near = goal_distance.goal_proximity(scene, physics, bowl)
    held = predicates.goals_satisfied(longer, physics, task)
    assert list(held[0]) == [True, False] and not held[1, 0]
    np.testing.assert_allclose(found[::2], 0.5 + 0.5 * near[::2], atol=1e-6)
    np.testing.assert_allclose(found[1::2], 0.5, atol=1e-6)
    done = moved(scene, settled, joints={KNOB: 0.6})
    np.testing.assert_array_equal(
        goal_distance.goal_progress(longer, done, task)[1::2], 1
    )


def test_a_task_that_the_scene_lacks_counts_nothing(scene, settled):
    part = dataclasses.replace(scene, task_ids=(1,))
    found = goal_distance.goal_progress(part, settled.physics, jnp.array([0, 1, 2, 7]))
    assert list(found > 0) == [False, True, False, False]
