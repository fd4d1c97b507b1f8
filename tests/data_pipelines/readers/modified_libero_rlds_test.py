"""Tests of reading RLDS datasets of others: modified_libero_rlds and its relatives."""

import io
import json
from typing import Any

import numpy as np
import pytest
from PIL import Image

from data_pipelines import rlds, rlds_builder
from data_pipelines.readers import modified_libero_rlds

SIDE, LENGTH = 16, 3


def tree(**changes):
    """features.json of modified_libero_rlds: JPEG pictures, no number of the task."""
    import tensorflow_datasets as tfds

    kinds = tfds.features
    picture = kinds.Image(shape=(SIDE, SIDE, 3), encoding_format="jpeg")
    observation = {
        "image": picture,
        "wrist_image": picture,
        "state": kinds.Tensor(shape=(8,), dtype=np.float32),
        "joint_state": kinds.Tensor(shape=(7,), dtype=np.float32),
    }
    step = {
        "action": kinds.Tensor(shape=(7,), dtype=np.float32),
        "discount": kinds.Scalar(dtype=np.float32),
        "reward": kinds.Scalar(dtype=np.float32),
        "is_first": kinds.Scalar(dtype=np.bool_),
        "is_last": kinds.Scalar(dtype=np.bool_),
        "is_terminal": kinds.Scalar(dtype=np.bool_),
        "language_instruction": kinds.Text(),
    }
    seen = {name: changes.get(name, kind) for name, kind in observation.items()}
    step = {name: changes.get(name, kind) for name, kind in step.items()}
    step["observation"] = {name: kind for name, kind in seen.items() if kind}
    return kinds.FeaturesDict(
        {
            "steps": kinds.Dataset({name: kind for name, kind in step.items() if kind}),
            "episode_metadata": {"file_path": kinds.Text()},
        }
    )


def example(number: int, **changes: Any) -> dict[str, Any]:
    file = io.BytesIO()
    colour = np.full((SIDE, SIDE, 3), 40 * number, np.uint8)
    colour[:, SIDE // 2 :] = 255  # the right half: the left one once it is upright
    Image.fromarray(colour).save(file, "jpeg", quality=95)
    picture = file.getvalue()
    seen: dict[str, Any] = {
        "image": picture,
        "wrist_image": picture,
        "state": np.arange(8, dtype=np.float32),
        "joint_state": np.arange(7, dtype=np.float32),
    }
    step = {
        "action": np.full(7, number / 10, np.float32),
        "discount": 1.0,
        "reward": 0.0,
        "is_first": False,
        "is_last": False,
        "is_terminal": False,
        "language_instruction": "open the drawer",
    }
    seen = {name: changes.get(name, value) for name, value in seen.items()}
    step = {name: changes.get(name, value) for name, value in step.items()}
    observation = {
        n: io.BytesIO(v) if n in ("image", "wrist_image") else v
        for n, v in seen.items()
        if v is not None
    }
    step = {name: value for name, value in step.items() if value is not None}
    return {"step": step, "observation": observation}


def store(tmp_path, monkeypatch, *, kinds=None, values=None):
    """A dataset of two episodes; returns its version folder."""
    kinds, values = kinds or {}, values or {}

    def steps(number):
        for _ in range(LENGTH):
            made = example(number, **values)
            yield made["step"] | {"observation": made["observation"]}

    pairs = [
        (n, {"steps": list(steps(n)), "episode_metadata": {"file_path": "x.hdf5"}})
        for n in range(2)
    ]
    with monkeypatch.context() as patch:
        patch.setattr(rlds_builder, "features", lambda side: tree(**kinds))
        patch.setattr(rlds_builder, "DESCRIPTION", "LIBERO without no-ops")
        return rlds_builder.build(
            tmp_path,
            pairs,
            name="libero_goal_no_noops",
            side=SIDE,
            file_format="tfrecord",
        )


def test_modified_libero_is_read_upright(tmp_path, monkeypatch):
    folder = store(tmp_path, monkeypatch)
    for path in (folder, folder.parent, tmp_path):
        episodes = rlds.read(path)
        assert [len(episode.action) for episode in episodes] == [LENGTH, LENGTH]
    second = episodes[1]
    assert second.task == modified_libero_rlds.UNKNOWN_TASK
    assert second.instruction == "open the drawer"
    np.testing.assert_array_equal(second.action, np.full((LENGTH, 7), 0.1, np.float32))
    np.testing.assert_array_equal(second.joint_state[0], np.arange(7))
    assert second.images.shape == (LENGTH, 2, SIDE, SIDE, 3)
    assert second.images[0, 0, 8, 2].min() > 240  # mirrored back
    assert second.images[0, 0, 8, 13].max() < 60


def test_a_missing_joint_state_is_nan(tmp_path, monkeypatch):
    none = {"joint_state": None}
    folder = store(tmp_path, monkeypatch, kinds=none, values=none)
    episode = rlds.read(folder)[0]
    assert episode.joint_state.shape == (LENGTH, 7)
    assert np.isnan(episode.joint_state).all()


@pytest.mark.parametrize("name", ["wrist_image", "language_instruction", "action"])
def test_a_feature_that_is_missing_is_named(tmp_path, monkeypatch, name):
    folder = store(tmp_path, monkeypatch, kinds={name: None}, values={name: None})
    text = f"features.json has no steps/.*{name}"
    with pytest.raises(ValueError, match=text) as error:
        rlds.read(folder)
    assert len(str(error.value).splitlines()) == 1


def test_another_shape_or_type_is_named(tmp_path, monkeypatch):
    import tensorflow_datasets as tfds

    kinds = tfds.features
    wide = {"action": kinds.Tensor(shape=(14,), dtype=np.float32)}
    values = {"action": np.zeros(14, np.float32)}
    folder = store(tmp_path / "a", monkeypatch, kinds=wide, values=values)
    with pytest.raises(ValueError, match=r"steps/action the shape \(14,\); .*\(7,\)"):
        rlds.read(folder)
    whole = {"action": kinds.Tensor(shape=(7,), dtype=np.int32)}
    values = {"action": np.zeros(7, np.int32)}
    folder = store(tmp_path / "b", monkeypatch, kinds=whole, values=values)
    with pytest.raises(ValueError, match="steps/action the type int32"):
        rlds.read(folder)


def test_a_dataset_without_steps_is_no_rlds(tmp_path, monkeypatch):
    import tensorflow_datasets as tfds

    folder = store(tmp_path, monkeypatch)
    flat = tfds.features.FeaturesDict({"label": tfds.features.Scalar(np.int64)})
    (folder / "features.json").write_text(json.dumps(flat.to_json()))
    with pytest.raises(ValueError, match="has no `steps`, .*there are label"):
        rlds.read(folder)


def test_records_that_contradict_their_features_are_named(tmp_path, monkeypatch):
    bad = np.zeros(7, np.float32)
    bad[3] = np.nan
    folder = store(tmp_path / "a", monkeypatch, values={"action": bad})
    text = r"tfrecord-.*, record 0 .*step 0: steps/action is not finite"
    with pytest.raises(ValueError, match=text):
        rlds.read(folder)
    folder = store(tmp_path / "b", monkeypatch, values={"image": b"no picture"})
    with pytest.raises(ValueError, match="tfrecord-.*, record 0 does not hold"):
        rlds.read(folder)
