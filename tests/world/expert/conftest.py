"""Fixtures of the expert's tests: placed bodies and the command of a waypoint."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from omnivla_jax.world.expert import servo, table


@pytest.fixture(scope="session")
def still(settled):
    """One settled episode of libero_goal."""
    return jax.tree.map(lambda leaf: leaf[:1], settled)


@pytest.fixture(scope="session")
def pose(scene):
    """A copy of a state with one body somewhere else, or turned (scipy, xyzw)."""

    def place(state, body, *, position=None, turn=None):
        physics, index = state.physics, scene.bodies[body]
        if position is not None:
            xpos = physics.xpos.at[:, index].set(jnp.asarray(position))
            physics = dataclasses.replace(physics, xpos=xpos)
        if turn is not None:
            quaternion = jnp.asarray(np.roll(turn.as_quat(), 1), jnp.float32)
            xquat = physics.xquat.at[:, index].set(quaternion)
            physics = dataclasses.replace(physics, xquat=xquat)
        return dataclasses.replace(state, physics=physics)

    return place


@pytest.fixture(scope="session")
def follow(scene):
    """One step towards a waypoint: the action [7] and the expert's next state."""

    def step(state, waypoint, expert_state=None):
        row = jax.tree.map(lambda c: c[:, 0], table.stack_skills(scene, [(waypoint,)]))
        before = servo.init(state) if expert_state is None else expert_state
        action, after = servo.follow(scene, state, before, row)
        return np.asarray(action[0]), jax.tree.map(lambda leaf: leaf[0], after)

    return step
