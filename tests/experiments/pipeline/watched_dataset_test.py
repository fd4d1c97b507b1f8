"""Tests of experiments.pipeline.watched_dataset: the robot as it was recorded."""

import json
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from data_pipelines import rlds
from experiments.pipeline import watched_dataset, watched_episodes
from omnivla_jax.core.types import Demonstration
from omnivla_jax.sim import scene as scenes
from omnivla_jax.sim.assets import panda
from omnivla_jax.world import proprioception

STEPS = 24
ARM = [f"link{number}" for number in range(8)]
HAND = ["right_hand", "right_gripper", "eef", "leftfinger_tip", "rightfinger_tip"]


@pytest.fixture(scope="module")
def scene():
    """In another arena than the one that robots are drawn from."""
    return scenes.make("libero_object", tasks=(0,), engine="mujoco")


@pytest.fixture(scope="module")
def states(scene):
    key = jax.random.key(0)
    return watched_episodes.play_expert(scene, (0,), key, max_steps=STEPS)


@pytest.fixture(scope="module")
def episode(scene, states):
    first = jax.tree.map(lambda leaf: jnp.asarray(leaf[:, 0]), states)
    return Demonstration(
        images=np.zeros((STEPS + 1, 2, 16, 16, 3), np.uint8),
        state=np.asarray(proprioception.policy_state(scene, first)),
        joint_state=np.asarray(first.physics.qpos[:, : panda.NUM_JOINTS]),
        action=np.zeros((STEPS + 1, 7), np.float32),
        instruction="pick up the soup",
        task=0,
    )


@pytest.fixture(scope="module")
def robot():
    return scenes.make(
        watched_dataset.ROBOT_SUITE,
        tasks=(watched_dataset.ROBOT_TASK,),
        engine="mujoco",
    )


@pytest.mark.slow
@pytest.mark.parametrize("has_joints, bodies", [(True, ARM + HAND), (False, HAND)])
def test_bodies_stand_where_they_were(
    scene, states, robot, episode, has_joints, bodies
):
    if not has_joints:
        unknown = np.full_like(episode.joint_state, np.nan)
        episode = episode._replace(joint_state=unknown)
    record = watched_dataset._record(robot, 0, episode, has_pose=True)
    for name in bodies:
        recorded = states.physics.xpos[:, 0, scene.bodies[name]]
        found = record.position[:, robot.bodies[name]]
        # The simulator's poses are one substep behind its joints.
        np.testing.assert_allclose(found, recorded, atol=8e-3, err_msg=name)
    assert np.all(record.position[:, watched_dataset.WORLD] == 0)


@pytest.mark.slow
def test_a_dataset_becomes_a_page_that_says_so(episode, tmp_path):
    rlds.write(tmp_path / "set", [episode] * 3, name="libero_object")
    path = tmp_path / "page.html"
    watched_dataset.write(path, tmp_path / "set", 2)
    source = path.read_text("utf-8")
    data = re.search(r'id="data">(.*?)</script>', source, re.DOTALL)
    assert data and "holds no poses of objects: the arm is drawn" in source
    first, second = json.loads(data[1])["episodes"]
    assert first["title"] == second["title"] == "pick up the soup"
    assert first["outcome"] == "" and first["frames"] == STEPS + 1


def stored(state, sides=(8, 8)):
    """A demonstration in memory of a robot with this state [T, P]."""
    return Demonstration(
        images=np.zeros((len(state), 1, *sides, 3), np.uint8),
        state=np.asarray(state, np.float32),
        joint_state=np.full((len(state), 7), np.nan, np.float32),
        action=np.zeros((len(state), 14), np.float32),
        instruction="fold",
        task=-1,
    )


@pytest.mark.parametrize("size", [14, 8])  # of two arms, of DROID's joints and gripper
def test_of_other_robots_the_pictures_are_shown(size, tmp_path, monkeypatch):
    episode = stored(np.full((3, size), 1.5), sides=(9, 16))
    monkeypatch.setattr(watched_dataset, "detect", lambda path: "mine")
    read = {"mine": lambda path, options: iter([episode])}
    monkeypatch.setattr(watched_dataset, "READERS", read)
    path = tmp_path / "page.html"
    watched_dataset.write(path, tmp_path / "set", 1)
    source = path.read_text("utf-8")
    data = re.search(r'id="data">(.*?)</script>', source, re.DOTALL)
    assert data and "Its state is not LIBERO" in source
    (shown,) = json.loads(data[1])["episodes"]
    assert shown["frames"] == 3 and shown["pictures"]["size"] == 16


def test_a_state_that_is_not_finite_is_named():
    state = np.zeros((3, 8))
    state[2, 1] = np.nan
    with pytest.raises(ValueError, match="Episode 5 .* not finite at frame 2"):
        watched_dataset._has_liberos_state(5, stored(state))
