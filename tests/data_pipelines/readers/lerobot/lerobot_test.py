"""Tests of readers.lerobot against datasets that LeRobot 0.3.3 and 0.4.4 wrote."""

import json
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_pipelines.readers import READERS, detect
from data_pipelines.readers.lerobot.features import PictureWarning
from data_pipelines.readers.options import ReadOptions
from omnivla_jax.core import action_chunks
from omnivla_jax.core.orientation import convert_image_convention
from tests.data_pipelines.readers.fixtures import make_fixtures

FIXTURES, FOLDER = make_fixtures.FIXTURES, make_fixtures.FOLDER
PICTURES = ("v21_images", "v30_images")
VIDEOS = ("v21_av1", "v21_h264", "v30_av1", "v30_h264")
AS_STORED = ReadOptions(image_convention="upright")


@pytest.fixture
def copied(tmp_path):
    """A function that copies a fixture; returns the copy's folder."""

    def copy(name):
        return shutil.copytree(FOLDER / name, tmp_path / name)

    return copy


def read(path, options=AS_STORED):
    return list(READERS["lerobot"](path, options=options))


def edit_info(root, **changes):
    file = root / "meta/info.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def edit_table(file, **columns):
    """Replace columns of a table; each function gets a list of Python objects."""
    table = pq.read_table(file)
    for name, change in columns.items():
        old = table.column(name)
        kind = pa.list_(pa.float32()) if pa.types.is_fixed_size_list(old.type) else None
        new = pa.array(change(old.to_pylist()), kind or old.type)
        table = table.set_column(table.column_names.index(name), name, new)
    pq.write_table(table, file)


def v20(copied):
    """v2.0: statistics of the whole dataset in one file."""
    root = copied("v21_images")
    (root / "meta/episodes_stats.jsonl").rename(root / "meta/stats.json")
    edit_info(root, codebase_version="v2.0")
    return root


@pytest.mark.parametrize("name", PICTURES)
def test_pictures_are_lerobots_bit_for_bit(name):
    wanted = np.load(FOLDER / f"{name}.npz")
    found = read(FOLDER / name)
    images = np.concatenate([np.asarray(d.images) for d in found])
    np.testing.assert_array_equal(images, wanted["images"])
    state = np.concatenate([d.state for d in found])
    np.testing.assert_array_equal(state, wanted["state"])
    words = [d.instruction for d in found for _ in d.action]
    assert words == wanted["task"].tolist()
    for demonstration in found:
        assert np.isnan(demonstration.joint_state).all()
        assert demonstration.task == -1


@pytest.mark.parametrize("name", PICTURES)
def test_chunks_and_padding_are_lerobots(name):
    wanted = np.load(FOLDER / f"{name}.npz")
    actions = [d.action for d in read(FOLDER / name)]
    horizon = make_fixtures.HORIZON
    chunks = [action_chunks.chunk_targets(a, horizon, "clamp") for a in actions]
    np.testing.assert_array_equal(np.concatenate(chunks), wanted["chunk"])
    masks = [action_chunks.loss_mask(len(a), horizon, "mask") for a in actions]
    for mask, pad in zip(masks, np.split(wanted["is_pad"], 2), strict=True):
        np.testing.assert_array_equal(mask, ~pad)


@pytest.mark.parametrize("name", VIDEOS)
def test_every_frame_of_a_video_is_found(name):
    for found, raw in zip(
        read(FOLDER / name), make_fixtures.raw_episodes(FIXTURES[name]), strict=True
    ):
        np.testing.assert_array_equal(found.state, raw.state)
        np.testing.assert_array_equal(found.action, raw.action)
        errors = np.empty((len(raw.action), 2))  # by frame and camera
        for frame in np.random.default_rng(0).permutation(len(raw.action)).tolist():
            error = np.abs(raw.images.astype(float) - found.images[frame])
            assert error.mean(axis=(1, 2, 3, 4)).argmin() == frame
            errors[frame] = error[frame].mean(axis=(1, 2, 3))
        assert errors.mean() < 3 and errors.max() < 5


def test_v20_is_read_as_v21(copied):
    for found, wanted in zip(read(v20(copied)), read(FOLDER / "v21_images")):
        np.testing.assert_array_equal(found.images, wanted.images)
        np.testing.assert_array_equal(found.action, wanted.action)


@pytest.mark.parametrize("name", [*PICTURES, *VIDEOS])
def test_the_layout_is_detected(name):
    assert detect(FOLDER / name) == "lerobot"


def test_whole_numbers_may_be_floats(copied):
    """As pandas stores them after a merge with missing ones."""
    root = copied("v30_images")
    (table,) = root.glob("data/*/*")
    floats = {name: [float(v) for v in (5, 5)] for name in ("length",)}
    retype(root / EPISODES, **floats)
    rows = pq.read_table(table).column("task_index").to_pylist()
    retype(table, task_index=[float(row) for row in rows])
    for found, wanted in zip(read(root), read(FOLDER / "v30_images"), strict=True):
        np.testing.assert_array_equal(found.images, wanted.images)
        assert found.instruction == wanted.instruction


def test_tasks_are_found_under_either_name(copied):
    root = copied("v30_images")
    file = root / "meta/tasks.parquet"
    old = pq.read_table(file)
    assert "__index_level_0__" in old.column_names  # pandas' name of an index
    pq.write_table(old.rename_columns(["task_index", "task"]), file)
    assert [d.instruction for d in read(root)] == list(make_fixtures.TASKS)


@pytest.mark.parametrize("rows", [3, 10])
def test_row_groups_need_not_be_episodes(copied, rows):
    root = copied("v30_images")
    (file,) = root.glob("data/*/*")
    pq.write_table(pq.read_table(file), file, row_group_size=rows)
    for found, wanted in zip(read(root), read(FOLDER / "v30_images"), strict=True):
        np.testing.assert_array_equal(found.images, wanted.images)
        np.testing.assert_array_equal(found.state, wanted.state)


def test_episodes_may_lie_in_several_files(copied):
    """As lerobot/libero's 377 tables and 74 videos: the second episode in others."""
    root = copied("v30_av1")
    (table,) = root.glob("data/*/*")
    rows = pq.read_table(table)
    pq.write_table(rows.slice(10), table.with_name("file-001.parquet"))
    pq.write_table(rows.slice(0, 10), table)
    changes = {"data/file_index": lambda _: [0, 1]}
    for video in list(root.glob("videos/*/*/*.mp4")):
        shutil.copy(video, video.with_name("file-007.mp4"))
        changes[f"videos/{video.parts[-3]}/file_index"] = lambda _: [0, 7]
    edit_table(root / "meta/episodes/chunk-000/file-000.parquet", **changes)
    for found, wanted in zip(read(root), read(FOLDER / "v30_av1"), strict=True):
        np.testing.assert_array_equal(found.action, wanted.action)
        np.testing.assert_array_equal(found.images, wanted.images)
    second = read(root)[1].images.decode.args[0].episode
    assert second.file.name == "file-001.parquet" and second.first == 0
    assert {file.name for file, _ in second.videos.values()} == {"file-007.mp4"}


def test_pictures_of_libero_copies_are_turned_upright():
    with pytest.warns(PictureWarning, match="convention=openpi to confirm, or =upri"):
        turned, _ = read(FOLDER / "v21_images", ReadOptions())
    stored = read(FOLDER / "v21_images")[0].images
    upright = convert_image_convention(np.asarray(stored), "openpi")
    np.testing.assert_array_equal(turned.images, upright)


def test_a_dataset_may_say_how_pictures_lie(copied, recwarn):
    root = copied("v21_images")
    edit_info(root, image_convention="libero")
    found = read(root, ReadOptions())[0].images
    stored = np.asarray(read(root)[0].images)
    np.testing.assert_array_equal(found, stored[:, :, ::-1])
    assert not recwarn
    edit_info(root, image_convention="sideways")
    with pytest.raises(ValueError, match="convention 'sideways', which is none of upr"):
        read(root, ReadOptions())


def test_features_are_chosen_by_name(copied):
    root = copied("v21_images")
    options = ReadOptions(
        image_convention="upright",
        cameras=("wrist_image",),
        state_keys=("actions", "state"),
        action_keys=("state",),
    )
    found, plain = read(root, options)[0], read(root)[0]
    np.testing.assert_array_equal(found.images, np.asarray(plain.images)[:, 1:])
    joined = np.concatenate([plain.action, plain.state], axis=1)
    np.testing.assert_array_equal(found.state, joined)
    np.testing.assert_array_equal(found.action, plain.state)


def test_other_names_are_upright_and_asked_for(copied, recwarn):
    root = copied("v21_images")
    info = json.loads((root / "meta/info.json").read_text())
    features = info["features"]
    features["front"] = features.pop("image")  # no name of a copy any more
    edit_info(root, features=features)
    text = "has no known cameras: choose cameras from wrist_image, front with --config"
    with pytest.raises(ValueError, match=text):
        read(root, ReadOptions())
    with pytest.raises(
        ValueError, match="no action: choose action_keys from .*actions"
    ):
        read(root, ReadOptions(cameras=("wrist_image",), state_keys=("state",)))
    options = ReadOptions(
        cameras=("wrist_image",), state_keys=("state",), action_keys=("actions",)
    )
    found = read(root, options)[0].images
    plain = read(FOLDER / "v21_images")[0].images
    np.testing.assert_array_equal(found, np.asarray(plain)[:, 1:])
    assert not recwarn


def renamed(copied, commands):
    """As IPEC-COMMUNITY's copies, with these commands of the gripper."""
    root = copied("v21_images")
    names = {"image": "observation.images.image", "state": "observation.state"}
    names |= {"wrist_image": "observation.images.wrist_image", "actions": "action"}
    features = json.loads((root / "meta/info.json").read_text())["features"]
    edit_info(root, features={names.get(k, k): v for k, v in features.items()})
    for file in root.glob("data/*/*"):
        table = pq.read_table(file)
        new = [names.get(name, name) for name in table.column_names]
        pq.write_table(table.rename_columns(new), file)
        edit_table(
            file, action=lambda rows: [[*r[:6], c] for r, c in zip(rows, commands)]
        )
    return root


def test_a_gripper_that_opens_by_one_is_turned(copied, recwarn):
    root = renamed(copied, [1, 0, 0.25, 1, 0])
    found = read(root, ReadOptions(image_convention="openpi"))[0]
    np.testing.assert_array_equal(found.action[:, -1], [-1, 1, 0.5, -1, 1])
    for rule, wanted in (("oxe", [-1, 1, 0.5, -1, 1]), ("libero", [1, 0, 0.25, 1, 0])):
        options = ReadOptions(image_convention="openpi", gripper=rule)
        np.testing.assert_array_equal(read(root, options)[0].action[:, -1], wanted)
    assert not recwarn
    with pytest.warns(PictureWarning, match="theirs, and in its actions 1 opens and 0"):
        read(root, ReadOptions())


def test_commands_of_another_rule_are_refused(copied):
    root = renamed(copied, [1, 0.5, -1, 1, 1])
    text = "000.parquet, row 2: the gripper's command is -1, .*gripper=libero if -1 op"
    with pytest.raises(ValueError, match=text):
        read(root)
    again = copied("v21_av1")  # LIBERO's own rule, of the names of lerobot/libero
    file = again / "data/chunk-000/episode_000001.parquet"
    edit_table(file, action=lambda rows: [*rows[:3], [0.0] * 7, *rows[4:]])
    with pytest.raises(
        ValueError, match="row 3: the gripper's command is 0, .*=oxe if"
    ):
        read(again)


def test_a_task_that_changes_makes_two_demonstrations(copied):
    root = copied("v21_images")
    file = root / "data/chunk-000/episode_000000.parquet"
    edit_table(file, task_index=lambda rows: [0, 0, 0, 1, 1])
    plain = read(FOLDER / "v21_images")[0]
    first, second, _ = read(root)
    assert (first.instruction, second.instruction) == make_fixtures.TASKS
    for part, span in ((first, slice(0, 3)), (second, slice(3, 5))):
        np.testing.assert_array_equal(part.action, plain.action[span])
        np.testing.assert_array_equal(part.images, np.asarray(plain.images)[span])


def test_a_split_is_a_range_of_episodes(copied):
    root = copied("v30_av1")
    edit_info(root, splits={"train": "0:1", "test": "1:2"})
    options = ReadOptions(image_convention="upright", split="test")
    assert [d.instruction for d in read(root, options)] == [make_fixtures.TASKS[1]]
    with pytest.raises(ValueError, match="data.split='x' is none of .*train, test"):
        read(root, ReadOptions(image_convention="upright", split="x"))
    edit_info(root, splits={"train": "80%"})
    with pytest.raises(ValueError, match="the split train as '80%': only FIRST:LAST"):
        read(root, ReadOptions(image_convention="upright", split="train"))


def test_the_rate_of_the_timestamps_may_be_given(copied):
    root = copied("v21_av1")
    edit_info(root, fps=20)
    with pytest.raises(
        ValueError, match=r"row 1: .*, 0.1 s after .* 20 fps give 0.05 s"
    ):
        read(root)
    given = read(root, ReadOptions(image_convention="upright", fps=10))[1]
    np.testing.assert_array_equal(given.images, read(FOLDER / "v21_av1")[1].images)


FILE = r"episode_000001.parquet"
EPISODES = "meta/episodes/chunk-000/file-000.parquet"
CORRUPTIONS = {
    "action of another size": (
        "v21_images",
        lambda root: edit_table(
            root / f"data/chunk-000/{FILE}",
            actions=lambda r: [*r[:2], r[2][:6], *r[3:]],
        ),
        f"{FILE}, row 2: actions has 6 numbers where info.json gives 7",
    ),
    "number that is not finite": (
        "v21_images",
        lambda root: edit_table(
            root / f"data/chunk-000/{FILE}", state=lambda r: [*r[:4], [np.nan] * 8]
        ),
        f"{FILE}, row 4: state is not finite",
    ),
    "task without words": (
        "v21_images",
        lambda root: edit_table(
            root / f"data/chunk-000/{FILE}", task_index=lambda r: [5] * len(r)
        ),
        f"{FILE}, row 0: task_index 5 is none of the 2 tasks of .*meta",
    ),
    "frames of another episode": (
        "v21_images",
        lambda root: shutil.copy(
            root / "data/chunk-000/episode_000000.parquet",
            root / f"data/chunk-000/{FILE}",
        ),
        f"{FILE}, row 0: frame 0 of episode 0, where frame 0 of episode 1 should be",
    ),
    "cut table": (
        "v21_images",
        lambda root: cut(root / f"data/chunk-000/{FILE}"),
        f"{FILE} is no whole parquet table .*get it again.*finalize",
    ),
    "Git-LFS pointer": (
        "v30_images",
        lambda root: pointer(root / "data/chunk-000/file-000.parquet"),
        "file-000.parquet is a Git-LFS pointer, .*git lfs pull",
    ),
    "missing table": (
        "v21_images",
        lambda root: (root / f"data/chunk-000/{FILE}").unlink(),
        rf"{FILE} is missing \(1 of the dataset's 2 files are not there\)",
    ),
    "missing video": (
        "v30_av1",
        lambda root: next(root.glob("videos/*.image2/*/*.mp4")).unlink(),
        r"image2.*mp4 is missing \(1 of the dataset's 3 files",
    ),
    "cut video": (
        "v30_h264",
        lambda root: cut(next(root.glob("videos/*.image2/*/*.mp4"))),
        r"image2.*mp4 has 20 frames to byte \d+, .* 20 and the file ends at byte",
    ),
    "video of another episode": (
        "v30_av1",
        lambda root: shutil.copy(
            next((FOLDER / "v21_av1").glob("videos/*/*.image/*0.mp4")),
            next(root.glob("videos/*.image/*/*.mp4")),
        ),
        "image/.*mp4 has 10 frames to byte .* where its episodes have 20 and",
    ),
    "missing tasks": (
        "v21_images",
        lambda root: (root / "meta/tasks.jsonl").unlink(),
        "tasks.jsonl is not there",
    ),
    "missing episodes": (
        "v30_images",
        lambda root: shutil.rmtree(root / "meta/episodes/chunk-000"),
        "meta/episodes holds no chunk-",
    ),
    "fewer episodes than promised": (
        "v21_images",
        lambda root: edit_info(root, total_episodes=3),
        "lists 2 episodes, meta/info.json has 3",
    ),
    "more frames than rows": (
        "v21_images",
        lambda root: (root / "meta/episodes.jsonl").write_text(
            '{"episode_index": 0, "tasks": [], "length": 5}\n'
            '{"episode_index": 1, "tasks": [], "length": 9}\n'
        ),
        f"{FILE} ends after row 4, but episode 1 goes on to row 8",
    ),
    "episode that is cut": (
        "v21_images",
        lambda root: (root / "meta/episodes.jsonl").write_text(
            '{"episode_index": 0, "tasks": [], "length": 5}\n'
            '{"episode_index": 1, "tasks": [], "length": 3}\n'
        ),
        f"{FILE} has 5 rows, but episode 1 3 frames",
    ),
    "episode listed twice": (
        "v21_images",
        lambda root: (root / "meta/episodes.jsonl").write_text(
            '{"episode_index": 1, "tasks": [], "length": 5}\n' * 2
        ),
        "meta lists episode 1 twice",
    ),
    "length that is no number": (
        "v30_images",
        lambda root: retype(root / EPISODES, length=["5", "5"]),
        "episodes/.*, row 0: length is '5', not a whole number from 0 on",
    ),
    "place without a number": (
        "v30_images",
        lambda root: retype(root / EPISODES, **{"data/file_index": [0, None]}),
        "episodes/.*, row 1: data/file_index is None, not a whole number",
    ),
    "task that is no text": (
        "v21_images",
        lambda root: (root / "meta/tasks.jsonl").write_text(
            '{"task_index": 0, "task": "go"}\n{"task_index": 1, "task": []}\n'
        ),
        r"tasks.jsonl, row 1: the task is \[\], no text",
    ),
    "row without a task": (
        "v21_images",
        lambda root: retype(
            root / f"data/chunk-000/{FILE}", task_index=[1, None, 1, 1, 1]
        ),
        f"{FILE}, row 1 has no task_index",
    ),
    "features that are none": (
        "v21_images",
        lambda root: edit_info(root, features={"image": None}),
        "info.json: features is no map of maps",
    ),
    "path without a template": (
        "v21_av1",
        lambda root: edit_info(root, video_path=None),
        "info.json: video_path is None, which makes no path of video_key, episode",
    ),
    "damaged line": (
        "v21_images",
        lambda root: (root / "meta/episodes.jsonl").write_text('{"a": 1}\n{"epis'),
        "episodes.jsonl, row 0 has a, not episode_index and length",
    ),
    "unknown version": (
        "v21_images",
        lambda root: edit_info(root, codebase_version="v1.6"),
        "codebase_version v1.6: v2.0, v2.1, v3.0 are read; convert",
    ),
}


def retype(file, **columns):
    """Replace columns of a table by values of any type."""
    table = pq.read_table(file)
    for name, values in columns.items():
        place = table.column_names.index(name)
        table = table.set_column(place, name, pa.array(values))
    pq.write_table(table, file)


def cut(file):
    file.write_bytes(file.read_bytes()[:-200])


def pointer(file):
    file.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:1\n")


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_damage_is_named_when_it_is_read(copied, name):
    fixture, damage, text = CORRUPTIONS[name]
    root = copied(fixture)
    damage(root)
    with pytest.raises((ValueError, FileNotFoundError), match=text) as error:
        read(root)
    assert len(str(error.value).splitlines()) == 1


def test_a_camera_that_is_missing_is_named():
    options = ReadOptions(cameras=("image", "side"), image_convention="upright")
    text = "info.json has no side: choose cameras from image, wrist_image with"
    with pytest.raises(ValueError, match=text):
        read(FOLDER / "v21_images", options)
    with pytest.raises(ValueError, match="no image: choose action_keys from state,"):
        read(FOLDER / "v21_images", ReadOptions(action_keys=("image",)))
