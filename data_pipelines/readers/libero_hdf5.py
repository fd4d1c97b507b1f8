"""Reads LIBERO's HDF5 demonstrations, `<task>_demo.hdf5`, and plain robomimic files.

    data                        attributes: problem_info, macros_image_convention
    data/demo_0/actions         [T, 7]
    data/demo_0/obs/NAME        [T, ...]
    mask/NAME                   optional: names of demonstrations, a filter key

In LIBERO's files `obs[j]` is what the step with `actions[j]` returned, so that actions
1, 2, ... go with observations 0, 1, ...; robomimic's files, and those whose `data` has
the attribute `obs_before_action`, hold observations before their actions.

Axes: T steps of a demonstration, V cameras, P state and D action dimensions.
"""

import functools
import json
import re
from pathlib import Path
from typing import Any, Iterator, NamedTuple

import numpy as np

from data_pipelines import lazy_images
from data_pipelines.errors import check_finite, first_line
from data_pipelines.lazy_images import LazyImages
from data_pipelines.readers.options import ReadOptions
from omnivla_jax.core import file_kinds
from omnivla_jax.core.orientation import convert_image_convention
from omnivla_jax.core.types import Demonstration

OPTIONS = ("image_convention", "cameras", "state_keys", "action_keys", "split")
SUFFIXES = (".hdf5", ".h5")
OPEN_FILES = 16  # that are kept
UNKNOWN_TASK = -1
QUATERNION = "robot0_eef_quat"  # x, y, z, w; becomes an axis-angle


class Layout(NamedTuple):
    """The names and the habits of a kind of file."""

    cameras: tuple[str, ...]
    state_keys: tuple[str, ...]
    action_keys: tuple[str, ...]
    joint_state: str
    convention: str  # how pictures lie, of `core.orientation`
    shift: int  # observation j goes with action j + shift


class PictureSource(NamedTuple):
    """What the pictures of a demonstration are read from."""

    file: Path
    demonstration: str  # its name below `data`
    cameras: tuple[str, ...]
    convention: str  # of `core.orientation`


LIBERO = Layout(
    cameras=("agentview_rgb", "eye_in_hand_rgb"),
    state_keys=("ee_states", "gripper_states"),
    action_keys=("actions",),
    joint_state="joint_states",
    convention="libero",
    shift=1,
)
ROBOMIMIC = Layout(
    cameras=("agentview_image", "robot0_eye_in_hand_image"),
    state_keys=("robot0_eef_pos", QUATERNION, "robot0_gripper_qpos"),
    action_keys=("actions",),
    joint_state="robot0_joint_pos",
    convention="upright",
    shift=0,
)


def recognizes(path: Path) -> bool:
    """Whether `path` is an HDF5 file or a folder with some."""
    path = Path(path).expanduser()
    if path.is_file():
        is_hdf5 = file_kinds.identify(path) is file_kinds.HDF5
        return is_hdf5 or path.suffix in SUFFIXES
    return bool(_files(path))


def read(path: Path, options: ReadOptions = ReadOptions()) -> Iterator[Demonstration]:
    """Yield the demonstrations of a file, or of a folder's files by their names.

    Args:
      path: the file or the folder.
      options: all but `fps`; names are those below `obs`, of actions those beside it.

    Yields:
      Demonstrations in the order of their numbers, whose pictures are read on access.
      The task is `UNKNOWN_TASK`.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: one line with the file and the demonstration.
    """
    files = _files(path)
    if not files:
        raise FileNotFoundError(f"No demonstrations in {path}: no *.hdf5 file there.")
    for file in files:
        opened = _open(file)
        layout, names = _layout(opened, options), _names(opened, file, options.split)
        instruction = _instruction(file, opened["data"].attrs)
        for name in names:
            yield _demonstration(file, name, layout, instruction)


def _demonstration(
    file: Path, name: str, layout: Layout, instruction: str
) -> Demonstration:
    """One demonstration; its steps are those with an observation before them."""
    where, group = f"{file}, {name}", _open(file)[f"data/{name}"]
    action = _joined(group, layout.action_keys, where)
    observations = _member(group, "obs", where)
    state = _joined(observations, layout.state_keys, f"{where}/obs")
    joints = np.full((len(action), 7), np.nan, np.float32)
    if layout.joint_state in observations:
        joints = _joined(observations, (layout.joint_state,), f"{where}/obs")
    cameras = [_member(observations, key, f"{where}/obs") for key in layout.cameras]
    for key, camera in zip(layout.cameras, cameras):
        if camera.dtype != np.uint8 or camera.shape[3:] != (3,):
            raise ValueError(
                f"{where}/obs/{key} is {camera.dtype}{camera.shape}, not pictures of "
                "three channels: name others by --config.data.cameras=NAME,NAME."
            )
    lengths = {len(array) for array in (action, state, joints, *cameras)}
    length = len(action) - layout.shift
    if len(lengths) > 1 or length < 1:
        raise ValueError(
            f"{where} has {len(action)} actions, {len(state)} states and "
            f"{len(cameras[0])} pictures, where there should be equally many, at least "
            f"{1 + layout.shift}: get the file again."
        )
    source = PictureSource(file, name, layout.cameras, layout.convention)
    return Demonstration(
        images=LazyImages(
            functools.partial(_read_pictures, source),
            (length, len(cameras), *cameras[0].shape[1:]),
        ),
        state=state[:length],
        joint_state=joints[:length],
        action=action[layout.shift :],
        instruction=instruction,
        task=UNKNOWN_TASK,
    )


def _read_pictures(source: PictureSource, frame: int) -> np.ndarray:
    """The pictures uint8 [V, S, S, 3] of an observation; others fit the first's size.

    ValueError where the file is damaged there.
    """
    observations = _open(source.file)[f"data/{source.demonstration}/obs"]
    try:
        views = [observations[camera][frame] for camera in source.cameras]
    except (OSError, RuntimeError, KeyError) as error:
        raise ValueError(
            f"{source.file}, {source.demonstration}, step {frame}: its pictures cannot "
            f"be read ({first_line(error)}): get the file again."
        ) from error
    views = [lazy_images.fit(view, views[0].shape[:2]) for view in views]
    return convert_image_convention(np.stack(views), source.convention)


def _files(path: Path) -> list[Path]:
    """The file itself, or the HDF5 files of a folder by name."""
    if not path.is_dir():
        return [path.absolute()] if path.exists() else []
    return sorted(f.absolute() for f in path.iterdir() if f.suffix in SUFFIXES)


@functools.lru_cache(OPEN_FILES)
def _open(file: Path) -> Any:
    """An open h5py.File; its own lock lets several threads read."""
    try:
        import h5py
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"HDF5 files need {error.name}: pip install 'omnivla-rl[data]'.",
            name=error.name,
        ) from error
    if file_kinds.identify(file) is not file_kinds.HDF5:
        raise ValueError(file_kinds.describe(file))
    try:
        return h5py.File(file, "r")
    except OSError as error:
        raise ValueError(
            f"{file} is damaged ({first_line(error)}): get it again."
        ) from error


def _layout(opened: Any, options: ReadOptions) -> Layout:
    """How a file is laid out: LIBERO's or robomimic's way, but for `options`."""
    attributes = _member(opened, "data", opened.filename).attrs
    is_libero = "problem_info" in attributes or "bddl_file_name" in attributes
    layout = LIBERO if is_libero else ROBOMIMIC
    order = attributes.get("macros_image_convention")
    if is_libero and order is not None and order != "opengl":
        layout = layout._replace(convention="upright")
    if attributes.get("obs_before_action", False):
        layout = layout._replace(shift=0)
    return layout._replace(
        cameras=options.cameras or layout.cameras,
        state_keys=options.state_keys or layout.state_keys,
        action_keys=options.action_keys or layout.action_keys,
        convention=options.image_convention or layout.convention,
    )


def _names(opened: Any, file: Path, split: str | None) -> list[str]:
    """The demonstrations of a filter key, or all, by their numbers."""
    names = list(opened["data"])
    if split is not None:
        masks = list(opened.get("mask", {}))
        if split not in masks:
            raise ValueError(
                f"{file} has no filter key {split!r}, which data.split names; there "
                f"are {', '.join(masks) or 'none'}."
            )
        names = [name.decode() for name in opened[f"mask/{split}"][()]]
    missing = [name for name in names if name not in opened["data"]]
    if missing or not names:
        raise ValueError(
            f"{file} has no {missing[0] if missing else 'demonstration'} below data: "
            "get it again."
        )

    def number(name: str) -> tuple[int, str]:
        digits = re.search(r"\d+$", name)
        return int(digits[0]) if digits else 0, name

    return sorted(names, key=number)


def _instruction(file: Path, attributes: Any) -> str:
    """The task's words.

    Those of the name of a `<task>_demo.hdf5`, as LIBERO's own training takes them: its
    BDDL files word 25 of the 40 tasks otherwise. Of any other file those of the
    attributes: LIBERO's instruction, or robomimic's name of the environment.
    """
    if file.stem.endswith("_demo"):
        stem = re.sub(r"^.*SCENE\d+_", "", file.stem.removesuffix("_demo"))
        return stem.replace("_", " ")
    try:
        told = json.loads(attributes.get("problem_info", "{}"))
        words = told.get("language_instruction")
        name = json.loads(attributes.get("env_args", "{}")).get("env_name")
    except (ValueError, AttributeError) as error:
        raise ValueError(
            f"{file}: problem_info or env_args of data is no JSON object ({error}): "
            "get it again."
        ) from error
    if not words and not name:
        raise ValueError(
            f"{file} has no instruction, neither in problem_info nor in env_args of "
            "data: name it TASK_demo.hdf5."
        )
    if words:
        return words if isinstance(words, str) else " ".join(words)
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()


def _joined(group: Any, keys: tuple[str, ...], where: str) -> np.ndarray:
    """The numbers of several datasets side by side, float32 [T, N]."""
    parts = []
    for key in keys:
        array = np.asarray(_member(group, key, where), np.float32)
        array = array.reshape(len(array), -1)
        check_finite(array, key, f"{where}, step")
        parts.append(_axis_angle(array) if key == QUATERNION else array)
    if len({len(part) for part in parts}) > 1:
        lengths = ", ".join(f"{len(p)} {key}" for key, p in zip(keys, parts))
        raise ValueError(f"{where} has {lengths}: get the file again.")
    return np.concatenate(parts, axis=1)


def _member(group: Any, name: str, where: str) -> Any:
    """The dataset or group below `group`; ValueError where there is none."""
    if name not in group:
        raise ValueError(
            f"{where} has no {name}, but {', '.join(group) or 'nothing'}: name others "
            "by --config.data.cameras, state_keys or action_keys, or get another file."
        )
    return group[name]


def _axis_angle(quaternion: np.ndarray) -> np.ndarray:
    """Rotations [T, 4] as x, y, z, w to axis times angle [T, 3], as robosuite does."""
    w = np.clip(quaternion[:, 3:], -1, 1)
    sine = np.sqrt(1 - w * w)
    scale = 2 * np.arccos(w) / np.where(sine < 1e-6, 1, sine)
    return np.where(sine < 1e-6, 0, quaternion[:, :3] * scale)
