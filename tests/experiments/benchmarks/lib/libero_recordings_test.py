"""Tests of recordings that others made: what is read, and what is missing."""

import json
from typing import Any

import numpy as np
import pytest

from experiments.benchmarks.lib import libero_recordings


def write_responses(folder, **arrays):
    """A file of step responses with a state of its own."""
    folder.mkdir(exist_ok=True)
    with open(folder / "osc_step_response.npz", "wb") as file:
        np.savez(file, state=np.arange(79.0), **arrays)


def test_committed_responses_have_their_commands():
    recorded = libero_recordings.step_responses()
    assert set(recorded.responses) == {"x", "y", "z", "rx", "grip"}
    actions = recorded.responses["rx"].actions
    np.testing.assert_array_equal(actions[:5, 3], 1.0)
    assert actions.shape == (20, 7) and not actions[5:, :6].any()
    grip = recorded.responses["grip"]
    np.testing.assert_array_equal(grip.actions[:, 6], [1.0] * 20 + [-1.0] * 20)
    assert grip.quaternions is None
    first = next(r for r in libero_recordings.rest_states() if r.suite == "libero_goal")
    np.testing.assert_array_equal(recorded.state, first.state)


def test_other_commands_come_with_the_recording(tmp_path):
    actions = np.full((3, 7), 0.5, np.float32)
    poses = {"diagonal_0": np.zeros((4, 3)), "diagonal_1": np.zeros((4, 4))}
    write_responses(
        tmp_path, diagonal_actions=actions, suite="libero_10", task=4, **poses
    )
    recorded = libero_recordings.step_responses(tmp_path)
    assert (recorded.suite, recorded.task) == ("libero_10", 4)
    np.testing.assert_array_equal(recorded.responses["diagonal"].actions, actions)
    np.testing.assert_array_equal(recorded.state, np.arange(79.0))


def test_unknown_commands_are_named(tmp_path):
    write_responses(tmp_path, diagonal_0=np.zeros((4, 3)))
    with pytest.raises(ValueError, match="no diagonal_actions"):
        libero_recordings.step_responses(tmp_path)


def test_missing_files_are_named(tmp_path):
    with pytest.raises(ValueError, match="has no osc_step_response.npz"):
        libero_recordings.step_responses(tmp_path)
    with pytest.raises(ValueError, match="rest_states.json and no rest_states.npz"):
        list(libero_recordings.rest_states(tmp_path))
    with pytest.raises(ValueError, match="holds no recordings"):
        list(libero_recordings.episodes(tmp_path))


def test_a_task_may_have_several_rest_states(tmp_path):
    row = {"fixtures": {}, "objects_after10": {"bowl_1": [[1, 2, 3], [0, 0, 0, 1]]}}
    names = ["libero_goal/3/0", "libero_goal/3/7"]
    (tmp_path / "rest_states.json").write_text(json.dumps(dict.fromkeys(names, row)))
    states: dict[str, Any] = {
        name.replace("/", "_"): np.full(4, k) for k, name in enumerate(names)
    }
    with open(tmp_path / "rest_states.npz", "wb") as file:
        np.savez(file, **states)
    first, second = libero_recordings.rest_states(tmp_path)
    assert (
        (first.suite, first.task) == (second.suite, second.task) == ("libero_goal", 3)
    )
    assert (first.state[0], second.state[0]) == (0, 1)
    np.testing.assert_array_equal(first.objects["bowl_1"][1], [1, 0, 0, 0])  # wxyz
    del states["libero_goal_3_7"]
    with open(tmp_path / "rest_states.npz", "wb") as file:
        np.savez(file, **states)
    with pytest.raises(ValueError, match="has no libero_goal_3_7"):
        list(libero_recordings.rest_states(tmp_path))
