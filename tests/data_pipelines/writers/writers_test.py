"""Every writer: read back, whole or not at all, and nothing of others replaced."""

import importlib

import numpy as np
import pytest

from data_pipelines.lazy_images import LazyImages
from data_pipelines.readers import READERS, detect
from data_pipelines.writers import WRITERS
from tests.data_pipelines.rlds_test import make_episode

NAME = "libero_goal"
TEXTS = ("turn on the stove", "put it – café")  # one that no file name can say
EPISODES = [
    make_episode(seed, length=3 + seed)._replace(
        instruction=TEXTS[seed % 2], task=seed % 2
    )
    for seed in range(4)
]


@pytest.fixture(params=WRITERS)
def layout(request):
    return request.param


def read(folder):
    return list(READERS[detect(folder)](folder))


def files(folder):
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder): path.read_bytes() for path in paths}


def same_episodes(found, expected):
    assert len(found) == len(expected)
    for episode, original in zip(found, expected):
        assert episode.instruction == original.instruction
        for field in ("images", "state", "joint_state", "action"):
            np.testing.assert_array_equal(
                np.asarray(getattr(episode, field)), getattr(original, field)
            )


def test_round_trip_is_bit_exact(tmp_path, layout):
    writer = WRITERS[layout]
    folder = writer.write(tmp_path, iter(EPISODES), name=NAME)
    assert folder.is_relative_to(tmp_path / NAME)
    assert writer.count_episodes(tmp_path, NAME) == 4
    expected = list(EPISODES)
    if layout.startswith("hdf5"):  # a file for each task, by name
        expected = [*EPISODES[1::2], *EPISODES[0::2]]
    if layout == "hdf5":  # LIBERO's order loses both ends; the reader shifts it back
        ends = ("images", "state", "joint_state", "action")
        expected = [
            episode._replace(**{key: getattr(episode, key)[1:-1] for key in ends})
            for episode in expected
        ]
    same_episodes(read(folder), expected)


def test_pictures_may_be_decoded_on_access(tmp_path, layout):
    lazy = [
        episode._replace(
            images=LazyImages(episode.images.__getitem__, episode.images.shape)
        )
        for episode in EPISODES
    ]
    folder = WRITERS[layout].write(tmp_path / "lazy", lazy, name=NAME)
    plain = WRITERS[layout].write(tmp_path / "plain", EPISODES, name=NAME)
    same_episodes(read(folder), read(plain))


def test_an_earlier_dataset_of_ours_is_replaced(tmp_path, layout):
    writer = WRITERS[layout]
    writer.write(tmp_path, EPISODES, name=NAME)
    writer.check_writable(tmp_path, NAME)
    writer.write(tmp_path, EPISODES[:1], name=NAME)
    assert writer.count_episodes(tmp_path, NAME) == 1
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("beside_ours", [False, True])
def test_files_of_others_are_left_alone(tmp_path, layout, beside_ours):
    writer = WRITERS[layout]
    folder = writer.write(tmp_path, EPISODES, name=NAME)
    if not beside_ours:
        for file in files(folder):
            (folder / file).unlink()
    (folder / "notes.txt").write_text("mine")
    before = files(folder)
    for refuse in (
        lambda: writer.check_writable(tmp_path, NAME),
        lambda: writer.write(tmp_path, EPISODES, name=NAME),
    ):
        with pytest.raises(FileExistsError, match="did not write") as error:
            refuse()
        assert "\n" not in str(error.value)
    assert files(folder) == before


def test_an_interrupted_write_leaves_the_earlier_dataset(tmp_path, layout):
    writer = WRITERS[layout]
    folder = writer.write(tmp_path, EPISODES[:2], name=NAME)
    before = files(folder)

    def stopped():
        yield from EPISODES[:3]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        writer.write(tmp_path, stopped(), name=NAME)
    assert files(folder) == before and not list(tmp_path.glob(".*"))


def test_one_episode_at_a_time_is_taken(tmp_path, layout):
    taken, alive = 0, []

    def counted():
        nonlocal taken
        for episode in EPISODES:
            taken += 1
            alive.append(len(list(tmp_path.rglob(".*/**/*"))))
            yield episode

    WRITERS[layout].write(tmp_path, counted(), name=NAME)
    assert taken == len(EPISODES)
    # The first episodes lie on disk before the last is asked for.
    assert layout.startswith("rlds") or alive[-1] > alive[0]


@pytest.mark.parametrize(
    "change, words",
    [
        ({"state": np.zeros((3, 7), np.float32)}, "Demonstration 1 has state"),
        ({"images": np.zeros((3, 1, 16, 16, 3), np.uint8)}, "Demonstration 1 has im"),
        ({"action": np.zeros((3, 7))}, "Demonstration 1 has action float64"),
    ],
)
def test_other_shapes_are_one_line(tmp_path, layout, change, words):
    wrong = EPISODES[0]._replace(**change)
    with pytest.raises(ValueError, match=words) as error:
        WRITERS[layout].write(tmp_path, [EPISODES[0], wrong], name=NAME)
    assert "\n" not in str(error.value)
    assert WRITERS[layout].count_episodes(tmp_path, NAME) == 0


def test_no_episodes_is_one_line(tmp_path, layout):
    with pytest.raises(ValueError, match="no demonstrations to write"):
        WRITERS[layout].write(tmp_path, [], name=NAME)


@pytest.mark.parametrize(
    "layout, package", [("lerobot", "pyarrow"), ("hdf5", "h5py")], ids=str
)
def test_missing_packages_are_said_beforehand(tmp_path, layout, package, monkeypatch):
    def absent(name):
        raise ModuleNotFoundError(f"No module named {package!r}", name=package)

    monkeypatch.setattr(importlib, "import_module", absent)
    with pytest.raises(ModuleNotFoundError, match=rf"need {package}: pip install"):
        WRITERS[layout].check_writable(tmp_path, NAME)
