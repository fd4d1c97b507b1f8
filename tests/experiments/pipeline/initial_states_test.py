"""Tests of pipeline.initial_states: files, turns of tasks, states of a scene."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.pipeline import initial_states
from omnivla_jax.sim import env
from omnivla_jax.sim import scene as scenes
from omnivla_jax.sim.libero import state_files, tasks
from omnivla_jax.sim.resets import recorded_states, region_sampler
from omnivla_jax.train.environment import Environment

GOAL = tasks.suite("libero_goal").tasks
ROWS = np.arange(12.0).reshape(3, 4)


def test_states_are_found_by_the_names_of_tasks(tmp_path):
    state_files.write(tmp_path / f"{GOAL[7].name}.init", ROWS)
    (tmp_path / "libero_goal").mkdir()
    state_files.write(tmp_path / "libero_goal" / f"{GOAL[8].name}.pruned_init", -ROWS)
    chosen = {row: GOAL[row] for row in (7, 8)}
    states = initial_states.read(str(tmp_path), "libero_goal", chosen)
    np.testing.assert_array_equal(states[7], ROWS)
    np.testing.assert_array_equal(states[8], -ROWS)
    with pytest.raises(FileNotFoundError, match=f"of task 1: neither {GOAL[1].name}"):
        initial_states.read(str(tmp_path), "libero_goal", {1: GOAL[1]})


def test_a_file_holds_the_states_of_one_task(tmp_path):
    path = state_files.write(tmp_path / "mine.init", ROWS)
    (states,) = initial_states.read(str(path), "suite", {3: GOAL[3]}).values()
    np.testing.assert_array_equal(states, ROWS)
    with pytest.raises(ValueError, match="choose one by --tasks"):
        initial_states.read(str(path), "suite", {3: GOAL[3], 4: GOAL[4]})


def test_tasks_take_turns_until_their_states_end():
    states = {7: ROWS[:1], 8: ROWS}
    pairs = [(7, 0), (8, 0), (8, 1), (8, 2)]
    assert initial_states.take_turns(states, None) == pairs
    assert initial_states.take_turns(states, 2) == pairs[:2]
    with pytest.raises(ValueError, match="--episodes=5, but there are 4"):
        initial_states.take_turns(states, 5)


@pytest.mark.slow
def test_restored_episodes_have_waited_ten_steps():
    """As LIBERO's evaluators do: a bowl that is recorded in the air has fallen."""
    scene = scenes.make("libero_goal", tasks=(8,), engine="mujoco")
    task = jnp.full(1, 8, jnp.int32)
    qpos, *_ = region_sampler.sample(
        scene, task, jax.random.split(jax.random.key(0), 1)
    )
    height = scene.joints["akita_black_bowl_1_joint0"][0] + 2
    states = {
        "qpos": qpos.at[:, height].add(0.05),
        "qvel": jnp.zeros((1, scene.model.nv)),
    }
    blank: Any = Environment(*[None] * len(Environment._fields))  # type: ignore
    restoring: Any = initial_states.restoring(blank, scene)
    start = restoring.reset(task, states)
    waited = env.settle(scene, env.restore(scene, task, states["qpos"], states["qvel"]))
    np.testing.assert_array_equal(start.physics.qpos, waited.physics.qpos)
    fallen = float((states["qpos"] - start.physics.qpos)[0, height])
    assert fallen > 0.04 and not start.success.any() and int(start.steps[0]) == 0


def test_states_of_tasks_become_states_of_the_scene():
    """Tasks with other objects: LIBERO's rows differ in width, the scene's do not."""
    suite = tasks.suite("libero_object")
    scene = scenes.make("libero_object", tasks=(0, 1), engine="mujoco")
    keys = jax.random.split(jax.random.key(0), 2)
    states, expected = {}, {}
    for task in (0, 1):
        task_rows = jnp.full(2, task, jnp.int32)
        qpos, *_ = region_sampler.sample(scene, task_rows, keys)
        qvel = jnp.zeros((2, scene.model.nv))
        own = recorded_states.from_scene(scene, task, qpos, qvel)
        states[task] = np.concatenate([np.zeros((2, 1)), *own], axis=1)
        expected[task] = np.asarray(qpos)
    assert len(suite.tasks) > 2
    pairs = initial_states.take_turns(states, 3)
    placed = initial_states.to_scene(scene, states, pairs)
    for row, (task, number) in enumerate(pairs):
        np.testing.assert_array_equal(placed["qpos"][row], expected[task][number])
    assert placed["qvel"].shape == (3, scene.model.nv)
