"""Tests of mjx.active_bodies: a subset has its task's bodies; no other is touched."""

import dataclasses

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from omnivla_jax.core import compile as compilation
from omnivla_jax.sim import env
from omnivla_jax.sim import scene as scenes
from omnivla_jax.sim.engines.mjx import active_bodies

TASKS = (2, 3, 9)  # libero_10: three kitchens of different objects; two share nothing
STEPS = 3
CONTROLLER = ("goal_pos", "goal_mat", "gripper", "fresh")


@pytest.fixture(scope="module")
def mixed():
    return scenes.make("libero_10", tasks=TASKS, engine="mjx")


@pytest.fixture(scope="module")
def tables(mixed):
    return active_bodies.active_bodies(mixed)


@pytest.fixture(scope="module")
def start():
    task = jnp.array(TASKS)
    keys = jax.random.split(jax.random.key(1), len(TASKS))
    # The engines take the same states: C MuJoCo resets without a long compilation.
    other = scenes.make("libero_10", tasks=TASKS, engine="mujoco")
    return compilation.jit(lambda: env.reset(other, task, keys))()


@pytest.fixture(scope="module")
def step(mixed):
    return compilation.jit(lambda state, action: env.step(mixed, state, action))


def test_each_subset_has_its_tasks_bodies(mixed, tables):
    for row in TASKS:
        subset, task = tables.of_task[row], mixed.tasks[row]
        present = tables.present[subset]
        for name in mixed.assets.objects:
            wanted = name in {start.name for start in task.objects}
            assert present[mixed.bodies[name]] == wanted, name
        for name in mixed.assets.fixtures:
            wanted = name in {start.name for start in task.fixtures}
            assert present[mixed.bodies[name]] == wanted, name
        assert present[mixed.bodies["eef"]]
    assert len(tables.slot_objects) == len(TASKS)
    assert tables.slot_objects.shape[1] == max(
        len(mixed.tasks[k].objects) for k in TASKS
    )


def test_tasks_with_the_same_objects_share_a_subset(scene):
    assert len(active_bodies.active_bodies(scene).slot_objects) == 1


@pytest.mark.slow
def test_scattering_undoes_gathering(mixed, tables, start):
    subset = jnp.asarray(tables.of_task)[start.task]
    physics = start.physics
    state = active_bodies.gather(tables, subset, physics)
    size = tables.size
    xpos, xquat = jnp.ones((3, size, len(TASKS))), jnp.ones((4, size, len(TASKS)))
    back = active_bodies.scatter(tables, subset, physics, state, xpos, xquat)
    for name in ("qpos", "qvel", "warmstart"):
        np.testing.assert_array_equal(getattr(back, name), getattr(physics, name))
    lacking = ~tables.present[subset]
    for name in mixed.assets.objects:
        body, (place, _) = mixed.bodies[name], mixed.joints[f"{name}_joint0"]
        inactive = physics.qpos[:, place : place + 3]
        expected = np.where(lacking[:, body, None], inactive, 1.0)
        np.testing.assert_array_equal(back.xpos[:, body], expected)


@pytest.mark.slow
def test_inactive_objects_stay_where_they_are(mixed, start, step):
    state, action = start, jnp.full((len(TASKS), env.ACTION_SIZE), 0.3)
    for _ in range(STEPS):
        state, _ = step(state, action)
    assert not state.diverged.any() and not state.physics.overflow.any()
    before, after = start.physics, state.physics
    for row, task in enumerate(TASKS):
        own = {start.name for start in mixed.tasks[task].objects}
        for name in set(mixed.assets.objects) - own:
            body, (place, _) = mixed.bodies[name], mixed.joints[f"{name}_joint0"]
            rows = slice(place, place + active_bodies.FREE_QPOS)
            inactive = after.qpos[row, rows]
            np.testing.assert_array_equal(inactive, before.qpos[row, rows])
            np.testing.assert_array_equal(after.xpos[row, body], inactive[:3])
    assert float(jnp.abs(after.qpos - before.qpos)[:, :7].max(axis=1).min()) > 0.01


@pytest.mark.slow
def test_a_bad_episode_freezes_alone(start, step):
    """An action that is not finite, and a task that the scene lacks, in MJX."""
    action = jnp.full((len(TASKS), env.ACTION_SIZE), 0.3)
    clean, _ = step(start, action)
    lacking = dataclasses.replace(start, task=start.task.at[1].set(5))
    for state, command in ((start, action.at[1, 6].set(jnp.nan)), (lacking, action)):
        after, outcome = step(state, command)
        np.testing.assert_array_equal(after.diverged, [False, True, False])
        np.testing.assert_array_equal(outcome.truncated, after.diverged)
        assert not outcome.reward.any() and not after.success.any()
        for row, expected in enumerate((clean, start, clean)):
            pair = [
                jax.tree.map(lambda leaf: np.asarray(leaf[row]), one.physics)
                for one in (after, expected)
            ]
            chex.assert_trees_all_equal(*pair)


@pytest.mark.slow
def test_mixed_and_single_task_scenes_step_alike(mixed, start, step):
    """The other tasks' objects change nothing but rounding."""
    row = TASKS.index(9)
    alone = scenes.make("libero_10", tasks=(9,), engine="mjx")
    physics = jax.tree.map(lambda leaf: leaf[row : row + 1], start.physics)
    qpos = np.zeros((1, alone.model.nq), np.float32)
    for name, (ours, _) in alone.joints.items():
        size = active_bodies.FREE_QPOS if name.endswith("_joint0") else 1
        theirs = mixed.joints[name][0]
        qpos[:, ours : ours + size] = physics.qpos[:, theirs : theirs + size]
    places = {name: mixed.posed_bodies.index(name) for name in alone.posed_bodies}
    fixtures = {
        name: (physics.fixture_pos[:, k], physics.fixture_quat[:, k])
        for name, k in places.items()
    }
    # At rest in both, with the controller's goal of a restored state.
    still = jnp.zeros((1, alone.model.nv))
    other = scenes.make("libero_10", tasks=(9,), engine="mujoco")
    begin = env.restore(other, [9], jnp.asarray(qpos), still, fixtures=fixtures)
    goal = {name: getattr(physics, name) for name in CONTROLLER}
    begin = dataclasses.replace(
        begin, physics=dataclasses.replace(begin.physics, **goal)
    )
    calm = dataclasses.replace(
        start.physics,
        qvel=jnp.zeros_like(start.physics.qvel),
        warmstart=jnp.zeros_like(start.physics.warmstart),
    )
    action = jnp.full((len(TASKS), env.ACTION_SIZE), 0.3)
    among, _ = step(dataclasses.replace(start, physics=calm), action)
    run = compilation.jit(lambda state: env.step(alone, state, action[:1])[0])
    end = run(begin).physics
    for name, (place, _) in alone.joints.items():
        theirs = among.physics.qpos[row, mixed.joints[name][0]]
        np.testing.assert_allclose(end.qpos[0, place], theirs, atol=1e-4, err_msg=name)


def test_no_object_at_all():
    """An empty slot is stepped beside a scene that has none to fill it."""
    scene = scenes.make("libero_10", tasks=(2,), engine="mjx")
    bare = dataclasses.replace(
        scene, assets=scene.assets._replace(objects={}), suite=_without(scene)
    )
    assert active_bodies.active_bodies(bare).slot_objects.tolist() == [[0]]


def _without(scene):
    tasks = list(scene.suite.tasks)
    tasks[2] = tasks[2]._replace(objects=())
    return scene.suite._replace(tasks=tuple(tasks))
