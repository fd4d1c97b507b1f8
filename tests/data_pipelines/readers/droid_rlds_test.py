"""Tests of readers.droid_rlds: what openpi takes of DROID, on tiny episodes."""

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from data_pipelines import rlds_builder
from data_pipelines.lazy_images import LazyImages
from data_pipelines.readers import READERS, detect
from data_pipelines.readers.options import ReadOptions

LENGTH, SIZE = 3, (18, 32)
CAMERAS = ("exterior_image_1_left", "exterior_image_2_left", "wrist_image_left")
SEEN = {"cartesian_position": 6, "joint_position": 7, "gripper_position": 1}
ACTIONS = {"joint_position": 7, "joint_velocity": 7, "gripper_position": 1}
ACTIONS |= {"cartesian_velocity": 6}
TEXTS = ("language_instruction", "language_instruction_2", "language_instruction_3")
GREYS = {CAMERAS[0]: 50, CAMERAS[1]: 100, CAMERAS[2]: 200}


def tree(left_out=()):
    """features.json of DROID, but for smaller pictures."""
    import tensorflow_datasets as tfds

    kinds = tfds.features
    picture = kinds.Image(shape=(*SIZE, 3), encoding_format="jpeg")
    observation = {name: picture for name in CAMERAS if name not in left_out}
    for name, size in SEEN.items():
        observation[name] = kinds.Tensor(shape=(size,), dtype=np.float64)
    action = {
        name: kinds.Tensor(shape=(size,), dtype=np.float64)
        for name, size in ACTIONS.items()
    }
    step = {
        "observation": observation,
        "action_dict": action,
        "action": kinds.Tensor(shape=(7,), dtype=np.float64),
        "is_first": kinds.Scalar(dtype=np.bool_),
        **{name: kinds.Text() for name in TEXTS},
    }
    metadata = {"file_path": kinds.Text(), "recording_folderpath": kinds.Text()}
    return kinds.FeaturesDict(
        {"steps": kinds.Dataset(step), "episode_metadata": metadata}
    )


def steps(number, texts, left_out, change):
    for t in range(LENGTH):
        observation: dict[str, Any] = {}
        for name, grey in GREYS.items():
            file = io.BytesIO()
            picture = np.full((*SIZE, 3), grey + t, np.uint8)
            Image.fromarray(picture).save(file, "jpeg", quality=95)
            file.seek(0)
            observation[name] = file
        for name, size in SEEN.items():
            observation[name] = np.arange(size) + float(number + t)
        actions = {n: np.arange(k) / 10 - len(n) for n, k in ACTIONS.items()}
        step = {
            "observation": {n: v for n, v in observation.items() if n not in left_out},
            "action_dict": actions | (change or {}),
            "action": np.zeros(7),
            "is_first": t == 0,
        }
        yield step | dict(zip(TEXTS, texts))


@pytest.fixture
def store(tmp_path, monkeypatch):
    """A function that writes episodes of (outcome, instructions)."""

    def write(episodes, left_out=(), change=None):
        pairs = [
            (
                number,
                {
                    "steps": list(steps(number, texts, left_out, change)),
                    "episode_metadata": {
                        "file_path": f"r2d2/lab/{outcome}/2023/trajectory.h5",
                        "recording_folderpath": "gs://x",
                    },
                },
            )
            for number, (outcome, texts) in enumerate(episodes)
        ]
        monkeypatch.setattr(rlds_builder, "features", lambda side: tree(left_out))
        monkeypatch.setattr(rlds_builder, "DESCRIPTION", "Robots in the wild")
        return rlds_builder.build(
            tmp_path, pairs, name="droid", side=16, file_format="tfrecord"
        )

    return write


WORDS = ("open it", "pull the drawer", "drawer")


def read(path, **options):
    return list(READERS["droid_rlds"](path, options=ReadOptions(**options)))


def test_successes_with_words_are_kept(store):
    none = ("", "", "")
    folder = store(
        [("success", WORDS), ("failure", WORDS), ("success", none), ("success", WORDS)]
    )
    assert detect(folder) == detect(folder.parent) == "droid_rlds"
    found = read(folder)
    assert [int(d.state[0, 0]) for d in found] == [0, 3]
    first = found[0]
    assert first.state.shape == first.action.shape == (LENGTH, 8)
    np.testing.assert_array_equal(first.state[1], [1, 2, 3, 4, 5, 6, 7, 1])
    np.testing.assert_array_equal(first.joint_state, first.state[:, :7])
    joints = np.arange(7) / 10 - len("joint_velocity")
    expected = [*joints, -len("gripper_position")]
    np.testing.assert_allclose(first.action[2], expected, rtol=1e-6)
    assert isinstance(first.images, LazyImages)
    assert first.images.shape == (LENGTH, 2, *SIZE, 3)
    assert abs(first.images[2][1].mean() - GREYS[CAMERAS[2]] - 2) < 1.5


def test_camera_and_words_are_drawn_by_the_seed(store):
    folder = store([("success", WORDS)] * 24)

    def drawn(seed):
        return [
            (d.instruction, round(float(d.images[0][0].mean()) / 50))
            for d in read(folder, seed=seed)
        ]

    assert drawn(0) == drawn(0) != drawn(1)
    assert set(drawn(0)) == {(words, camera) for words in WORDS for camera in (1, 2)}


def test_an_empty_instruction_is_not_drawn(store):
    folder = store([("success", ("", "pull the drawer", " "))] * 8)
    assert {d.instruction for d in read(folder)} == {"pull the drawer"}


def test_features_may_be_named(store):
    (found,) = read(
        store([("success", WORDS)]),
        cameras=(CAMERAS[1],),
        state_keys=("cartesian_position", "gripper_position"),
        action_keys=("joint_position", "gripper_position"),
    )
    assert found.images.shape == (LENGTH, 1, *SIZE, 3)
    assert abs(found.images[0].mean() - GREYS[CAMERAS[1]]) < 1.5
    np.testing.assert_array_equal(found.state[0], [0, 1, 2, 3, 4, 5, 0])
    joints = np.arange(7) / 10 - len("joint_position")
    np.testing.assert_allclose(found.action[0, :7], joints, rtol=1e-6)


def test_what_is_missing_is_named(store):
    folder = store([("success", WORDS)], left_out=CAMERAS[2:])
    assert detect(folder) != "droid_rlds"
    text = "features.json has no steps/observation/wrist_image_left, which droid_rlds"
    with pytest.raises(ValueError, match=text) as error:
        read(folder)
    assert len(str(error.value).splitlines()) == 1


def test_numbers_that_are_not_finite_are_named(store):
    folder = store([("success", WORDS)], change={"joint_velocity": np.full(7, np.nan)})
    text = r"record 0 .*\(step 0: joint_velocity is not finite\)"
    with pytest.raises(ValueError, match=text):
        read(folder)
