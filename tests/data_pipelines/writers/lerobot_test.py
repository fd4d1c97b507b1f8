"""LeRobot datasets that we write: metadata, statistics, files."""

import json

import numpy as np
import pytest
from pyarrow import parquet

from data_pipelines.readers import READERS
from data_pipelines.writers import WRITERS
from data_pipelines.writers.lerobot import statistics, v21, v30
from tests.data_pipelines.rlds_test import SIDE, make_episode

EPISODES = [make_episode(seed, length=3 + seed) for seed in range(3)]
FRAMES = sum(len(episode.action) for episode in EPISODES)
IMAGES = np.concatenate([episode.images for episode in EPISODES])[:, 0]
STATES = np.concatenate([episode.state for episode in EPISODES])


def write(directory, layout="lerobot", episodes=EPISODES):
    return WRITERS[layout].write(directory, episodes, name="libero_goal")


@pytest.mark.parametrize("layout", ["lerobot", "lerobot_v30"])
def test_info_has_openpis_names_and_the_real_rate(tmp_path, layout):
    info = json.loads((write(tmp_path, layout) / "meta/info.json").read_text())
    assert info["fps"] == 20 and info["robot_type"] == "panda"
    assert (info["total_episodes"], info["total_frames"]) == (3, FRAMES)
    shapes = {name: row["shape"] for name, row in info["features"].items()}
    assert shapes["image"] == shapes["wrist_image"] == [SIDE, SIDE, 3]
    assert (shapes["state"], shapes["actions"]) == ([8], [7])
    assert info["image_convention"] == "openpi"


def test_rows_are_counted_through(tmp_path):
    folder = write(tmp_path)
    table = parquet.read_table(
        folder / v21.DATA.format(episode_chunk=0, episode_index=1)
    )
    assert table["index"].to_pylist() == [3, 4, 5, 6]
    assert table["frame_index"].to_pylist() == [0, 1, 2, 3]
    np.testing.assert_allclose(table["timestamp"], [0, 0.05, 0.1, 0.15], rtol=1e-6)
    assert set(table["task_index"].to_pylist()) == {1}


def test_unknown_joint_states_have_no_feature(tmp_path):
    unknown = np.full((3, 7), np.nan, np.float32)
    folder = write(tmp_path, episodes=[EPISODES[0]._replace(joint_state=unknown)])
    assert "joint_state" not in (folder / "meta/info.json").read_text()
    (found,) = READERS["lerobot"](folder)
    assert np.isnan(found.joint_state).all()


def test_numbers_must_be_finite(tmp_path):
    state = EPISODES[1].state.copy()
    state[1, 2] = np.inf
    episodes = [EPISODES[0], EPISODES[1]._replace(state=state)]
    with pytest.raises(ValueError, match="Demonstration 1 has a state not finite"):
        write(tmp_path, episodes=episodes)


def test_statistics_are_those_of_the_arrays(tmp_path):
    stats = json.loads((write(tmp_path, "lerobot_v30") / "meta/stats.json").read_text())
    pictures = IMAGES / 255
    for name, values, axes in (
        ("image", pictures, (0, 1, 2)),
        ("state", STATES.astype(np.float64), (0,)),
    ):
        for key in ("min", "max", "mean", "std"):
            expected = getattr(values, key)(axis=axes)
            found = np.array(stats[name][key])
            np.testing.assert_allclose(found.ravel(), expected, rtol=1e-9)
        assert stats[name]["count"] == [FRAMES]
    assert np.shape(stats["image"]["mean"]) == (3, 1, 1)


def test_episode_statistics_of_a_picture_by_hand():
    picture = np.zeros((1, 1, 2, 3), np.uint8)
    picture[0, 0, 0] = 255, 51, 0  # the other pixel is black
    found = statistics.of_episode({"image": picture})["image"]
    np.testing.assert_allclose(found["mean"].ravel(), [0.5, 0.1, 0])
    np.testing.assert_allclose(found["std"].ravel(), [0.5, 0.1, 0])
    np.testing.assert_allclose(found["max"].ravel(), [1, 0.2, 0])
    assert found["min"].shape == (3, 1, 1) and not found["min"].any()


def test_quantiles_are_numpys_and_averaged_by_frames():
    random = np.random.default_rng(0)
    pictures = random.integers(0, 256, (2, 40, 40, 3), np.uint8)
    numbers = random.normal(size=(50, 7)).astype(np.float32)
    first = statistics.of_episode({"image": pictures, "state": numbers})
    for name, quantile in statistics.QUANTILES.items():
        expected = np.quantile(pictures / 255, quantile, axis=(0, 1, 2))
        np.testing.assert_allclose(first["image"][name].ravel(), expected, atol=0.01)
        expected = np.quantile(numbers.astype(np.float64), quantile, axis=0)
        np.testing.assert_allclose(first["state"][name], expected)
    second = statistics.of_episode({"state": numbers[:25] + 9})
    both = statistics.of_dataset([{"state": first["state"]}, second])["state"]
    expected = (2 * first["state"]["q99"] + second["state"]["q99"]) / 3
    np.testing.assert_allclose(both["q99"], expected)


def test_a_full_table_is_followed_by_another(tmp_path, monkeypatch):
    monkeypatch.setattr(v30, "FILE_MB", 0)
    monkeypatch.setattr(v30, "CHUNK", 2)
    folder = write(tmp_path, "lerobot_v30")
    names = [path.relative_to(folder) for path in sorted(folder.glob("data/*/*"))]
    assert [str(name) for name in names] == [
        "data/chunk-000/file-000.parquet",
        "data/chunk-000/file-001.parquet",
        "data/chunk-001/file-000.parquet",
    ]
    found = list(READERS["lerobot"](folder))
    for episode, original in zip(found, EPISODES, strict=True):
        np.testing.assert_array_equal(np.asarray(episode.images), original.images)
