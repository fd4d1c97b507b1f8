"""The expert starts from sampled states and from those that LIBERO recorded."""

import jax
import numpy as np
import pytest

from experiments.benchmarks import experts, recordings
from omnivla_jax.core import compile as compilation
from omnivla_jax.sim import libero_files
from omnivla_jax.sim import scene as scenes

ANCHOR = next(a for a in recordings.anchors() if a.suite == "libero_goal")


@pytest.fixture(scope="module")
def scene():
    return scenes.make(ANCHOR.suite, tasks=(ANCHOR.task,), physics="mujoco")


@pytest.fixture
def states(monkeypatch):
    table = np.stack([ANCHOR.state] * 2)
    monkeypatch.setattr(libero_files, "initial_states", lambda suite, task: table)


def test_it_starts_where_libero_recorded(scene, states):
    begin = experts.recorded(scene, ANCHOR.task, 2)
    state = compilation.jit(begin)(jax.random.key(0))
    for name, (position, _) in ANCHOR.objects.items():
        found = np.asarray(state.physics.xpos[:, scene.bodies[name], :2])
        assert np.abs(found - position[:2]).max() < 8e-3, name


def test_no_more_states_than_were_recorded(scene, states):
    with pytest.raises(ValueError, match="LIBERO recorded 2"):
        experts.recorded(scene, ANCHOR.task, 3)


def test_the_expert_solves_sampled_states(scene):
    begin = experts.sampled(scene, ANCHOR.task, 4)
    success, steps, overflow = experts.play(scene, begin, noise=0.0, seed=0)
    assert success.mean() >= 0.75
    assert (steps[success] > 20).all() and not overflow.any()
