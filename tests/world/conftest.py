"""Fixtures of the world's tests: one scene, its visuals and settled episodes."""

import jax
import jax.numpy as jnp
import pytest

from omnivla_jax.core import compile as compilation
from omnivla_jax.sim import env
from omnivla_jax.sim import scene as scenes
from omnivla_jax.world import visual_scene

SCRIPTED = (1, 5, 6, 7, 8)


@pytest.fixture(scope="session")
def scene():
    return scenes.make("libero_goal", engine="mujoco")


@pytest.fixture(scope="session")
def visuals(scene):
    return visual_scene.make(scene)


@pytest.fixture(scope="session")
def settled(scene):
    """Four episodes of every task in SCRIPTED after their waiting steps."""
    task = jnp.array(SCRIPTED * 4)
    reset = compilation.jit(lambda keys: env.reset(scene, task, keys))
    return reset(jax.random.split(jax.random.key(7), task.shape[0]))
