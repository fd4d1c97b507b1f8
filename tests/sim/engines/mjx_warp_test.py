"""Tests of engines.mjx_warp: what it refuses, its models, and steps beside C MuJoCo's.

Warp's kernels run on a CPU as well, slowly: the tests that need them are skipped where
warp-lang is not installed.
"""

import dataclasses
import importlib.util

import chex
import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

from omnivla_jax.core import compile as compilation
from omnivla_jax.sim import env
from omnivla_jax.sim import scene as scenes
from omnivla_jax.sim.engines import mjx_warp
from omnivla_jax.sim.engines import mujoco as c_mujoco

HAS_WARP = importlib.util.find_spec("warp") is not None
needs_warp = pytest.mark.skipif(not HAS_WARP, reason="warp-lang is not installed")
TASKS = (7, 8)
BATCH = len(TASKS)
STEPS = 4


@pytest.fixture
def on_any_machine(monkeypatch):
    """As if the package and a GPU were there."""
    monkeypatch.setattr(mjx_warp, "check_available", lambda: None)


@pytest.fixture
def warp_scene(on_any_machine):
    return scenes.make("libero_goal", tasks=TASKS, engine="mjx_warp")


@pytest.fixture(scope="module")
def c_scene():
    return scenes.make("libero_goal", tasks=TASKS, engine="mujoco")


@pytest.fixture(scope="module")
def start(c_scene):
    """Two settled episodes."""
    keys = jax.random.split(jax.random.key(0), BATCH)
    reset = compilation.jit(lambda keys: env.reset(c_scene, jnp.array(TASKS), keys))
    return reset(keys).physics


@pytest.mark.parametrize(
    "spec, error, words",
    [
        (None, ImportError, r"warp-lang: pip install 'omnivla-rl\[warp\]'"),
        ("installed", ValueError, "NVIDIA GPU.*'cpu': choose engine='mjx' or 'mujoco'"),
    ],
)
def test_what_is_missing_is_one_line(monkeypatch, spec, error, words):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
    with pytest.raises(error, match=words) as caught:
        scenes.make("libero_goal", tasks=TASKS, engine="mjx_warp")
    assert "\n" not in str(caught.value)


def test_it_steps_the_model_of_c_mujoco(warp_scene, c_scene):
    for name in ("geom_size", "dof_damping", "body_mass", "sensor_objid"):
        ours, theirs = (getattr(s.model, name) for s in (warp_scene, c_scene))
        np.testing.assert_array_equal(ours, theirs, err_msg=name)
    assert warp_scene.model.opt.timestep == warp_scene.preset.timestep
    assert warp_scene.contact_pairs == c_scene.contact_pairs


def test_settled_states_have_room(c_scene, start):
    for row in range(BATCH):
        model, data = c_mujoco.single(c_scene, c_scene.model, start, row)
        mujoco.mj_forward(model, data)
        assert 0 < data.ncon < mjx_warp.MAX_CONTACTS / 2
        assert 0 < data.nefc < mjx_warp.MAX_ROWS / 2


@needs_warp
@pytest.mark.slow
def test_models_keep_options_and_rows(warp_scene):
    model = mjx_warp.warp_model(warp_scene, BATCH)
    option = model.whole.opt
    assert float(option.timestep) == pytest.approx(warp_scene.preset.timestep)
    assert (option.iterations, option.ls_iterations) == (2, 50)
    assert option.cone == mujoco.mjtCone.mjCONE_ELLIPTIC
    assert float(option._impl.impratio_invsqrt) == pytest.approx(20**-0.5)
    assert model.blank._impl.naconmax == BATCH * mjx_warp.MAX_CONTACTS
    assert model.blank._impl.njmax == mjx_warp.MAX_ROWS
    np.testing.assert_array_equal(model.velocities[:7], np.arange(7))
    assert model.jointed.nv == len(model.velocities)


@needs_warp
@pytest.mark.slow
def test_steps_are_those_of_c_mujoco(warp_scene, c_scene, start):
    task, everyone = jnp.array(TASKS), jnp.ones(BATCH, bool)
    action = jnp.tile(jnp.array([0.3, 0.5, 0.5, 0.1, 0.0, 0.2, 1.0]), (BATCH, 1))

    @chex.assert_max_traces(n=1)
    def step(physics, active):
        return mjx_warp.control_step(warp_scene, physics, task, action, active)

    program, physics, expected = compilation.jit(step), start, start
    for _ in range(STEPS):
        physics = program(physics, everyone)
        expected = c_mujoco.control_step(c_scene, expected, task, action, everyone)
    for name in ("qpos", "xpos", "xquat", "goal_pos", "goal_mat", "gripper"):
        ours, theirs = (getattr(state, name) for state in (physics, expected))
        np.testing.assert_allclose(ours, theirs, atol=1e-3, err_msg=name)
    np.testing.assert_array_equal(physics.touching, expected.touching)
    assert not physics.overflow.any() and not physics.fresh.any()
    assert float(jnp.abs(physics.qpos - start.qpos)[:, :7].max()) > 0.05
    alone = program(start, jnp.array([True, False]))
    chex.assert_trees_all_equal(
        *(jax.tree.map(lambda x: x[1], s) for s in (alone, start))
    )
    moved = dataclasses.replace(physics, xpos=jnp.zeros_like(physics.xpos))
    again = mjx_warp.forward(warp_scene, moved, task)
    reached = c_mujoco.forward(c_scene, moved, task)
    np.testing.assert_allclose(again.xpos, reached.xpos, atol=1e-5)
    np.testing.assert_array_equal(again.touching, reached.touching)
