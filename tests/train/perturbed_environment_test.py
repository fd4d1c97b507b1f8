"""Perturbed episodes: none is today's environment, and any kinds are one program."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from omnivla_jax.core import compile as compilation
from omnivla_jax.policy.config import preset
from omnivla_jax.sim import scene as scenes
from omnivla_jax.train import environment, perturbed_environment
from omnivla_jax.train.perturbed_environment import PerturbedStart
from omnivla_jax.world.perturbations import kinds, layout, perturbation

COUNT = len(kinds.KINDS)
TASK = np.resize([1, 7, 8], COUNT + 1).astype(np.int32)
KEYS = jax.random.split(jax.random.key(3), COUNT + 1)
ACTION = jnp.tile(jnp.array([0.2, 0.0, -0.3, 0.0, 0.1, 0.0, 1.0]), (COUNT + 1, 1))
SIZE = 16


def play(simulator):
    """Reset, two steps, and what is seen after them."""

    def run(start):
        state = simulator.reset(TASK, start)
        for _ in range(2):
            state, _ = simulator.step(state, ACTION)
        return state, simulator.observe(state, state.task)

    return compilation.jit(run)


@pytest.fixture(scope="module")
def scene():
    return scenes.make(
        "libero_goal", tasks=(1, 7, 8), engine="mujoco", extras=layout.DISTRACTORS
    )


@pytest.fixture(scope="module")
def config(scene):
    return perturbed_environment.with_room(preset("debug"), scene)


@pytest.fixture(scope="module")
def perturbed(scene, config):
    return perturbed_environment.simulator(scene, config, size=SIZE)


@pytest.fixture(scope="module")
def program(scene, perturbed):
    played = play(perturbed)

    @jax.jit
    def draw(active, severity):
        return perturbation.draw(scene, KEYS, active, severity)

    def run(active, severity):
        result = played(PerturbedStart(KEYS, draw(active, severity)))
        assert played._cache_size() == 1  # kinds and severities compile nothing
        return result

    return run


@pytest.fixture(scope="module")
def nothing(program):
    return program(jnp.zeros((len(KEYS), COUNT), bool), 1.0)


@pytest.fixture(scope="module")
def everything(program):
    return program(kinds.one_hot(jnp.arange(-1, COUNT)), 1.0)


def test_unperturbed_episodes_are_the_plain_ones(scene, config, nothing):
    plain = environment.simulator(scene, config, size=SIZE)
    state, seen = play(plain)(KEYS)
    bare = dataclasses.replace(nothing[0], perturbation=None)
    for own, other in zip(
        jax.tree.leaves((state, seen)), jax.tree.leaves((bare, nothing[1]))
    ):
        np.testing.assert_array_equal(own, other)


def test_severity_zero_is_no_perturbation(program, nothing):
    every = program(jnp.ones((len(KEYS), COUNT), bool), 0.0)
    for own, other in zip(jax.tree.leaves(every[1]), jax.tree.leaves(nothing[1])):
        np.testing.assert_array_equal(own, other)


def test_every_kind_changes_what_it_is_about(nothing, everything):
    (plain, seen), (state, changed) = nothing, everything
    agent = (np.asarray(seen.images) != changed.images)[:, 0].any((1, 2, 3))
    wrist = (np.asarray(seen.images) != changed.images)[:, 1].any((1, 2, 3))
    words = (np.asarray(seen.tokens) != changed.tokens).any(1)
    physics = (np.asarray(plain.physics.qpos) != state.physics.qpos).any(1)
    for row, name in enumerate(("", *kinds.KINDS)):
        dimension = name.split(".")[0]
        assert words[row] == (dimension == "language"), name
        assert physics[row] == (dimension in ("robot", "layout")), name
        if dimension in ("camera", "noise"):
            assert agent[row] and not wrist[row], name
        if dimension in ("", "language"):
            assert not agent[row] and not wrist[row], name
        if dimension in ("robot", "layout", "background") or name == "light.diffuse":
            assert agent[row], name
    assert not state.diverged.any()
