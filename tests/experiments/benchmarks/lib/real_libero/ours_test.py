"""Our episodes go on after a success, and repeat under their own actions."""

import numpy as np
import pytest

from experiments.benchmarks.lib import libero_recordings
from experiments.benchmarks.lib.libero_recordings import NEVER
from experiments.benchmarks.lib.real_libero import actions, ours
from experiments.benchmarks.lib.real_libero.recordings import Starts, Trajectory
from omnivla_jax.sim import scene as scenes

TASK = 1  # put the bowl on the stove

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def scene():
    return scenes.make("libero_goal", tasks=(TASK,), engine="mujoco")


@pytest.fixture(scope="module")
def starts():
    rest = next(
        rest
        for rest in libero_recordings.rest_states()
        if (rest.suite, rest.task) == ("libero_goal", TASK)
    )
    states = np.stack([rest.state] * 2)
    fixtures = {
        n: (np.stack([p] * 2), np.stack([q] * 2)) for n, (p, q) in rest.fixtures.items()
    }
    return Starts(states, fixtures, states[:, 1:42], ((), ()))


@pytest.fixture(scope="module")
def expert(scene, starts):
    return ours.play_expert(scene, TASK, starts)


def test_actions_go_on_after_the_success(expert):
    for episode in expert:
        assert 20 < episode.success_step and not episode.diverged
        assert len(episode.actions) == episode.success_step + ours.TAIL
        assert episode.qpos.shape == (len(episode.actions) + 1, 41)


def test_its_own_actions_repeat_an_episode(scene, starts, expert):
    sequences = [expert[0].actions, expert[1].actions[:10]]
    again = ours.play_actions(scene, TASK, starts, sequences)
    assert again[0].success_step == expert[0].success_step
    assert again[1].success_step == NEVER and len(again[1].qpos) == 11
    np.testing.assert_allclose(again[0].qpos, expert[0].qpos, atol=1e-5)


def test_a_moved_bowl_is_the_first_difference(scene, expert):
    theirs = expert[0].qpos.astype(float)
    theirs[15:, 9] += 0.05  # the bowl is libero_goal's first object
    touches = {("akita_black_bowl_1_main", "robot0_link6"): [(14, 20)]}
    real = Trajectory(expert[0].actions, theirs, NEVER, touches)
    row = actions.compare(scene, TASK, expert[0], real)
    found = row["first_difference"]
    assert (found["name"], found["step"]) == ("akita_black_bowl_1", 15)
    assert found["touched_by"] == ("robot0_link6",) and row["hand_mm"] == 0.0
    assert row["arm"] == ["14 robot0_link6 akita_black_bowl_1_main"]
