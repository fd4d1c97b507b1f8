"""Tests of lerobot.pictures: damage is named on access, and little stays in memory."""

import pickle
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from data_pipelines.encoded_cache import EncodedCache
from data_pipelines.readers import READERS
from data_pipelines.readers.lerobot import pictures
from data_pipelines.readers.options import ReadOptions
from tests.data_pipelines.readers.fixtures.make_fixtures import FOLDER

AS_STORED = ReadOptions(image_convention="upright")
TABLE = "data/chunk-000/episode_000001.parquet"


@pytest.fixture
def root(tmp_path):
    return shutil.copytree(FOLDER / "v21_images", tmp_path / "copy")


def store(root, row, **value):
    """Replace one picture of the wrist camera in episode 1."""
    table = pq.read_table(root / TABLE)
    place = table.column_names.index("wrist_image")
    rows = table.column(place).to_pylist()
    rows[row] = {"bytes": None, "path": None} | value
    column = pa.array(rows, table.schema.field(place).type)
    pq.write_table(table.set_column(place, "wrist_image", column), root / TABLE)


def read(root):
    return list(READERS["lerobot"](root, options=AS_STORED))


def second(root):
    return read(root)[1].images


def test_a_damaged_picture_is_named(root):
    store(root, 3, bytes=b"\x89PNG\r\n\x1a\nnothing more")
    images = second(root)
    images[2]
    text = "episode_000001.parquet, row 3, wrist_image is no whole picture"
    with pytest.raises(ValueError, match=text) as error:
        images[3]
    assert len(str(error.value).splitlines()) == 1
    emptied = shutil.copytree(root, root.parent / "emptied")
    store(emptied, 3)
    with pytest.raises(ValueError, match=r"row 3, .* no whole picture \(it is empty"):
        second(emptied)[3]


def test_a_picture_may_lie_in_a_file(root):
    picture = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    (root / "images").mkdir()
    Image.fromarray(picture).save(root / "images/frame.png")
    store(root, 1, path="images/frame.png")
    np.testing.assert_array_equal(second(root)[1][1], picture)


def test_a_picture_of_another_size_is_named(root, tmp_path):
    Image.fromarray(np.zeros((8, 9, 3), np.uint8)).save(tmp_path / "wide.png")
    store(root, 0, bytes=(tmp_path / "wide.png").read_bytes())
    text = r"row 0: wrist_image has shape \(8, 9, 3\) where info.json gives \(8, 8, 3\)"
    with pytest.raises(ValueError, match=text):
        second(root)[0]


def test_depth_is_no_picture(root, tmp_path):
    depth = np.full((8, 8), 1000, np.uint16)
    Image.fromarray(depth).save(tmp_path / "depth.png")
    store(root, 2, bytes=(tmp_path / "depth.png").read_bytes())
    text = r"row 2, wrist_image is no whole picture \(it has numbers of more than eight"
    with pytest.raises(ValueError, match=text):
        second(root)[2]


def test_encoded_pictures_are_bounded(root, monkeypatch):
    kept = EncodedCache(limit=3000)
    monkeypatch.setattr(pictures, "ENCODED", kept)
    episodes = read(root)
    np.asarray(episodes[0].images)
    assert len(kept) == 2 and 1000 < kept.nbytes < 3000  # two cameras
    np.asarray(episodes[1].images)
    assert len(kept) < 4 and kept.nbytes < 3000
    np.testing.assert_array_equal(read(root)[0].images[4], episodes[0].images[4])


def test_pictures_travel_to_another_process(root):
    images = second(root)
    travelled = pickle.loads(pickle.dumps(images))
    np.testing.assert_array_equal(travelled[4], images[4])
