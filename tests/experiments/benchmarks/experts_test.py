"""The expert starts from sampled states and from those that LIBERO recorded."""

import jax
import numpy as np
import pytest

from experiments.benchmarks import experts
from experiments.benchmarks.lib import libero_recordings
from omnivla_jax.core import compile as compilation
from omnivla_jax.sim import scene as scenes
from omnivla_jax.sim.libero import files

# Two tasks of one arena whose recorded states differ in width.
TASKS = (0, 4)
RECORDED = [a for a in libero_recordings.anchors() if a.suite == "libero_10"]
ANCHORS = [anchor for anchor in RECORDED if anchor.task in TASKS]
COPIES = 2


@pytest.fixture(scope="module")
def scene():
    return scenes.make("libero_10", tasks=TASKS, physics="mujoco")


@pytest.fixture
def states(monkeypatch, scene):
    tables = {
        scene.suite.tasks[anchor.task].name: np.stack([anchor.state] * COPIES)
        for anchor in ANCHORS
    }
    monkeypatch.setattr(files, "initial_states", lambda _, name: tables[name])


def test_it_starts_where_libero_recorded(scene, states):
    assert ANCHORS[0].state.shape != ANCHORS[1].state.shape
    state = compilation.jit(experts.recorded(scene, COPIES))(jax.random.key(0))
    assert state.task.tolist() == [a.task for a in ANCHORS for _ in range(COPIES)]
    for first, anchor in zip((0, COPIES), ANCHORS):
        places = np.asarray(state.physics.xpos[first : first + COPIES])
        for name, (position, _) in anchor.objects.items():
            found = places[:, scene.bodies[name], :2]
            assert np.abs(found - position[:2]).max() < 8e-3, (anchor.task, name)


def test_no_more_states_than_were_recorded(scene, states):
    with pytest.raises(ValueError, match="LIBERO recorded 2"):
        experts.recorded(scene, COPIES + 1)


def test_the_expert_solves_sampled_states_of_mixed_tasks(scene):
    played = experts.play(scene, experts.sampled(scene, 4), noise=0.0, seed=0)
    assert played.task.tolist() == [a.task for a in ANCHORS for _ in range(4)]
    assert played.success.mean() >= 0.75
    assert (played.steps[played.success] > 20).all() and not played.overflow.any()
