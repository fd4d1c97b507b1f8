"""Tests of data_pipelines.rlds: a bit-exact round trip, and nothing half written."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from data_pipelines import rlds, rlds_builder, rlds_paths, rlds_records, tfrecord
from omnivla_jax.core.types import Demonstration

SIDE = 16


def make_episode(seed: int, length: int = 3) -> Demonstration:
    rng = np.random.default_rng(seed)

    def numbers(width):
        return rng.normal(size=(length, width)).astype(np.float32)

    images = rng.integers(0, 256, (length, 2, SIDE, SIDE, 3), dtype=np.uint8)
    instruction = f"put the bowl on plate {seed} – café"
    return Demonstration(
        images, numbers(8), numbers(7), numbers(7), instruction, seed % 10
    )


@pytest.fixture(scope="module")
def episodes():
    return [make_episode(seed, length=2 + seed % 3) for seed in range(12)]


@pytest.fixture(params=rlds_builder.FORMATS)
def file_format(request):
    return request.param


@pytest.fixture()
def folder(tmp_path, episodes, file_format):
    """The version folder of a finished set."""
    directory = tmp_path / "demonstrations"
    return rlds.write(directory, episodes, name="libero_goal", file_format=file_format)


@pytest.fixture()
def stored(folder):
    """Its data_dir."""
    return folder.parents[1]


def test_round_trip_is_bit_exact_in_order(stored, episodes):
    found = rlds.read(stored)
    assert len(found) == len(episodes)
    for episode, original in zip(found, episodes):
        assert episode.instruction == original.instruction
        assert episode.task == original.task
        for field in ("images", "state", "joint_state", "action"):
            array = getattr(episode, field)
            np.testing.assert_array_equal(array, getattr(original, field))
            assert array.dtype == getattr(original, field).dtype


def test_files_lie_where_tfds_looks_for_them(folder, stored, file_format):
    assert folder == stored / "libero_goal" / "1.0.0"
    assert sorted(path.name for path in folder.iterdir()) == [
        "dataset_info.json",
        "features.json",
        f"libero_goal-train.{file_format}-00000-of-00001",
    ]
    info = json.loads((folder / "dataset_info.json").read_text())
    assert (info["name"], info["version"]) == ("libero_goal", "1.0.0")
    assert info["fileFormat"] == file_format
    (split,) = info["splits"]
    assert (split["name"], split["shardLengths"]) == ("train", ["12"])


def test_plain_tfds_picks_array_records_at_random(tmp_path, episodes):
    import tensorflow_datasets as tfds

    folder = tmp_path / "data"
    rlds.write(folder, episodes, name="libero_goal", file_format="array_record")
    builder = tfds.builder("libero_goal", data_dir=str(folder))
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
        "rlds.write(folder, [make_episode(0)], name='x', file_format='array_record')\n"
        "rlds.read(folder / 'quiet'), rlds.read(folder / 'x')\n"
        "assert 'tensorflow' not in sys.modules\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    result = subprocess.run(command, capture_output=True, text=True)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_completeness(stored, folder, tmp_path):
    assert rlds.count(stored) == rlds.count(folder) == 12
    assert rlds.count(stored, "libero_goal") == 12
    assert rlds.count(stored, "libero_object") == 0
    assert rlds.count(tmp_path / "absent") == 0
    (folder / rlds_builder.INFO_FILE).unlink()
    assert rlds.count(stored) == 0


def test_several_names_need_a_choice(stored, episodes):
    rlds.write(stored, episodes[:1], name="libero_object")
    with pytest.raises(ValueError, match="libero_goal, libero_object.: name one"):
        rlds.read(stored)
    assert len(rlds.read(stored / "libero_object")) == 1
    assert rlds.count(stored, "libero_goal") == 12


def test_of_several_versions_the_newest_is_read(folder, episodes):
    newer = folder.with_name("1.10.0")
    shutil.copytree(rlds.write(folder / "x", episodes[:1], name="libero_goal"), newer)
    shutil.copytree(folder, folder.with_name("1.9.0"))
    assert rlds_paths.resolve(folder.parent) == newer


def test_a_missing_folder_is_named(tmp_path, stored, folder):
    with pytest.raises(FileNotFoundError, match="absent: there is no such folder"):
        rlds.read(tmp_path / "absent")
    with pytest.raises(FileNotFoundError, match="at most three levels above"):
        rlds.read(tmp_path.joinpath("empty").mkdir() or tmp_path / "empty")
    (folder / rlds_builder.INFO_FILE).unlink()
    with pytest.raises(FileNotFoundError, match="no dataset_info.json beside it"):
        rlds.read(folder)


@pytest.mark.parametrize("damage", ["truncate", "flip", "remove", "json", "pointer"])
def test_a_damaged_folder_names_the_file(folder, damage):
    (shard,) = folder.glob("*-train.*")
    content, name = shard.read_bytes(), shard.name
    if damage == "truncate":
        shard.write_bytes(content[: len(content) // 2])
    elif damage == "flip":
        end = len(content.rstrip(b"\0")) // 2  # ArrayRecord pads its files with zeros
        shard.write_bytes(content[: end - 64] + bytes(64) + content[end:])
    elif damage == "remove":
        shard.unlink()
    elif damage == "pointer":
        shard.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    else:
        (folder / rlds_builder.INFO_FILE).write_text(json.dumps({})[:1])
        name = rlds_builder.INFO_FILE
    with pytest.raises(ValueError, match=name) as error:
        rlds.read(folder)
    assert len(str(error.value).splitlines()) == 1
    assert "delete" not in str(error.value) and "remove" not in str(error.value)


def test_shards_are_ordered_and_missing_ones_named(tmp_path, episodes):
    folder = rlds.write(tmp_path / "x", episodes, name="libero_goal")
    (whole,) = folder.glob("*.tfrecord-*")
    records, stem = list(tfrecord.read(whole)), f"{folder}/libero_goal-train.tfrecord"
    whole.rename(tmp_path / "whole")
    tfrecord.write(Path(f"{stem}-00000-of-00002"), records[:5])
    tfrecord.write(Path(f"{stem}-00001-of-00002"), records[5:])
    file = folder / rlds_builder.INFO_FILE
    info = json.loads(file.read_text())
    info["splits"][0]["shardLengths"] = ["5", "7"]
    file.write_text(json.dumps(info))
    found = [episode.instruction for episode in rlds.read(tmp_path / "x")]
    assert found == [episode.instruction for episode in episodes]
    Path(f"{stem}-00001-of-00002").unlink()
    with pytest.raises(ValueError, match=f"{stem}-00001-of-00002 is missing"):
        rlds.read(folder)
    assert rlds.count(folder) == 0


@pytest.mark.parametrize("damage", ["split", "format", "fewer"])
def test_a_misfit_info_is_one_line(folder, damage):
    file = folder / rlds_builder.INFO_FILE
    info = json.loads(file.read_text())
    if damage == "split":
        info["splits"][0]["name"], text = "val", "names no split 'train', only val"
    elif damage == "format":
        info["fileFormat"], text = "parquet", "is stored as parquet: convert it"
    else:
        info["splits"][0]["shardLengths"], text = ["5"], "holds 12 records where .* 5"
    file.write_text(json.dumps(info))
    with pytest.raises(ValueError, match=text):
        rlds.read(folder)
    assert rlds.count(folder) == 0


def test_an_interruption_leaves_nothing_behind(tmp_path, episodes, monkeypatch):
    def interrupted(*arguments, **keywords):
        raise KeyboardInterrupt

    monkeypatch.setattr(rlds_builder, "build", interrupted)
    with pytest.raises(KeyboardInterrupt):
        rlds.write(tmp_path / "demonstrations", episodes, name="libero_goal")
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_keeps_the_earlier_demonstrations(stored, episodes, monkeypatch):
    def cut_short(folder):
        raise ValueError(f"{folder} is not complete")

    monkeypatch.setattr(rlds_records, "count", cut_short)
    with pytest.raises(OSError, match="free some space"):
        rlds.write(stored, episodes[:1], name="libero_goal")
    monkeypatch.undo()
    assert len(rlds.read(stored)) == len(episodes)
    assert list(stored.parent.iterdir()) == [stored]


def test_writing_again_replaces(stored, episodes):
    rlds.write(stored, episodes[:2], name="libero_goal")
    assert len(rlds.read(stored)) == 2
    assert list(stored.parent.iterdir()) == [stored]


def test_what_others_wrote_is_never_replaced(tmp_path, episodes):
    (tmp_path / "thesis.tex").write_text("years of work")
    folder = rlds.write(tmp_path, episodes[:1], name="libero_goal")
    assert (tmp_path / "thesis.tex").read_text() == "years of work"
    (folder / "notes.txt").write_text("of mine")
    with pytest.raises(FileExistsError, match="holds files that this program did not"):
        rlds.write(tmp_path, episodes[:1], name="libero_goal")
    (folder / "notes.txt").rename(tmp_path / "notes.txt")
    info = json.loads((folder / rlds_builder.INFO_FILE).read_text())
    info["description"] = "Recorded by hand."
    (folder / rlds_builder.INFO_FILE).write_text(json.dumps(info))
    with pytest.raises(FileExistsError, match="choose another folder"):
        rlds.write(tmp_path, episodes[:1], name="libero_goal")
    with pytest.raises(FileExistsError, match="is itself a dataset"):
        rlds.write(folder, episodes[:1], name="libero_goal")
    with pytest.raises(FileExistsError, match="thesis.tex is a file"):
        rlds.write(tmp_path / "thesis.tex", episodes[:1], name="libero_goal")
    assert len(rlds.read(tmp_path)) == 1


def test_the_former_layout_is_read_and_replaced(tmp_path, episodes):
    """Earlier releases wrote ArrayRecord files without the folders NAME/1.0.0."""
    directory = tmp_path / "demos"
    made = rlds.write(
        tmp_path / "x", episodes[:3], name="libero_goal", file_format="array_record"
    )
    made.rename(directory)
    (directory / "notes.txt").write_text("of mine")
    assert len(rlds.read(directory)) == rlds.count(directory, "libero_goal") == 3
    rlds.write(directory, episodes[:1], name="libero_goal")
    assert len(rlds.read(directory)) == 1
    assert sorted(p.name for p in directory.iterdir()) == ["libero_goal", "notes.txt"]


@pytest.mark.parametrize(
    "text, name",
    [
        ("libero_goal", "libero_goal"),
        ("tasks/KITCHEN_SCENE3-turn on.BDDL", "kitchen_scene3_turn_on"),
        ("/data/2nd try/", "dataset_2nd_try"),
    ],
)
def test_names_are_those_that_tfds_takes(text, name):
    from tensorflow_datasets.core import naming

    assert rlds_paths.dataset_name(text) == name
    assert naming.is_valid_dataset_name(name)
    assert naming.camelcase_to_snakecase(name) == name


def test_bad_episodes_are_refused_with_their_shape(tmp_path, episodes):
    with pytest.raises(ValueError, match="no demonstrations to write"):
        rlds.write(tmp_path / "x", [], name="libero_goal")
    wrong = episodes[0]._replace(state=episodes[0].state[:, :7])
    with pytest.raises(ValueError, match="File format 'hdf5': choose one of tfrec"):
        rlds.write(tmp_path / "x", episodes, name="libero_goal", file_format="hdf5")
    with pytest.raises(ValueError, match=r"Demonstration 1 has state float32\(2, 7\)"):
        rlds.write(tmp_path / "x", [episodes[0], wrong], name="libero_goal")
    assert list(tmp_path.iterdir()) == []
