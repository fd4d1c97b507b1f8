"""Tests of omnivla_jax.sim.reward: worked distances, each task's own target."""

import dataclasses

import jax.numpy as jnp
import numpy as np

from omnivla_jax.sim import panda, reward
from omnivla_jax.sim.scene import goal_body


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
    value = reward.alignment(scene, state)
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
        near.append(reward.alignment(scene, state))
    np.testing.assert_allclose(np.stack(near), 1.0, atol=1e-5)
