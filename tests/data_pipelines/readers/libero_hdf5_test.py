"""Tests of readers.libero_hdf5: which observation goes with which action; damage."""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from data_pipelines.errors import PictureWarning
from data_pipelines.lazy_images import LazyImages
from data_pipelines.readers import READERS, detect
from data_pipelines.readers.options import ReadOptions

LENGTH, SIDE = 4, 8
NAME = "KITCHEN_SCENE3_turn_on_the_stove_demo.hdf5"
LIBERO = {
    "problem_info": json.dumps({"language_instruction": "Turn the stove on"}),
    "macros_image_convention": "opengl",
    "bddl_file_name": "bddl_files/turn_on_the_stove.bddl",
}


def observations(rng, sizes, cameras):
    pictures = {
        name: rng.integers(0, 256, (LENGTH, SIDE, SIDE, 3), np.uint8)
        for name in cameras
    }
    return pictures | {n: rng.normal(size=(LENGTH, k)) for n, k in sizes.items()}


def store(file: Path, *, demos=2, attributes=LIBERO, seen=None, change=None) -> Path:
    """Write a file of LIBERO's layout; `change` edits the open file."""
    rng = np.random.default_rng(0)
    sizes = {"ee_states": 6, "gripper_states": 2, "joint_states": 7}
    cameras = ("agentview_rgb", "eye_in_hand_rgb")
    file.parent.mkdir(exist_ok=True)
    with h5py.File(file, "w") as opened:
        data = opened.create_group("data")
        data.attrs.update(attributes)
        for number in range(demos):
            group = data.create_group(f"demo_{number}")
            actions = rng.uniform(-1, 1, (LENGTH, 7))
            actions[:, 0] = number / 100
            group["actions"] = actions
            for key, value in (seen or observations)(rng, sizes, cameras).items():
                group[f"obs/{key}"] = value
        if change is not None:
            change(opened)
    return file


def read(path, **options):
    return list(READERS["libero_hdf5"](path, options=ReadOptions(**options)))


def stored(file, name):
    with h5py.File(file) as opened:
        return opened[name][()]


def test_an_observation_goes_with_the_next_action(tmp_path):
    file = store(tmp_path / NAME)
    found, _ = read(file)
    np.testing.assert_allclose(found.action, stored(file, "data/demo_0/actions")[1:])
    states = [
        stored(file, f"data/demo_0/obs/{k}") for k in ("ee_states", "gripper_states")
    ]
    np.testing.assert_allclose(found.state, np.concatenate(states, axis=1)[:-1], 1e-6)
    joints = stored(file, "data/demo_0/obs/joint_states")
    np.testing.assert_allclose(found.joint_state, joints[:-1], 1e-6)
    assert isinstance(found.images, LazyImages)
    for view, camera in enumerate(("agentview_rgb", "eye_in_hand_rgb")):
        pictures = stored(file, f"data/demo_0/obs/{camera}")[:-1, ::-1]
        np.testing.assert_array_equal(np.asarray(found.images)[:, view], pictures)
    assert found.images.shape == (LENGTH - 1, 2, SIDE, SIDE, 3)
    assert found.action.dtype == found.state.dtype == np.float32


def test_a_file_may_hold_observations_before_actions(tmp_path):
    file = store(tmp_path / NAME, attributes={**LIBERO, "obs_before_action": True})
    found, _ = read(file)
    np.testing.assert_allclose(found.action, stored(file, "data/demo_0/actions"))
    pictures = stored(file, "data/demo_0/obs/agentview_rgb")
    np.testing.assert_array_equal(found.images[LENGTH - 1][0], pictures[-1, ::-1])


def test_openvlas_files_are_in_step_and_upside_down(tmp_path, recwarn):
    """LIBERO's names without attributes, as its script regenerates them."""
    file = store(tmp_path / NAME, attributes={})
    with pytest.warns(PictureWarning, match="upside down, and observations before th"):
        found, _ = read(file)
    np.testing.assert_allclose(found.action, stored(file, "data/demo_0/actions"))
    pictures = stored(file, "data/demo_0/obs/agentview_rgb")
    np.testing.assert_array_equal(np.asarray(found.images)[:, 0], pictures[:, ::-1])
    recwarn.clear()
    found, _ = read(file, image_convention="upright")
    np.testing.assert_array_equal(np.asarray(found.images)[:, 0], pictures)
    assert found.instruction == "turn on the stove" and not recwarn


def test_demonstrations_are_ordered_by_number(tmp_path):
    found = read(store(tmp_path / NAME, demos=12))
    numbers = [round(float(d.action[0, 0]) * 100) for d in found]
    assert numbers == list(range(12))


def test_a_folder_is_read_by_names_of_files(tmp_path):
    for task in ("b_task", "a_task"):
        store(tmp_path / f"{task}_demo.hdf5", demos=1)
    assert detect(tmp_path) == detect(tmp_path / "a_task_demo.hdf5") == "libero_hdf5"
    assert [d.instruction for d in read(tmp_path)] == ["a task", "b task"]


def test_a_links_name_has_the_words(tmp_path):
    blob = store(tmp_path / "0a1b2c")  # as in Hugging Face's cache
    link = tmp_path / "snapshot" / "open_it_demo.hdf5"
    link.parent.mkdir()
    link.symlink_to(blob)
    for path in (link, link.parent):
        assert {d.instruction for d in read(path)} == {"open it"}


@pytest.mark.parametrize(
    "name, attributes, words",
    [
        (NAME, LIBERO, "turn on the stove"),
        ("mine.hdf5", LIBERO, "Turn the stove on"),
        ("mine.hdf5", {"env_args": '{"env_name": "PickPlaceCan"}'}, "pick place can"),
    ],
)
def test_words_come_from_the_name_or_attributes(tmp_path, name, attributes, words):
    def robomimic(rng, sizes, cameras):
        sizes = {"robot0_eef_pos": 3, "robot0_eef_quat": 4, "robot0_gripper_qpos": 2}
        cameras = ("agentview_image", "robot0_eye_in_hand_image")
        return observations(rng, sizes, cameras)

    seen = robomimic if "env_args" in attributes else None
    found = read(store(tmp_path / name, attributes=attributes, seen=seen))
    assert [d.instruction for d in found] == [words] * 2


def test_robomimic_is_upright_and_in_step(tmp_path):
    rotations = Rotation.random(LENGTH, random_state=0)

    def seen(rng, sizes, cameras):
        cameras = ("agentview_image", "robot0_eye_in_hand_image")
        made = observations(rng, {"robot0_eef_pos": 3}, cameras)
        made["robot0_eef_quat"] = rotations.as_quat(canonical=True)
        return made | {"robot0_gripper_qpos": np.ones((LENGTH, 2))}

    attributes = {"env_args": json.dumps({"env_name": "Lift"})}
    file = store(tmp_path / "low_dim.hdf5", attributes=attributes, seen=seen)
    found, _ = read(file)
    np.testing.assert_allclose(found.action, stored(file, "data/demo_0/actions"))
    np.testing.assert_allclose(found.state[:, 3:6], rotations.as_rotvec(), atol=1e-5)
    pictures = stored(file, "data/demo_0/obs/agentview_image")
    np.testing.assert_array_equal(found.images[1][0], pictures[1])
    assert np.isnan(found.joint_state).all()


def test_a_filter_key_is_a_split(tmp_path):
    def mask(opened):
        opened["mask/valid"] = np.array([b"demo_10", b"demo_2"])

    file = store(tmp_path / NAME, demos=11, change=mask)
    numbers = [round(float(d.action[0, 0]) * 100) for d in read(file, split="valid")]
    assert numbers == [2, 10]
    with pytest.raises(ValueError, match="no filter key 'train', .* there are valid"):
        read(file, split="train")


def test_names_and_convention_may_be_given(tmp_path):
    options = {
        "cameras": ("eye_in_hand_rgb",),
        "state_keys": ("joint_states",),
        "image_convention": "upright",
    }
    file = store(tmp_path / NAME)
    found, _ = read(file, **options)
    assert found.state.shape == (LENGTH - 1, 7)
    pictures = stored(file, "data/demo_0/obs/eye_in_hand_rgb")
    np.testing.assert_array_equal(np.asarray(found.images)[:, 0], pictures[:-1])


def short(opened):
    del opened["data/demo_1/actions"]
    opened["data/demo_1/actions"] = np.zeros((2, 7))


def infinite(opened):
    opened["data/demo_1/obs/ee_states"][2] = np.inf


def replaced(name, value):
    """A change of the open file: another value of one dataset."""

    def change(opened):
        opened.pop(name)
        opened[name] = value

    return change


@pytest.mark.parametrize(
    "change, options, text",
    [
        (
            replaced("data/demo_1/actions", np.zeros((LENGTH, 14))),
            {},
            "demo_1 has 8 numbers of state and 14 of action, demo_0 8 and 7",
        ),
        (
            replaced("data/demo_0/actions", np.array([b"a"] * LENGTH)),
            {},
            r"demo_0 has actions as \|S1\[4\], which are no numbers",
        ),
        (
            replaced("data/demo_0/obs/ee_states", h5py.SoftLink("/nowhere")),
            {},
            "demo_0 cannot be read .*get the file again",
        ),
        (replaced("data/demo_0", [1.0]), {}, "demo_0 is no group with actions in it"),
        (
            lambda f: f["data"].attrs.update(macros_image_convention="x"),
            {},
            "macros_image_convention is 'x', which is none of opengl, opencv",
        ),
        (short, {}, "demo_1 has 2 actions, 4 states and 4 pictures, where"),
        (infinite, {}, "demo_1/obs, step 2: ee_states is not finite"),
        (lambda f: f.pop("data/demo_1/obs"), {}, "demo_1 has no obs, but actions"),
        (
            lambda f: f.pop("data/demo_0/obs/eye_in_hand_rgb"),
            {},
            "demo_0/obs has no eye_in_hand_rgb, but agentview_rgb, ee_states, .* name",
        ),
        (lambda f: f.pop("data"), {}, "demo.hdf5 has no data, but nothing"),
        (lambda f: f["data"].clear(), {}, "has no demonstration below data"),
        (None, {"cameras": ("ee_states",)}, r"ee_states is float64\[4, 6\], not pict"),
        (None, {"cameras": ("side",)}, "demo_0/obs has no side, but agentview_rgb"),
    ],
)
def test_what_is_wrong_is_one_line(tmp_path, change, options, text):
    file = store(tmp_path / NAME, change=change)
    with pytest.raises(ValueError, match=text) as error:
        read(file, **options)
    assert len(str(error.value).splitlines()) == 1


def test_a_damaged_file_is_one_line(tmp_path):
    file = store(tmp_path / NAME)
    file.write_bytes(file.read_bytes()[:-500])
    with pytest.raises(ValueError, match="demo.hdf5 is damaged .*truncated") as error:
        read(file)
    assert len(str(error.value).splitlines()) == 1
    pointer = tmp_path / "pointer.hdf5"
    pointer.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:1\n")
    assert detect(pointer) == "libero_hdf5"
    with pytest.raises(ValueError, match="pointer.hdf5 is a Git-LFS pointer"):
        read(pointer)
    with pytest.raises(FileNotFoundError, match="no .*hdf5 file there"):
        read(tmp_path / "absent")
