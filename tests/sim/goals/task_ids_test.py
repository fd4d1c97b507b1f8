"""Tests of omnivla_jax.sim.goals.task_ids, and of every gather by a task's number."""

import dataclasses

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from omnivla_jax.core import compile as compilation
from omnivla_jax.sim import env
from omnivla_jax.sim import scene as scenes
from omnivla_jax.sim.goals import distance as goal_distance
from omnivla_jax.sim.goals import predicates, reward, task_ids
from omnivla_jax.sim.resets import recorded_states

WRONG = (10, 11, 50, -11, -1, 2**31 - 1)
HELD = (0, 4)  # of libero_10; LIBERO's qpos of them differ in width


@pytest.fixture(scope="module")
def two():
    return scenes.make("libero_10", tasks=HELD, engine="mujoco")


@pytest.mark.parametrize("kind", [list, np.array, jnp.array])
def test_unknown_tasks_are_refused_with_those_that_exist(scene, kind):
    keys = jax.random.split(jax.random.key(0), 4)
    with pytest.raises(ValueError, match=r"\[10, 11, 50, -11\].*libero_goal.*0 to 9"):
        env.reset(scene, kind([10, 11, 50, -11]), keys)
    zeros = jnp.zeros((2, scene.model.nq)), jnp.zeros((2, scene.model.nv))
    with pytest.raises(ValueError, match=r"\[-1\].*0 to 9"):
        env.restore(scene, kind([3, -1]), *zeros)


def test_a_task_that_the_scene_lacks_is_refused(two):
    zeros = jnp.zeros((2, two.model.nq)), jnp.zeros((2, two.model.nv))
    with pytest.raises(ValueError, match=r"\[3\].*libero_10 holds 0, 4; .*tasks="):
        env.restore(two, [4, 3], *zeros)


def test_known_wrong_tasks_are_refused_inside_jit(scene):
    with pytest.raises(ValueError, match=r"\[10\]"):
        jax.jit(lambda keys: env.reset(scene, [10], keys))(
            jax.random.split(jax.random.key(0), 1)
        )


def test_numbers_are_int32_or_refused(scene):
    checked = task_ids.check(scene, np.array([1, 9], np.int64))
    assert checked.dtype == jnp.int32 and checked.tolist() == [1, 9]
    with pytest.raises(ValueError, match="integer"):
        task_ids.check(scene, [0.0])
    large = jnp.array([2**32 - 1], jnp.uint32)  # int32's -1
    traced = jax.jit(lambda task: task_ids.check(scene, task))(large)
    assert not task_ids.is_held(scene, traced).any()


def test_lists_are_taken(scene, settled):
    physics = settled.physics
    state = env.restore(scene, [0, 1, 2, 3], physics.qpos, physics.qvel)
    assert state.task.dtype == jnp.int32 and not state.diverged.any()


def test_safe_rows_are_of_held_tasks(two):
    task = jnp.array([0, 4, 3, *WRONG])
    held = np.arange(len(task)) < 2
    np.testing.assert_array_equal(task_ids.is_held(two, task), held)
    np.testing.assert_array_equal(task_ids.rows(two, task), np.where(held, task, 0))


def test_traced_unknown_tasks_are_flagged(reset, step, settled):
    task = jnp.array([0, 10, 2, -1])
    state = reset(task, jax.random.split(jax.random.key(0), 4))
    unknown = np.array([False, True, False, True])
    np.testing.assert_array_equal(state.diverged, unknown)
    np.testing.assert_array_equal(state.task, task)
    assert not state.success.any()
    action = jax.random.uniform(jax.random.key(1), (4, 7), minval=-1.0)
    other, without = step(settled, action)
    for _ in range(2):
        after, outcome = step(state, action)
        np.testing.assert_array_equal(outcome.truncated, unknown)
        assert not outcome.reward.any() and not outcome.terminated.any()
        np.testing.assert_array_equal(after.steps == 0, unknown)
        state = after if _ else state
    for row in (0, 2):  # as beside tasks 1 and 3
        for mine, theirs in ((after, other), (outcome, without)):
            cut = [jax.tree.map(lambda leaf: leaf[row], x) for x in (mine, theirs)]
            chex.assert_trees_all_equal(*cut)


def test_a_task_that_becomes_unknown_freezes_its_episode(step, settled):
    task = settled.task.at[1].set(77)
    after, outcome = step(dataclasses.replace(settled, task=task), jnp.zeros((4, 7)))
    np.testing.assert_array_equal(after.diverged, [False, True, False, False])
    np.testing.assert_array_equal(outcome.truncated, after.diverged)
    row = [jax.tree.map(lambda leaf: leaf[1], x.physics) for x in (after, settled)]
    chex.assert_trees_all_equal(*row)


def test_unknown_tasks_hold_no_goal_and_earn_nothing(two):
    def run(task):
        size = len(task)
        physics = jax.tree.map(lambda x: jnp.repeat(x[:1], size, 0), state.physics)
        many = env._episode(
            physics, task, jnp.zeros(size, bool), jnp.zeros(size, jnp.int32)
        )
        still = jnp.zeros((size, 7))
        terms = reward.compute(two, many, still, still, list(reward.TERMS))
        held = predicates.goals_satisfied(two, physics, task)
        return held, goal_distance.goal_progress(two, physics, task), terms

    zeros = jnp.zeros((1, two.model.nq)), jnp.zeros((1, two.model.nv))
    state = env.restore(two, [0], *zeros)
    held, goal_progress, terms = compilation.jit(run)(jnp.array([0, 3, *WRONG]))
    assert not held[1:].any() and not goal_progress[1:].any()
    assert float(goal_progress[0]) > 0 and float(terms["alignment"][0]) > 0
    for name, values in terms.items():
        assert not values[1:].any(), name


def test_recorded_states_are_of_their_own_task(two):
    widths = {}
    for task in HELD:
        own = scenes.make("libero_10", tasks=(task,), engine="mujoco").model
        widths[task] = (own.nq, own.nv)
    assert widths[0] != widths[4]
    qpos, qvel = (jnp.zeros((2, width)) for width in widths[4])
    with pytest.raises(ValueError, match=r"of tasks \[0\], but of 4"):
        env.restore(two, [4, 0], qpos, qvel)
    with pytest.raises(ValueError, match="qvel has 5"):
        env.restore(two, [4, 4], qpos, jnp.zeros((2, 5)))
    fits = jax.jit(lambda task: recorded_states.fits(two, task, qpos.shape[1]))
    traced = fits(jnp.array([4, 0, 3, 10]))
    np.testing.assert_array_equal(traced, [True, False, False, False])
