"""Every LIBERO task has a skill, of bodies that it has; some are run to the end."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from omnivla_jax.core import compile as compilation
from omnivla_jax.sim import env
from omnivla_jax.sim import scene as scenes
from omnivla_jax.sim.assets import panda
from omnivla_jax.sim.assets.objects import CATEGORIES
from omnivla_jax.sim.libero import files, tasks
from omnivla_jax.world import expert
from omnivla_jax.world.expert import waypoints
from omnivla_jax.world.expert.skills import SKILLS, groceries

FORTY = [(suite, row) for suite in files.BENCHMARK_SUITES for row in range(10)]


@pytest.mark.parametrize("suite, row", FORTY)
def test_a_skill_names_only_bodies_of_its_task(suite, row):
    task = tasks.suite(suite).tasks[row]
    held = {panda.EEF_BODY}
    for start in (*task.objects, *task.fixtures):
        parts = CATEGORIES[start.category].parts
        held |= {start.name} | {f"{start.name}_{p.name}" for p in parts if p.name}
    assert waypoints.body_names(SKILLS[task.instruction]) <= held


def test_there_is_no_skill_beyond_the_forty():
    known = {task.instruction for s, _ in FORTY for task in tasks.suite(s).tasks}
    assert set(SKILLS) == known


def rotated(quaternion):
    """scipy's rotation of a quaternion wxyz."""
    return Rotation.from_quat(np.roll(quaternion, -1))


@pytest.mark.parametrize("name", list(groceries.GROCERIES))
def test_groceries_reach_as_low_as_their_boxes(name):
    """As LIBERO stands them up, within 4 mm."""
    category = name.replace(" ", "_")
    upright = rotated(CATEGORIES[category].init_rotation.quaternion)
    ends = []
    for shape in CATEGORIES[category].parts[0].collision:
        reach = np.abs((upright * rotated(shape.quaternion)).as_matrix()[2])
        ends.append(upright.apply(shape.position)[2] - reach @ np.array(shape.size))
    assert groceries.GROCERIES[name].low == pytest.approx(-min(ends), abs=0.004)


@pytest.mark.parametrize("instruction", list(groceries.ON_THE_TABLE))
def test_fingers_stand_across_the_way_aside(instruction):
    """Two things lie in one basket, on opposite sides; no finger meets the rim."""
    there = [w for w in SKILLS[instruction] if w.anchor == "basket_1"]
    places = {waypoint.offset[:2] for waypoint in there}
    assert len(places) == 2 and np.allclose(np.sum(list(places), axis=0), 0.0)
    for waypoint in there:
        fingers = Rotation.from_euler("z", waypoint.hand[2]).apply((0.0, 1.0, 0.0))
        assert fingers[:2] @ waypoint.offset[:2] == pytest.approx(0.0, abs=1e-9)
        assert waypoint.frame == waypoints.FIXED and waypoint.hand[:2] == (0.0, 0.0)


def run_expert(scene, task, steps):
    """Whether each environment succeeded within `steps`, from sampled states."""

    def run(keys):
        def control(carry, _):
            state, expert_state = carry
            action, expert_state = expert.act(scene, state, expert_state)
            state, _ = env.step(scene, state, action)
            return (state, expert_state), None

        start = env.reset(scene, task, keys)
        (state, _), _ = jax.lax.scan(control, (start, expert.init(start)), length=steps)
        return state.success

    keys = jax.random.split(jax.random.key(7), task.shape[0])
    return np.asarray(compilation.jit(run)(keys))


@pytest.mark.slow
def test_libero_goal_is_solved(scene):
    success = run_expert(scene, jnp.arange(10), scene.suite.horizon)
    assert success.mean() >= 0.9, success


@pytest.mark.slow
@pytest.mark.parametrize(
    "suite, row, steps",
    [("libero_spatial", 2, 110), ("libero_object", 2, 120), ("libero_10", 5, 100)],
)
def test_a_task_of_every_other_suite_is_solved(suite, row, steps):
    scene = scenes.make(suite, tasks=(row,), engine="mujoco")
    assert run_expert(scene, jnp.full(4, row), steps).mean() >= 0.75
