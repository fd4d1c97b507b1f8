"""The expert starts from sampled states and from those that LIBERO recorded."""

import jax
import numpy as np
import pytest

from experiments.benchmarks import expert_success
from experiments.benchmarks.lib import libero_recordings
from omnivla_jax.core import compile as compilation
from omnivla_jax.sim import scene as scenes
from omnivla_jax.sim.libero import files

# Two tasks of one arena whose recorded states differ in width.
TASKS = (0, 4)
RECORDED = [a for a in libero_recordings.rest_states() if a.suite == "libero_10"]
REST_STATES = [rest for rest in RECORDED if rest.task in TASKS]
COPIES = 2


@pytest.fixture(scope="module")
def scene():
    return scenes.make("libero_10", tasks=TASKS, engine="mujoco")


@pytest.fixture
def states(monkeypatch, scene):
    tables = {
        scene.suite.tasks[rest.task].name: np.stack([rest.state] * COPIES)
        for rest in REST_STATES
    }
    monkeypatch.setattr(files, "initial_states", lambda _, name: tables[name])


def test_it_starts_where_libero_recorded(scene, states):
    assert REST_STATES[0].state.shape != REST_STATES[1].state.shape
    state = compilation.jit(expert_success.recorded_reset(scene, COPIES))(
        jax.random.key(0)
    )
    assert state.task.tolist() == [a.task for a in REST_STATES for _ in range(COPIES)]
    for first, rest in zip((0, COPIES), REST_STATES):
        places = np.asarray(state.physics.xpos[first : first + COPIES])
        for name, (position, _) in rest.objects.items():
            found = places[:, scene.bodies[name], :2]
            assert np.abs(found - position[:2]).max() < 8e-3, (rest.task, name)


def test_no_more_states_than_were_recorded(scene, states):
    with pytest.raises(ValueError, match="LIBERO recorded 2"):
        expert_success.recorded_reset(scene, COPIES + 1)


@pytest.mark.slow
def test_the_expert_solves_sampled_states_of_mixed_tasks(scene):
    result = expert_success.run_episodes(
        scene, expert_success.sampled_reset(scene, 4), noise=0.0, seed=0
    )
    assert result.task.tolist() == [a.task for a in REST_STATES for _ in range(4)]
    assert result.success.mean() >= 0.75
    assert (result.steps[result.success] > 20).all() and not result.overflow.any()
