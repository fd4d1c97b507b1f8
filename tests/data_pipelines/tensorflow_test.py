"""Tests with TensorFlow (the extra `rlds`): plain tfds and we read each other's files.

Skipped where TensorFlow is not installed; the bytes are checked without it as well.
"""

import numpy as np
import pytest

from data_pipelines import rlds, tfrecord
from tests.data_pipelines.rlds_test import make_episode

tf = pytest.importorskip("tensorflow")
tfds = pytest.importorskip("tensorflow_datasets")

EPISODES = [make_episode(seed, length=2 + seed % 3) for seed in range(5)]


def by_load(data_dir, version_folder):
    return tfds.load("libero_goal", data_dir=str(data_dir), split="train")


def by_builder(data_dir, version_folder):
    return tfds.builder("libero_goal", data_dir=str(data_dir)).as_dataset("train")


def by_directory(data_dir, version_folder):
    builder = tfds.builder_from_directory(str(version_folder))
    return builder.as_dataset(split="train")


@pytest.mark.parametrize("open_dataset", [by_load, by_builder, by_directory])
def test_plain_tfds_reads_what_we_wrote(tmp_path, open_dataset):
    folder = rlds.write(tmp_path / "data", EPISODES, name="libero_goal")
    found = list(open_dataset(tmp_path / "data", folder))
    assert len(found) == len(EPISODES)
    for example, episode in zip(found, EPISODES):
        assert int(example["episode_metadata"]["task_id"]) == episode.task
        steps = list(example["steps"].as_numpy_iterator())
        assert len(steps) == len(episode.action)
        for t, step in enumerate(steps):
            seen = step["observation"]
            upright = seen["image"][:, ::-1], seen["wrist_image"][:, ::-1]
            np.testing.assert_array_equal(np.stack(upright), episode.images[t])
            np.testing.assert_array_equal(seen["state"], episode.state[t])
            np.testing.assert_array_equal(seen["joint_state"], episode.joint_state[t])
            np.testing.assert_array_equal(step["action"], episode.action[t])
            assert step["language_instruction"].decode() == episode.instruction
            assert step["is_first"] == (t == 0)
            assert step["is_last"] == step["is_terminal"] == (t == len(steps) - 1)


def test_tensorflow_checks_our_checksums(tmp_path):
    records = [b"first", b"", b"x" * 70000]
    tfrecord.write(tmp_path / "ours", records)
    read = tf.data.TFRecordDataset(str(tmp_path / "ours")).as_numpy_iterator()
    assert list(read) == records
    with tf.io.TFRecordWriter(str(tmp_path / "theirs")) as writer:
        for record in records:
            writer.write(record)
    assert (tmp_path / "ours").read_bytes() == (tmp_path / "theirs").read_bytes()


def test_we_read_what_tensorflow_wrote(tmp_path, monkeypatch):
    ours = rlds.write(tmp_path / "ours", EPISODES, name="libero_goal")

    def write(path, records):
        with tf.io.TFRecordWriter(str(path)) as writer:
            for record in records:
                writer.write(record)

    monkeypatch.setattr(tfrecord, "write", write)
    theirs = rlds.write(tmp_path / "theirs", EPISODES, name="libero_goal")
    for file in ours.iterdir():
        assert file.read_bytes() == (theirs / file.name).read_bytes()
    for found, episode in zip(rlds.read(theirs), EPISODES, strict=True):
        np.testing.assert_array_equal(found.images, episode.images)
        np.testing.assert_array_equal(found.action, episode.action)
