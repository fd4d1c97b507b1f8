"""What the simulator's tests share: one scene, and its programs compiled once."""

import chex
import jax
import jax.numpy as jnp
import pytest

from omnivla_jax.core import compile as compilation
from omnivla_jax.sim import env
from omnivla_jax.sim import scene as scenes

BATCH = 4


@pytest.fixture(scope="session")
def scene():
    return scenes.make("libero_goal", engine="mujoco")


@pytest.fixture(scope="session")
def reset(scene):
    @chex.assert_max_traces(n=1)
    def run(task, keys):
        return env.reset(scene, task, keys)

    return compilation.jit(run)


@pytest.fixture(scope="session")
def step(scene):
    @chex.assert_max_traces(n=1)
    def run(state, action):
        return env.step(scene, state, action)

    return compilation.jit(run)


@pytest.fixture(scope="session")
def settled(reset):
    """Four episodes after their waiting steps, one task each."""
    return reset(jnp.arange(BATCH), jax.random.split(jax.random.key(0), BATCH))
