"""Tests of what is kept of the real LIBERO, against a stand-in for the package."""

import sys
import types

import numpy as np
import pytest

from experiments.benchmarks.lib import libero_recordings
from experiments.benchmarks.lib.libero_recordings import NEVER
from experiments.benchmarks.lib.real_libero.recordings import Recorder
from tests.helpers import stand_in_libero

STATES = np.array([[0.0, 0.125, 0, 0], [0.0, -9.0, 0, 0], [0.0, 0.25, 0, 0]])
TASK = types.SimpleNamespace(name="turn_on_the_stove")
ABSENT = "no_such/python"


@pytest.fixture
def recorder(tmp_path, monkeypatch):
    package = stand_in_libero.write(tmp_path)
    stand_in_libero.write_states(package, f"libero_goal/{TASK.name}", STATES)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.delenv("LIBERO_CONFIG_PATH", raising=False)
    with Recorder(tmp_path / "kept", sys.executable) as opened:
        yield opened


def again(tmp_path):
    """A recorder of the same folder where no LIBERO is installed."""
    return Recorder(tmp_path / "kept", ABSENT)


def forward(steps=8, speed=0.25):
    """Actions that move the stand-in's first position; beyond 1 it has succeeded."""
    actions = np.zeros((steps, 7), np.float32)
    actions[:, 0] = speed
    return actions


def test_starts_are_kept(recorder, tmp_path):
    made = recorder.starts("libero_goal", 7, TASK, 2)
    np.testing.assert_array_equal(made.states, STATES[:2])
    np.testing.assert_array_equal(made.rest, STATES[:2, 1:3])  # waiting moves nothing
    np.testing.assert_array_equal(made.qpos(), STATES[:2, 1:3])
    np.testing.assert_array_equal(made.qvel(), STATES[:2, 3:])
    np.testing.assert_array_equal(made.fixtures["stove"][0], [[6.0, 7.0, 8.0]] * 2)
    assert made.touches == ((("robot0_link5", "stove_main"),),) * 2
    kept = again(tmp_path).starts("libero_goal", 7, TASK, 1)
    np.testing.assert_array_equal(kept.states, STATES[:1])
    assert kept.touches == made.touches[:1]


def test_more_starts_than_kept_are_recorded_again(recorder, tmp_path):
    recorder.starts("libero_goal", 7, TASK, 1)
    assert len(recorder.starts("libero_goal", 7, TASK, 3).states) == 3
    with pytest.raises(ValueError, match="holds 3 initial states, not 4.*--episodes"):
        recorder.starts("libero_goal", 7, TASK, 4)


def test_episodes_end_at_their_success_and_are_kept(recorder, tmp_path):
    starts = recorder.starts("libero_goal", 7, TASK, 2)
    made = recorder.episodes(
        "libero_goal", 7, TASK, starts, [forward(), forward()], name="actions_fast"
    )
    assert [episode.success_step for episode in made] == [4, NEVER]
    assert [len(episode.qpos) for episode in made] == [5, 9]
    np.testing.assert_allclose(made[0].qpos[:, 0], 0.125 + 0.25 * np.arange(5))
    assert made[1].touches == {("robot0_link5", "stove_main"): [(0, 8)]}
    kept = again(tmp_path).recorded("libero_goal", 7, name="actions_fast")
    for one, other in zip(made, kept):
        assert one.success_step == other.success_step
        np.testing.assert_array_equal(one.actions, other.actions)
        np.testing.assert_array_equal(one.qpos, other.qpos)
        assert {p: [list(s) for s in spans] for p, spans in one.touches.items()} == {
            p: [list(s) for s in spans] for p, spans in other.touches.items()
        }


def test_only_changed_actions_are_played_again(recorder, tmp_path):
    starts = recorder.starts("libero_goal", 7, TASK, 2)
    arguments = ("libero_goal", 7, TASK, starts)
    recorder.episodes(*arguments, [forward(), forward()], name="a")
    offline = again(tmp_path)
    assert len(offline.episodes(*arguments, [forward()], name="a")) == 1
    assert len(offline.recorded("libero_goal", 7, name="a")) == 2  # nothing is lost
    assert offline.episodes(*arguments, [forward(), forward()], name="a")
    with pytest.raises(ValueError, match="make libero-env"):
        offline.episodes(*arguments, [forward(), forward(speed=0.5)], name="a")
    changed = recorder.episodes(*arguments, [forward(), forward(speed=2)], name="a")
    assert [episode.success_step for episode in changed] == [4, 6]
    kept = again(tmp_path).recorded("libero_goal", 7, name="a")
    assert kept[1].success_step == 6


def test_replay_reads_the_recorded_episodes(recorder, tmp_path):
    starts = recorder.starts("libero_goal", 7, TASK, 2)
    recorder.episodes("libero_goal", 7, TASK, starts, [forward()] * 2, name="a")
    first, second = libero_recordings.episodes(tmp_path / "kept" / "a")
    assert (first.suite, first.task) == ("libero_goal", 7)
    assert (first.success_step, second.success_step) == (14, NEVER)  # ten of waiting
    assert first.actions.shape == (18, 7)
    np.testing.assert_array_equal(first.actions[:10, 6], -1.0)
    np.testing.assert_array_equal(second.qpos, STATES[1, 1:3])
    np.testing.assert_array_equal(first.fixtures["stove"][0], [6.0, 7.0, 8.0])


def test_what_is_missing_is_named(tmp_path):
    with pytest.raises(ValueError, match="make libero-env"):
        again(tmp_path).starts("libero_goal", 7, TASK, 1)
    with pytest.raises(ValueError, match="--actions=expert"):
        again(tmp_path).recorded("libero_goal", 7, name="actions_fast")


def test_arrays_are_made_once(tmp_path):
    calls = []

    def make():
        calls.append(1)
        return {"a": np.arange(3)}

    for _ in range(2):
        arrays = again(tmp_path).cached("travel/x.npz", make)
        np.testing.assert_array_equal(arrays["a"], [0, 1, 2])
    assert len(calls) == 1
