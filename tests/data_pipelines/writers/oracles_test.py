"""Other people's readers on what we write; each is skipped where it is not installed.

lerobot 0.3.3 reads v2.1, lerobot 0.4 reads v3.0 (`pip install lerobot==0.3.3`, in an
environment of its own), robomimic 0.3.0 the HDF5 files, `datasets` all tables.
"""

from importlib import metadata

import numpy as np
import pytest

from data_pipelines.writers import WRITERS
from tests.data_pipelines.rlds_test import make_episode

HORIZON = 3
EPISODES = [make_episode(seed, length=3 + seed) for seed in range(3)]


def turned(images):
    """Upright pictures [..., V, S, S, 3] as openpi holds them."""
    return images[..., ::-1, :]


def test_lerobot_reads_frames_tasks_and_padding(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    dataset_module = pytest.importorskip("lerobot.datasets.lerobot_dataset")
    old = metadata.version("lerobot") < "0.4"
    layout = "lerobot" if old else "lerobot_v30"
    root = WRITERS[layout].write(tmp_path, EPISODES, name="libero_goal")
    dataset = dataset_module.LeRobotDataset(
        "ours/libero_goal",
        root=root,
        delta_timestamps={"actions": [step / 20 for step in range(HORIZON)]},
    )
    assert dataset.num_episodes == 3 and dataset.fps == 20
    index = 0
    for number, episode in enumerate(EPISODES):
        last = len(episode.action) - 1
        for t in range(last + 1):
            item = dataset[index]
            index += 1
            assert int(item["episode_index"]) == number
            assert int(item["frame_index"]) == t
            assert item["task"] == episode.instruction
            for view, key in enumerate(("image", "wrist_image")):
                seen = np.moveaxis(np.asarray(item[key]) * 255, 0, -1)
                expected = turned(episode.images[t, view])
                np.testing.assert_allclose(seen, expected, atol=1e-3)
            np.testing.assert_array_equal(item["state"], episode.state[t])
            rows = np.minimum(t + np.arange(HORIZON), last)
            np.testing.assert_array_equal(item["actions"], episode.action[rows])
            padded = list(t + np.arange(HORIZON) > last)
            assert item["actions_is_pad"].tolist() == padded
    assert index == len(dataset)
    states = np.concatenate([episode.state for episode in EPISODES])
    np.testing.assert_allclose(
        dataset.meta.stats["state"]["mean"], states.mean(axis=0), atol=1e-6
    )
    np.testing.assert_allclose(
        dataset.meta.stats["state"]["std"], states.std(axis=0), atol=1e-6
    )


@pytest.mark.parametrize("layout", ["lerobot", "lerobot_v30"])
def test_datasets_knows_pictures_and_vectors(tmp_path, layout):
    datasets = pytest.importorskip("datasets")
    root = WRITERS[layout].write(tmp_path, EPISODES, name="libero_goal")
    tables = sorted(str(path) for path in root.glob("data/*/*.parquet"))
    cache = str(tmp_path / "cache")
    rows = datasets.Dataset.from_parquet(tables, cache_dir=cache)
    assert isinstance(rows.features["image"], datasets.Image)
    assert rows.features["state"].length == 8
    images = np.concatenate([episode.images for episode in EPISODES])
    for row, expected in zip(rows, images, strict=True):
        np.testing.assert_array_equal(np.asarray(row["image"]), turned(expected)[0])


@pytest.mark.parametrize("layout", ["hdf5", "hdf5_obs_before_action"])
def test_robomimic_reads_sequences(tmp_path, layout):
    dataset_module = pytest.importorskip("robomimic.utils.dataset")
    from robomimic.utils import file_utils, obs_utils

    text = "turn on the stove"
    episodes = [episode._replace(instruction=text) for episode in EPISODES]
    root = WRITERS[layout].write(tmp_path, episodes, name="libero_goal")
    file = str(root / "turn_on_the_stove_demo.hdf5")
    environment = file_utils.get_env_metadata_from_dataset(file)
    assert environment["env_name"] == "libero_goal" and environment["type"] == 1
    keys = {"rgb": ["agentview_rgb"], "low_dim": ["ee_states", "gripper_states"]}
    obs_utils.initialize_obs_utils_with_obs_specs({"obs": keys})
    dataset = dataset_module.SequenceDataset(
        file,
        obs_keys=keys["rgb"] + keys["low_dim"],
        dataset_keys=("actions",),
        frame_stack=1,
        seq_length=HORIZON,
        pad_frame_stack=True,
        pad_seq_length=True,
        load_next_obs=False,
        hdf5_cache_mode="low_dim",
    )
    shift = 1 if layout == "hdf5" else 0
    index = 0
    for episode in episodes:
        length = len(episode.action) - shift
        for t in range(length):
            item = dataset[index]
            index += 1
            rows = np.minimum(t + np.arange(HORIZON), length - 1)
            np.testing.assert_allclose(item["actions"], episode.action[rows], rtol=1e-6)
            seen = np.asarray(item["obs"]["agentview_rgb"])
            expected = episode.images[shift + rows, 0, ::-1]  # upside down
            np.testing.assert_array_equal(seen, expected)
            state = np.concatenate(
                [item["obs"]["ee_states"], item["obs"]["gripper_states"]], axis=1
            )
            np.testing.assert_allclose(state, episode.state[shift + rows], rtol=1e-6)
    assert index == len(dataset)
