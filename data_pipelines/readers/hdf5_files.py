"""What is where in an HDF5 file of demonstrations, LIBERO's or robomimic's.

Axes: T steps of a demonstration, N numbers of a dataset.
"""

import contextlib
import functools
import json
import re
import warnings
from pathlib import Path
from typing import Any, Iterator, NamedTuple

import numpy as np

from data_pipelines.errors import (
    PictureWarning,
    check_finite,
    first_line,
    optional_module,
)
from data_pipelines.readers.options import ReadOptions
from omnivla_jax.core import file_kinds

OPEN_FILES = 16  # that are kept
DEMO = "_demo"  # behind the task in the name of a LIBERO file
QUATERNION = "robot0_eef_quat"  # x, y, z, w; becomes an axis-angle
NUMBERS = "biuf"  # kinds of NumPy's types
ORDERS = {"opengl": "libero", "opencv": "upright"}  # of rows, as robosuite names them


class Layout(NamedTuple):
    """The names and the habits of a kind of file."""

    cameras: tuple[str, ...]
    state_keys: tuple[str, ...]
    action_keys: tuple[str, ...]
    joint_state: str
    convention: str  # how pictures lie, of `core.orientation`
    shift: int  # observation j goes with action j + shift


LIBERO = Layout(
    cameras=("agentview_rgb", "eye_in_hand_rgb"),
    state_keys=("ee_states", "gripper_states"),
    action_keys=("actions",),
    joint_state="joint_states",
    convention="libero",
    shift=1,
)
REGENERATED = LIBERO._replace(shift=0)  # by OpenVLA's script: without attributes
ROBOMIMIC = Layout(
    cameras=("agentview_image", "robot0_eye_in_hand_image"),
    state_keys=("robot0_eef_pos", QUATERNION, "robot0_gripper_qpos"),
    action_keys=("actions",),
    joint_state="robot0_joint_pos",
    convention="upright",
    shift=0,
)


@functools.lru_cache(OPEN_FILES)
def open_file(file: Path) -> Any:
    """An open h5py.File; its own lock lets several threads read."""
    h5py = optional_module("h5py", "HDF5 files")
    if file_kinds.identify(file) is not file_kinds.HDF5:
        raise ValueError(file_kinds.describe(file))
    try:
        return h5py.File(file, "r")
    except OSError as error:
        raise ValueError(
            f"{file} is damaged ({first_line(error)}): get it again."
        ) from error


@contextlib.contextmanager
def named_damage(where: str) -> Iterator[None]:
    """Turn what h5py raises of a damaged file into one line; `where` names it."""
    try:
        yield
    except (OSError, RuntimeError, KeyError) as error:
        raise ValueError(
            f"{where} cannot be read ({first_line(error)}): get the file again."
        ) from error


def layout_of(opened: Any, options: ReadOptions) -> Layout:
    """How a file is laid out: LIBERO's, OpenVLA's or robomimic's, but for `options`.

    OpenVLA's files have LIBERO's names, and observations before their actions, but no
    attributes; a warning says so.

    Raises ValueError where `opened` has no group `data`.
    """
    attributes = member(opened, "data", opened.filename).attrs
    is_libero = "problem_info" in attributes or "bddl_file_name" in attributes
    layout = LIBERO if is_libero else ROBOMIMIC
    if not is_libero and "env_args" not in attributes and _has_liberos_names(opened):
        layout = REGENERATED
        if options.image_convention is None:
            warnings.warn(
                f"{opened.filename} has LIBERO's names, not its attributes: pictures "
                "are taken upside down, and observations before their actions, as "
                "OpenVLA's script leaves them. Say --config.data.image_convention="
                f"{layout.convention} to confirm, or =upright if they are upright.",
                PictureWarning,
                stacklevel=2,
            )
    order = attributes.get("macros_image_convention", "opengl")
    if not isinstance(order, str) or order not in ORDERS:
        raise ValueError(
            f"{opened.filename}: macros_image_convention is {order!r:.40}, which is "
            f"none of {', '.join(ORDERS)}: get it again."
        )
    if is_libero:
        layout = layout._replace(convention=ORDERS[order])
    if attributes.get("obs_before_action", False):
        layout = layout._replace(shift=0)
    return layout._replace(
        cameras=options.cameras or layout.cameras,
        state_keys=options.state_keys or layout.state_keys,
        action_keys=options.action_keys or layout.action_keys,
        convention=options.image_convention or layout.convention,
    )


def _has_liberos_names(opened: Any) -> bool:
    """Whether the first demonstration has LIBERO's cameras."""
    for demonstration in opened["data"].values():
        if not hasattr(demonstration, "keys") or "obs" not in demonstration:
            return False
        return all(camera in demonstration["obs"] for camera in LIBERO.cameras)
    return False


def demonstration_names(opened: Any, split: str | None) -> list[str]:
    """The demonstrations of a filter key, or all, by their numbers.

    Args:
      opened: the file, with a group `data`.
      split: a filter key, an array of names below `mask`; None: all.

    Raises ValueError where the filter key or a demonstration is missing.
    """
    file = opened.filename
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


def instruction_of(file: Path, attributes: Any) -> str:
    """The task's words.

    Those of the name of a `<task>_demo.hdf5`, as LIBERO's own training takes them: its
    BDDL files word 25 of the 40 tasks otherwise. Of any other file those of the
    attributes: LIBERO's instruction, or robomimic's name of the environment.
    """
    if file.stem.endswith(DEMO):
        return words_of(file.stem.removesuffix(DEMO))
    try:
        problem = json.loads(attributes.get("problem_info", "{}"))
        words = problem.get("language_instruction")
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


def words_of(task: str) -> str:
    """The instruction that the name of a task stands for, its scene left out."""
    return re.sub(r"^.*SCENE\d+_", "", task).replace("_", " ")


def joined(group: Any, keys: tuple[str, ...], where: str) -> np.ndarray:
    """The numbers of several datasets side by side, float32 [T, N].

    Args:
      group: that they lie in.
      keys: their names, at least one.
      where: file and group, to name in errors.

    Raises ValueError where one is missing, of another length or not finite.
    """
    parts = []
    for key in keys:
        dataset = member(group, key, where)
        shape = getattr(dataset, "shape", None)
        kind: Any = getattr(dataset, "dtype", None)
        if shape is None or kind.kind not in NUMBERS or not dataset.size:
            held = "a group" if shape is None else f"{kind}{list(shape)}"
            raise ValueError(
                f"{where} has {key} as {held}, which are no numbers: get it again."
            )
        array = np.atleast_1d(np.asarray(dataset, np.float32))
        array = array.reshape(len(array), -1)
        check_finite(array, key, f"{where}, step")
        parts.append(_axis_angle(array) if key == QUATERNION else array)
    if len({len(part) for part in parts}) > 1:
        lengths = ", ".join(f"{len(p)} {key}" for key, p in zip(keys, parts))
        raise ValueError(f"{where} has {lengths}: get the file again.")
    return np.concatenate(parts, axis=1)


def member(group: Any, name: str, where: str) -> Any:
    """The dataset or group below `group`; ValueError where there is none."""
    if not hasattr(group, "keys"):
        raise ValueError(f"{where} is no group with {name} in it: get the file again.")
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
