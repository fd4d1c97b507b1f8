"""HDF5 files as LIBERO's: order of observations, orientation, names, attributes."""

import json

import h5py
import numpy as np
import pytest

from data_pipelines.writers import WRITERS
from tests.data_pipelines.rlds_test import make_episode

TEXT = "turn on the stove"
EPISODES = [
    make_episode(seed, length=4)._replace(instruction=TEXT, task=3) for seed in range(2)
]


@pytest.fixture
def opened(tmp_path):
    WRITERS["hdf5"].write(tmp_path, EPISODES, name="libero_goal")
    with h5py.File(tmp_path / "libero_goal/turn_on_the_stove_demo.hdf5") as file:
        yield file


def test_observations_follow_their_actions_upside_down(opened):
    for number, episode in enumerate(EPISODES):
        group = opened[f"data/demo_{number}"]
        assert group["actions"].shape == (3, 7) and group["actions"].dtype == np.float64
        assert "states" not in group  # which these demonstrations lack
        np.testing.assert_array_equal(group["actions"], episode.action[:3])
        for view, key in enumerate(("agentview_rgb", "eye_in_hand_rgb")):
            expected = episode.images[1:, view, ::-1]
            np.testing.assert_array_equal(group[f"obs/{key}"], expected)
        np.testing.assert_array_equal(group["obs/ee_states"], episode.state[1:, :6])
        np.testing.assert_array_equal(group["obs/ee_ori"], episode.state[1:, 3:6])
        np.testing.assert_array_equal(
            group["obs/gripper_states"], episode.state[1:, 6:]
        )


def test_states_lie_before_their_actions(tmp_path):
    rows = np.random.default_rng(0).normal(size=(4, 30))
    episode = EPISODES[0]._replace(simulator_state=rows)
    for layout, length in (("hdf5", 3), ("hdf5_obs_before_action", 4)):
        WRITERS[layout].write(tmp_path / layout, [episode], name="libero_goal")
        file = tmp_path / layout / "libero_goal/turn_on_the_stove_demo.hdf5"
        with h5py.File(file) as opened:
            group = opened["data/demo_0"]
            np.testing.assert_array_equal(group["states"], rows[:length])
            np.testing.assert_array_equal(group.attrs["init_state"], rows[0])
            assert group["states"].dtype == np.float64
    short = episode._replace(simulator_state=rows[:3])
    with pytest.raises(ValueError, match=r"simulator_state \(3, 30\); expected \(4"):
        WRITERS["hdf5"].write(tmp_path / "short", [short], name="libero_goal")


def test_attributes_are_those_of_libero_and_robomimic(opened):
    attributes = opened["data"].attrs
    assert (attributes["num_demos"], attributes["total"]) == (2, 6)
    assert attributes["macros_image_convention"] == "opengl"
    assert json.loads(attributes["problem_info"])["language_instruction"] == TEXT
    environment = json.loads(attributes["env_args"])
    assert environment["type"] == 1  # robosuite, in robomimic
    assert environment["env_kwargs"]["control_freq"] == 20
    for group in opened["data"].values():
        assert group.attrs["num_samples"] == 3
        assert list(group["dones"]) == list(group["rewards"]) == [0, 0, 1]


@pytest.mark.parametrize(
    "task, file",
    [
        ("KITCHEN_SCENE3_turn_on_the_stove", "KITCHEN_SCENE3_turn_on_the_stove_demo"),
        ("another_task", "another_task"),  # the name would not say the instruction
    ],
)
def test_files_are_named_after_their_task(tmp_path, task, file):
    folder = WRITERS["hdf5"].write(
        tmp_path, EPISODES, name="libero_90", task_names={3: task}
    )
    assert [path.name for path in folder.iterdir()] == [f"{file}.hdf5"]


def test_instructions_of_one_spelling_have_two_files(tmp_path):
    texts = ("put it – here", "put it - here")
    episodes = [EPISODES[0]._replace(instruction=text) for text in texts]
    folder = WRITERS["hdf5"].write(tmp_path, episodes, name="mine")
    assert len(list(folder.iterdir())) == 2


def test_a_single_step_has_no_place(tmp_path):
    short = make_episode(0, length=1)
    with pytest.raises(ValueError, match="hdf5_obs_before_action"):
        WRITERS["hdf5"].write(tmp_path, [short], name="libero_goal")
    WRITERS["hdf5_obs_before_action"].write(tmp_path, [short], name="libero_goal")
