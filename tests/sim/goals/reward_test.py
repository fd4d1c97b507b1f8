"""Tests of sim.goals.reward: worked values, each task's own target, names."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from omnivla_jax.sim import env
from omnivla_jax.sim.assets import panda
from omnivla_jax.sim.goals import predicates, reward
from omnivla_jax.sim.state import goal_body

STILL = np.zeros((4, 7), np.float32)


def term(name, scene, state, action=STILL, previous_action=STILL):
    """One reward term alone, [B]."""
    return reward.compute(scene, state, action, previous_action, [name])[name]


def test_alignment_of_worked_distances(scene, settled):
    target = goal_body(scene, scene.tasks[1].goal[0])
    hand = scene.bodies[panda.EEF_BODY]
    distances = np.array([0.0, 0.1, 0.2, 10.0])
    xpos = np.zeros(settled.physics.xpos.shape, np.float32)
    xpos[:, target] = [0.3, 0.0, 0.9]
    xpos[:, hand] = [0.3, 0.0, 0.9]
    xpos[:, hand, 1] += distances
    physics = dataclasses.replace(settled.physics, xpos=jnp.asarray(xpos))
    task = jnp.full(4, 1, jnp.int32)
    state = dataclasses.replace(settled, physics=physics, task=task)
    value = term("alignment", scene, state)
    np.testing.assert_allclose(value, 1 - np.tanh(distances / 0.1), atol=1e-6)


def test_every_task_has_its_own_target(scene, settled):
    near = []
    for row, task in enumerate(scene.tasks):
        xpos = settled.physics.xpos + 5.0  # everything 5 m up and away...
        hand = settled.physics.xpos[:, scene.bodies[panda.EEF_BODY]]
        xpos = xpos.at[:, scene.bodies[panda.EEF_BODY]].set(hand)
        xpos = xpos.at[:, goal_body(scene, task.goal[0])].set(hand)  # ...but it
        physics = dataclasses.replace(settled.physics, xpos=xpos)
        tasks = jnp.full(4, row, jnp.int32)
        state = dataclasses.replace(settled, physics=physics, task=tasks)
        near.append(term("alignment", scene, state))
    np.testing.assert_allclose(np.stack(near), 1.0, atol=1e-5)


def test_terms_by_name_are_batched_and_bounded(scene, settled, step):
    action = jnp.linspace(-1, 1, 28).reshape(4, 7)
    state, _ = step(settled, action)
    first = jnp.tile(jnp.asarray(env.WAIT_ACTION), (4, 1))
    found = reward.compute(scene, state, action, first, reward.TERMS)
    assert list(found) == ["success", "alignment", "progress", "smoothness"]
    assert all(x.shape == (4,) and x.dtype == jnp.float32 for x in found.values())
    np.testing.assert_array_equal(found["success"], state.success)
    held = predicates.goals_satisfied(scene, state.physics, state.task)
    for task, row, goal_progress in zip(
        state.task, np.asarray(held), found["progress"]
    ):
        goals = row[: len(scene.tasks[int(task)].goal)]
        assert goals.mean() <= goal_progress < 1 or goals.all() == goal_progress == 1
    with pytest.raises(ValueError, match=r"\['speed'\].*'smoothness'"):
        reward.compute(scene, state, action, first, ("success", "speed"))


def test_smoothness_of_worked_changes(scene, settled):
    still = jnp.zeros((4, 7)).at[:, 6].set(-1.0)
    action = still.at[1].set(1.0).at[2, 0].set(0.5).at[3, 0].set(9.0)
    found = term("smoothness", scene, settled, action, still)
    # all: six dimensions by 1 and the gripper by 2; one by 0.5; one clipped to 1
    expected = -np.array([0.0, 6 * 0.25 + 1.0, 0.0625, 0.25]) / 7
    np.testing.assert_allclose(found, expected, atol=1e-6)
    for bad in (jnp.nan, jnp.inf):  # was not executed: no reward, and no NaN
        spoilt = action.at[2, 6].set(bad)
        for pair in ((spoilt, still), (still, spoilt)):
            found = term("smoothness", scene, settled, *pair)
            np.testing.assert_allclose(found, expected * [1, 1, 0, 1], atol=1e-6)
