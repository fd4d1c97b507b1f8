"""Writes HDF5 files in LIBERO's layout, NAME/<task>_demo.hdf5, one for each task.

    data                        attributes as LIBERO's and robomimic's
    data/demo_0/{actions, states, rewards, dones}, data/demo_0/obs/NAME

As in LIBERO's own files, `obs[j]` is what the step with `actions[j]` returned, and
pictures lie upside down. That order has no place for the first observation and the last
action. `OBS_BEFORE_ACTION` keeps all, and says so in an attribute: better for trainers
that learn `actions[j]` from `obs[j]`, as LIBERO's and robomimic's do. `states[j]`, of
the simulator before `actions[j]`, are there where a demonstration has them.

Axes: T steps of a demonstration, V camera views, S image side.
"""

import functools
import json
import re
from pathlib import Path
from typing import Any, Iterable

import numpy as np

from data_pipelines.errors import optional_module
from data_pipelines.readers import hdf5_files
from data_pipelines.writers import base, folders
from omnivla_jax.core.orientation import convert_image_convention
from omnivla_jax.core.types import Demonstration

SUFFIX = ".hdf5"
CONTROL_RATE = 20  # Hz


def _write(
    directory: Path,
    episodes: Iterable[Demonstration],
    *,
    name: str,
    task_names: dict[int, str] | None = None,
    obs_before_action: bool,
) -> Path:
    """See `base.Write`; `obs_before_action` is the order that is written."""
    h5py = optional_module("h5py", "HDF5 files")
    folder = folders.of_dataset(directory, name)
    side, in_order = base.checked(episodes)
    with folders.replacing(folder, _is_ours) as root:
        stems: dict[str, str] = {}  # by instruction
        for index, episode in enumerate(in_order):
            text, known = episode.instruction, (task_names or {}).get(episode.task)
            if text not in stems:
                stems[text] = _stem(known, text, taken=list(stems.values()))
            file = root / f"{stems[text]}{SUFFIX}"
            if not obs_before_action and len(episode.action) < 2:
                raise ValueError(
                    f"Demonstration {index} has one step, which has no place in "
                    "LIBERO's order: write it as hdf5_obs_before_action."
                )
            with h5py.File(file, "a") as opened:
                data = opened.require_group("data")
                if not len(data):
                    data.attrs.update(_attributes(name, text, known, side))
                    if obs_before_action:
                        data.attrs["obs_before_action"] = True
                _add(data, episode, shift=0 if obs_before_action else 1)
    return folder


def _add(data: Any, episode: Demonstration, *, shift: int) -> None:
    """Append a demonstration to the group; observation j + shift goes with action j."""
    length = len(episode.action) - shift
    group = data.create_group(f"demo_{len(data)}")
    group.attrs["num_samples"] = length
    group["actions"] = np.asarray(episode.action[:length], np.float64)
    if episode.simulator_state is not None:
        states = np.asarray(episode.simulator_state, np.float64)[:length]
        group["states"], group.attrs["init_state"] = states, states[0]
    last = np.arange(length) == length - 1
    group["rewards"] = group["dones"] = last.astype(np.uint8)
    images = convert_image_convention(np.asarray(episode.images), "libero")
    state, joints = (
        np.asarray(array, np.float64) for array in (episode.state, episode.joint_state)
    )
    observations = {
        "agentview_rgb": images[:, 0],
        "eye_in_hand_rgb": images[:, 1],
        "ee_states": state[:, :6],
        "ee_pos": state[:, :3],
        "ee_ori": state[:, 3:6],
        "gripper_states": state[:, 6:],
    }
    if np.isfinite(joints).all():
        observations["joint_states"] = joints
    for key, array in observations.items():
        group[f"obs/{key}"] = array[shift:]
    data.attrs["num_demos"] = len(data)
    data.attrs["total"] = int(data.attrs.get("total", 0)) + length


def _attributes(name: str, text: str, task: str | None, side: int) -> dict[str, Any]:
    """The attributes of `data` in a file of one task.

    Args:
      name: of the dataset.
      text: the instruction.
      task: what LIBERO calls it; None: unknown.
      side: of the pictures, in pixels.
    """
    robot = {
        "robots": ["Panda"],
        "controller": "OSC_POSE",
        "control_freq": CONTROL_RATE,
    }
    pictures = {"camera_heights": side, "camera_widths": side}
    environment = {"env_name": name, "type": 1, "env_kwargs": {**robot, **pictures}}
    return {
        "env_name": name,
        "env_args": json.dumps(environment),
        "problem_info": json.dumps({"language_instruction": text}),
        "macros_image_convention": "opengl",
        "written_by": folders.PROGRAM,
        **({"bddl_file_name": f"{task}.bddl"} if task else {}),
    }


def _stem(task: str | None, text: str, *, taken: list[str]) -> str:
    """The name of a task's file: <task>_demo where that says the instruction."""
    words = task or text.replace(" ", "_")
    if re.fullmatch(r"\w+", words) and hdf5_files.words_of(words) == text:
        return f"{words}{hdf5_files.DEMO}"
    words = re.sub(r"\W+", "_", words).strip("_") or "task"
    return words if words not in taken else f"{words}_{len(taken)}"


def _check_writable(directory: Path, name: str) -> None:
    optional_module("h5py", "HDF5 files")
    folders.check_replaceable(folders.of_dataset(directory, name), _is_ours)


def _count(directory: Path, name: str) -> int:
    """Demonstrations of a dataset of ours; its folder appeared whole."""
    folder = folders.of_dataset(directory, name)
    if not folder.is_dir() or not _is_ours(folder):
        return 0
    return sum(_our_demonstrations(file) for file in folder.iterdir())


def _is_ours(folder: Path) -> bool:
    return all(_our_demonstrations(file) for file in folder.iterdir())


def _our_demonstrations(file: Path) -> int:
    """How many a file of this program's holds; 0 of any other file."""
    h5py = optional_module("h5py", "HDF5 files")
    try:
        with h5py.File(file, "r") as opened:
            attributes = opened["data"].attrs
            is_ours = attributes.get("written_by") == folders.PROGRAM
            return int(attributes["num_demos"]) if is_ours else 0
    except (OSError, KeyError):  # no HDF5 file, or of another layout
        return 0


LIBERO, OBS_BEFORE_ACTION = (
    base.Writer(
        check_writable=_check_writable,
        write=functools.partial(_write, obs_before_action=obs_before_action),
        count_episodes=_count,
    )
    for obs_before_action in (False, True)
)
