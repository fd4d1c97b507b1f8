"""Tests of data_pipelines.readers: layouts are detected, pictures decoded on access."""

import io
import sys

import numpy as np
import pytest

from data_pipelines import png, rlds, rlds_builder, rlds_records
from data_pipelines.encoded_cache import EncodedCache
from data_pipelines.lazy_images import LazyImages
from data_pipelines.readers import (
    READERS,
    detect,
    input_names,
    modified_libero_rlds,
)
from data_pipelines.readers.options import ReadOptions
from tests.data_pipelines.readers.fixtures.make_fixtures import FIXTURES, FOLDER
from tests.data_pipelines.rlds_test import make_episode


@pytest.fixture(params=rlds_builder.FORMATS)
def folder(request, tmp_path):
    """A version folder of our own with five demonstrations."""
    episodes = [make_episode(seed, length=2 + seed % 3) for seed in range(5)]
    return rlds.write(
        tmp_path / "data", episodes, name="libero_goal", file_format=request.param
    )


def test_our_own_layout_is_detected_and_read(folder):
    for path in (folder, folder.parent, folder.parents[1]):
        assert detect(path) == "rlds"
        assert [d.task for d in READERS["rlds"](path)] == [0, 1, 2, 3, 4]


def test_a_dataset_of_others_is_not_ours(tmp_path, monkeypatch):
    monkeypatch.setattr(rlds_builder, "DESCRIPTION", "LIBERO without no-ops")
    folder = rlds.write(tmp_path / "data", [make_episode(0)], name="libero_goal")
    assert detect(folder) == "modified_libero_rlds"
    with pytest.raises(ValueError, match="read it as modified_libero_rlds"):
        list(READERS["rlds"](folder))
    assert len(list(READERS["modified_libero_rlds"](folder))) == 1


def test_pictures_are_decoded_on_access(folder, monkeypatch):
    demonstrations = list(READERS["rlds"](folder))
    original = make_episode(3, length=2)
    images = demonstrations[3].images
    assert isinstance(images, LazyImages) and images.shape == original.images.shape
    np.testing.assert_array_equal(np.asarray(images), original.images)
    np.testing.assert_array_equal(images[1], original.images[1])
    with pytest.raises(IndexError, match="Frame 2 of a demonstration of 2"):
        images[2]


def test_parsed_records_in_memory_are_bounded(folder, monkeypatch):
    kept = EncodedCache(limit=1)  # byte: one record at least
    monkeypatch.setattr(rlds_records, "ENCODED", kept)
    for demonstration in READERS["rlds"](folder):
        np.asarray(demonstration.images)
    assert len(kept) == 1


def test_the_image_convention_is_undone_by_name(folder):
    images = make_episode(0, length=2).images  # stored as modified_libero_rlds
    for convention, expected in (
        ("modified_libero_rlds", images),
        ("upright", images[..., ::-1, :]),
        ("libero", images[..., ::-1, ::-1, :]),
    ):
        options = ReadOptions(image_convention=convention)
        found = next(READERS["rlds"](folder, options=options))
        np.testing.assert_array_equal(np.asarray(found.images), expected)
    with pytest.raises(ValueError, match="convention 'sideways': choose from upright"):
        options = ReadOptions(image_convention="sideways")
        next(READERS["rlds"](folder, options=options)).images[0]


def test_the_hubs_cache_is_read_through_its_links(tmp_path):
    """The files of a snapshot are links to blobs that are named by their content."""
    root = tmp_path / "datasets--someone--libero"
    (root / "blobs").mkdir(parents=True)
    source = FOLDER / "v30_av1"
    for number, file in enumerate(f for f in source.rglob("*") if f.is_file()):
        blob = root / "blobs" / f"{number:064x}"
        blob.write_bytes(file.read_bytes())
        link = root / "snapshots" / "0a1b" / file.relative_to(source)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(blob)
    assert detect(root) == "lerobot"
    options = ReadOptions(image_convention="openpi")
    for found, wanted in zip(
        READERS["lerobot"](root, options=options),
        READERS["lerobot"](source, options=options),
        strict=True,
    ):
        np.testing.assert_array_equal(found.images, wanted.images)


@pytest.mark.parametrize("name", ["v21_images", "v30_av1"])
def test_robots_hand_over_what_was_learned(name):
    path = FOLDER / name
    assert input_names("lerobot", path, ReadOptions()) == ((), ())  # as LIBERO's
    chosen = (FIXTURES[name].keys[1],)
    found = input_names("lerobot", path, ReadOptions(cameras=chosen))
    assert found == (chosen, ())
    droid = input_names("droid_rlds", path, ReadOptions(state_keys=("a", "b")))
    assert droid.state == ("observation/a", "observation/b")
    assert droid.cameras[1] == "observation/wrist_image_left"
    assert input_names("rlds", path, ReadOptions()) == ((), ())


@pytest.mark.parametrize(
    "options, text",
    [
        (
            ReadOptions(fps=20),
            r"data.fps=20 is not an option of the reader rlds, .*take",
        ),
        (ReadOptions(cameras=("a",)), r"data.cameras=\('a',\) is not an option"),
    ],
)
def test_an_option_that_is_ignored_is_refused(tmp_path, options, text):
    with pytest.raises(ValueError, match=text):
        READERS["rlds"](tmp_path, options=options)


@pytest.mark.parametrize(
    "package, reader, path",
    [
        ("pyarrow", "lerobot", FOLDER / "v30_images"),
        ("pyarrow.parquet", "lerobot", FOLDER / "v21_images"),
        ("av", "lerobot", FOLDER / "v21_av1"),
        ("h5py", "libero_hdf5", "demo.hdf5"),
    ],
)
def test_a_missing_package_names_the_extra(
    tmp_path, monkeypatch, package, reader, path
):
    (tmp_path / "demo.hdf5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(64))
    monkeypatch.setitem(sys.modules, package, None)
    options = ReadOptions(image_convention="upright")
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'omnivla-rl\[data\]'"):
        next(READERS[reader](tmp_path / path, options=options)).images[0]


@pytest.mark.parametrize(
    "name, content, text",
    [
        ("absent", None, "absent: there is no such path"),
        ("empty", {}, "none of the layouts lerobot, .*; it holds no files"),
        ("other", {"a.txt": "", "meta": ""}, "it holds a.txt, meta: name the dataset"),
    ],
)
def test_an_unknown_layout_is_one_line(tmp_path, name, content, text):
    if content is not None:
        (tmp_path / name).mkdir()
        for file, words in content.items():
            (tmp_path / name / file).write_text(words)
    with pytest.raises((ValueError, FileNotFoundError), match=text) as error:
        detect(tmp_path / name)
    assert len(str(error.value).splitlines()) == 1


def test_a_file_is_named_for_its_kind(tmp_path):
    file = tmp_path / "demo.npz"
    np.savez(file, images=np.zeros(1))
    with pytest.raises(ValueError, match="NumPy archive.* A dataset is an HDF5 file"):
        detect(file)


def test_several_datasets_need_a_name(folder):
    rlds.write(folder.parents[1], [make_episode(0)], name="libero_object")
    with pytest.raises(ValueError, match="several datasets .*: name one of them"):
        detect(folder.parents[1])


def test_a_picture_of_another_size_is_named(tmp_path, monkeypatch):
    wide = make_episode(0)
    steps = rlds._steps

    def odd(episode):
        made = steps(episode)
        picture = io.BytesIO(png.encode(np.zeros((4, 4, 3), np.uint8)))
        made[1]["observation"]["wrist_image"] = picture
        return made

    tree = modified_tree()
    monkeypatch.setattr(rlds_builder, "features", lambda side: tree)
    monkeypatch.setattr(rlds, "_steps", odd)
    folder = rlds.write(tmp_path / "data", [wide], name="libero_goal")
    (found,) = modified_libero_rlds.read(folder)
    with pytest.raises(ValueError, match=r"record 0 .*\(4, 4, 3\).* in step 1"):
        np.asarray(found.images)


def modified_tree():
    """Our features, pictures of any size."""
    import tensorflow_datasets as tfds

    tree = rlds_builder.features(16)
    picture = tfds.features.Image(shape=(None, None, 3), encoding_format="png")
    step = dict(tree["steps"].feature.items())
    step["observation"] = dict(step["observation"].items())
    step["observation"] |= {"image": picture, "wrist_image": picture}
    return tfds.features.FeaturesDict(
        {
            "steps": tfds.features.Dataset(step),
            "episode_metadata": tree["episode_metadata"],
        }
    )
