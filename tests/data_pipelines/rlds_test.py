"""Tests of data_pipelines.rlds: a bit-exact round trip, and nothing half written."""

import json
import subprocess
import sys

import numpy as np
import pytest

from data_pipelines import rlds, rlds_builder
from omnivla_jax.core.types import Episode

SIDE = 16


def make_episode(seed: int, length: int = 3) -> Episode:
    rng = np.random.default_rng(seed)

    def numbers(width):
        return rng.normal(size=(length, width)).astype(np.float32)

    images = rng.integers(0, 256, (length, 2, SIDE, SIDE, 3), dtype=np.uint8)
    instruction = f"put the bowl on plate {seed} – café"
    return Episode(images, numbers(8), numbers(7), numbers(7), instruction, seed % 10)


@pytest.fixture(scope="module")
def episodes():
    return [make_episode(seed, length=2 + seed % 3) for seed in range(12)]


@pytest.fixture()
def stored(tmp_path, episodes):
    rlds.write(tmp_path / "demonstrations", episodes, name="libero_goal")
    return tmp_path / "demonstrations"


def test_round_trip_is_bit_exact_and_keeps_the_order(stored, episodes):
    found = rlds.read(stored)
    assert len(found) == len(episodes)
    for episode, original in zip(found, episodes):
        assert episode.instruction == original.instruction
        assert episode.task == original.task
        for field in ("images", "state", "joint_state", "action"):
            array = getattr(episode, field)
            np.testing.assert_array_equal(array, getattr(original, field))
            assert array.dtype == getattr(original, field).dtype


def test_plain_tfds_reads_the_layout_of_modified_libero(stored, episodes):
    import tensorflow_datasets as tfds

    builder = tfds.builder_from_directory(str(stored))
    assert builder.name == "libero_goal"
    assert set(builder.info.splits) == {"train"}
    example = builder.as_data_source("train")[3]
    steps = list(example["steps"])
    assert set(steps[0]) == {
        *("observation", "action", "discount", "reward", "language_instruction"),
        *("is_first", "is_last", "is_terminal"),
    }
    assert set(steps[0]["observation"]) == {
        *("image", "wrist_image", "state", "joint_state"),
    }
    arrays = steps[0]["observation"] | {"action": steps[0]["action"]}
    shapes = {name: (array.shape, array.dtype) for name, array in arrays.items()}
    assert shapes == {
        "image": ((SIDE, SIDE, 3), np.uint8),
        "wrist_image": ((SIDE, SIDE, 3), np.uint8),
        "state": ((8,), np.float32),
        "joint_state": ((7,), np.float32),
        "action": ((7,), np.float32),
    }
    assert set(example["episode_metadata"]) == {"file_path", "task_id"}
    assert [step["reward"] for step in steps] == [0.0] * (len(steps) - 1) + [1.0]
    assert [step["discount"] for step in steps] == [1.0] * len(steps)
    assert [step["is_first"] for step in steps] == [True] + [False] * (len(steps) - 1)
    assert [step["is_last"] for step in steps] == [False] * (len(steps) - 1) + [True]
    np.testing.assert_array_equal(
        steps[0]["observation"]["image"], episodes[3].images[0, 0][:, ::-1]
    )


def test_neither_writing_nor_reading_imports_tensorflow_or_prints(tmp_path):
    script = (
        "import sys, pathlib\n"
        "from tests.data_pipelines.rlds_test import make_episode\n"
        "from data_pipelines import rlds\n"
        "folder = pathlib.Path(sys.argv[1]) / 'x'\n"
        "rlds.write(folder, [make_episode(0)], name='quiet')\n"
        "rlds.read(folder)\n"
        "assert 'tensorflow' not in sys.modules\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    result = subprocess.run(command, capture_output=True, text=True)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_completeness(stored, tmp_path):
    assert rlds.is_complete(stored)
    assert not rlds.is_complete(tmp_path / "absent")
    (stored / rlds_builder.INFO_FILE).unlink()
    assert not rlds.is_complete(stored)


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="absent"):
        rlds.read(tmp_path / "absent")


@pytest.mark.parametrize("damage", ["truncate", "flip", "remove", "json"])
def test_a_damaged_folder_gives_one_clear_line(stored, damage):
    (shard,) = stored.glob("*array_record*")
    content = shard.read_bytes()
    if damage == "truncate":
        shard.write_bytes(content[: len(content) // 2])
    elif damage == "flip":
        end = len(content.rstrip(b"\0")) // 2  # the files are padded with zeros
        shard.write_bytes(content[: end - 64] + bytes(64) + content[end:])
    elif damage == "remove":
        shard.unlink()
    else:
        (stored / rlds_builder.INFO_FILE).write_text(json.dumps({})[:1])
    with pytest.raises(ValueError, match="cannot be read") as error:
        rlds.read(stored)
    assert len(str(error.value).splitlines()) == 1
    assert "delete that folder" in str(error.value)


def test_an_interruption_leaves_nothing_behind(tmp_path, episodes, monkeypatch):
    def interrupted(*arguments, **keywords):
        raise KeyboardInterrupt

    monkeypatch.setattr(rlds_builder, "build", interrupted)
    with pytest.raises(KeyboardInterrupt):
        rlds.write(tmp_path / "demonstrations", episodes, name="libero_goal")
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_keeps_the_earlier_demonstrations(stored, episodes, monkeypatch):
    monkeypatch.setattr(rlds_builder, "count", lambda directory: 0)
    with pytest.raises(OSError, match="free some space"):
        rlds.write(stored, episodes[:1], name="libero_goal")
    monkeypatch.undo()
    assert len(rlds.read(stored)) == len(episodes)
    assert list(stored.parent.iterdir()) == [stored]


def test_writing_again_replaces(stored, episodes):
    rlds.write(stored, episodes[:2], name="libero_goal")
    assert len(rlds.read(stored)) == 2
    assert list(stored.parent.iterdir()) == [stored]


def test_other_content_is_never_replaced(tmp_path, episodes):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(FileExistsError, match="move it away"):
        rlds.write(tmp_path, episodes, name="libero_goal")
    assert (tmp_path / "thesis.tex").exists()


def test_bad_episodes_are_refused_with_their_shape(tmp_path, episodes):
    with pytest.raises(ValueError, match="no demonstrations to write"):
        rlds.write(tmp_path / "x", [], name="libero_goal")
    wrong = episodes[0]._replace(state=episodes[0].state[:, :7])
    with pytest.raises(ValueError, match=r"Demonstration 1 has state float32\(2, 7\)"):
        rlds.write(tmp_path / "x", [episodes[0], wrong], name="libero_goal")
    assert list(tmp_path.iterdir()) == []
