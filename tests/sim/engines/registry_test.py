"""Tests of omnivla_jax.sim.engines.registry: engines by name, reached by scenes."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from omnivla_jax.sim import env
from omnivla_jax.sim import scene as scenes
from omnivla_jax.sim.engines import mujoco, registry
from omnivla_jax.sim.engines.base import Engine


def test_engines_are_listed_by_their_names():
    assert set(registry.ENGINES) == {"mujoco", "mjx", "mjx_warp"}
    for name, engine in registry.ENGINES.items():
        assert engine.name == name and registry.select(name) is engine


def test_auto_is_mujoco_on_a_cpu():
    assert registry.select("auto").name == "mujoco"


def test_an_unknown_engine_names_the_known():
    with pytest.raises(ValueError, match="'ode'.*auto.*mjx.*mujoco"):
        registry.select("ode")


@pytest.mark.slow
def test_another_engine_steps_a_scene(monkeypatch):
    """An engine without physics: the hand's goal follows, and time stands still."""

    def control_step(scene, physics, task, action, active):
        assert scene.engine == "still" and task.shape == active.shape
        goal_pos = physics.goal_pos + action[:, :3] * active[:, None]
        return dataclasses.replace(physics, goal_pos=goal_pos)

    still = Engine(
        name="still",
        compile=mujoco.compile_model,
        control_step=control_step,
        forward=lambda scene, physics, task: physics,
        supports_fusion=True,
    )
    monkeypatch.setitem(registry.ENGINES, "still", still)
    scene = scenes.make("libero_goal", tasks=(3,), engine="still")
    state = env.reset(scene, [3, 3], jax.random.split(jax.random.key(0), 2))
    after, _ = env.step(scene, state, jnp.full((2, env.ACTION_SIZE), 0.25))
    np.testing.assert_array_equal(after.physics.qpos, state.physics.qpos)
    moved = after.physics.goal_pos - state.physics.goal_pos
    np.testing.assert_allclose(moved, 0.25, atol=1e-6)
