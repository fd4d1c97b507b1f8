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
    record = watched_dataset._record(robot, 0, episode)
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


def test_states_that_cannot_be_drawn_are_refused(robot):
    other = Demonstration(
        images=np.zeros((3, 1, 8, 8, 3), np.uint8),
        state=np.zeros((3, 14), np.float32),
        joint_state=np.zeros((3, 7), np.float32),
        action=np.zeros((3, 14), np.float32),
        instruction="fold",
        task=-1,
    )
    with pytest.raises(ValueError, match=r"Episode 4 has a state of \(14,\) numbers"):
        watched_dataset._record(robot, 4, other)
    broken = np.zeros((3, 8), np.float32)
    broken[2, 1] = np.nan
    with pytest.raises(ValueError, match="Episode 5 .* not finite at frame 2"):
        watched_dataset._record(robot, 5, other._replace(state=broken))
