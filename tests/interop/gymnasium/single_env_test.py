"""Tests of omnivla_jax.interop.gymnasium.LiberoEnv by gymnasium's own checker."""

import importlib

import numpy as np
import pytest

gymnasium = pytest.importorskip("gymnasium")
importlib.import_module("omnivla_jax.interop.gymnasium")
env_checker = importlib.import_module("gymnasium.utils.env_checker")

SETTINGS = {"tasks": (7,), "image_size": 16, "render_size": 16, "horizon": 2}


@pytest.mark.slow
def test_gymnasium_finds_no_fault():
    env = gymnasium.make(
        "OmniVLA/libero_goal-v0", render_mode="rgb_array", engine="mujoco", **SETTINGS
    )
    env_checker.check_env(env.unwrapped, skip_render_check=True)
    observation, info = env.reset(seed=3)
    assert env.observation_space.contains(observation)
    assert info["instruction"] == "turn on the stove" and info["steps"] == 0
    env.step(env.action_space.sample())
    *_, terminated, truncated, info = env.step(np.zeros(7, np.float32))
    assert (terminated, truncated) == (False, True) and info["steps"] == 2
    assert env.render().shape == (16, 16, 3)
    env.close()
