"""Reads LeRobot datasets v2.0, v2.1 and v3.0, of pictures or of videos.

    PATH/meta/{info.json, tasks.jsonl, episodes.jsonl}      v2.0 and v2.1
    PATH/meta/{info.json, tasks.parquet, episodes/...}      v3.0
    PATH/data/chunk-000/*.parquet, PATH/videos/.../*.mp4

Frames are taken one by one as control steps: the dataset's fps, which for the LIBERO
copies is 10 where the robot was controlled at 20 Hz, dates them and changes nothing
else. A demonstration whose task changes is yielded as one for each of its parts.

Axes: T frames, V cameras, P state and D action dimensions.
"""

import functools
from pathlib import Path
from typing import Iterator

import numpy as np

from data_pipelines.lazy_images import LazyImages
from data_pipelines.readers import grippers
from data_pipelines.readers.lerobot import features, layout, pictures
from data_pipelines.readers.lerobot.columns import episode_columns
from data_pipelines.readers.lerobot.features import Features
from data_pipelines.readers.lerobot.layout import Dataset, Episode
from data_pipelines.readers.options import InputNames, ReadOptions
from omnivla_jax.core.types import Demonstration

OPTIONS = (
    "image_convention",
    "cameras",
    "state_keys",
    "action_keys",
    "fps",
    "split",
)
UNKNOWN_TASK = -1  # its numbers are not a suite's rows
CLOCK_TOLERANCE = 1e-4  # seconds, LeRobot's; float32 timestamps add their rounding


def recognizes(path: Path) -> bool:
    """Whether `path` is the folder of a LeRobot dataset."""
    return (Path(path).expanduser() / layout.INFO_FILE).exists()


def read(path: Path, options: ReadOptions = ReadOptions()) -> Iterator[Demonstration]:
    """Yield the demonstrations of a dataset in the order of its episodes.

    Args:
      path: the folder that holds `meta`.
      options: all but `seed`. Cameras, state, action and commands of the gripper of
        the LIBERO copies are known by name, and their pictures are then taken as
        openpi's; those of any other dataset are upright unless `image_convention` says
        otherwise.

    Yields:
      Demonstrations whose pictures are decoded on access. The task is `UNKNOWN_TASK`
      and the joint state NaN where the dataset has none.

    Raises:
      FileNotFoundError: a file is missing.
      ValueError: a file is damaged or contradicts another; one line with the file, and
        the row where it is one row.
    """
    dataset = layout.open_dataset(path)
    chosen = features.choose(dataset, options)
    episodes = layout.episodes(dataset, chosen.videos, options.split)
    layout.check_files(episodes)
    for episode, columns in episode_columns(episodes, chosen.numbers):
        _check_frames(columns, episode, options.fps or dataset.fps)
        for first, last in _spans(columns["task_index"]):
            yield _demonstration(dataset, chosen, episode, columns, first, last)


def input_names(path: Path, options: ReadOptions) -> InputNames:
    """The names of the cameras, unless they are those of a LIBERO copy."""
    dataset = layout.open_dataset(path)
    if not options.cameras and features.libero_copy(dataset):
        return InputNames()
    return InputNames(features.choose(dataset, options).cameras)


def _demonstration(
    dataset: Dataset,
    chosen: Features,
    episode: Episode,
    columns: dict[str, np.ndarray],
    first: int,
    last: int,
) -> Demonstration:
    """The frames `first` to `last` - 1 of an episode, which have one task."""
    number = int(columns["task_index"][first])
    if number not in dataset.tasks:
        raise ValueError(
            f"{episode.file}, row {episode.first + first}: task_index {number} is none "
            f"of the {len(dataset.tasks)} tasks of {dataset.root / 'meta'}."
        )
    length = last - first
    joined = {
        name: np.concatenate([columns[key][first:last] for key in keys], axis=1)
        for name, keys in (("state", chosen.state), ("action", chosen.action))
    }
    if chosen.gripper:
        where = f"{episode.file}, row"
        joined["action"] = grippers.to_libero(
            joined["action"], chosen.gripper, where, episode.first + first
        )
    joints = np.full((length, 7), np.nan, np.float32)
    if chosen.joint_state:
        joints = columns[chosen.joint_state][first:last]
    source = pictures.Source(
        episode=episode,
        cameras=chosen.cameras,
        sizes=chosen.sizes,
        convention=chosen.convention,
        first=first,
        seconds=tuple(columns["timestamp"][first:last].tolist()),
    )
    return Demonstration(
        images=LazyImages(
            functools.partial(pictures.decode, source),
            (length, len(chosen.cameras), *chosen.sizes[0], 3),
        ),
        state=joined["state"],
        joint_state=joints,
        action=joined["action"],
        instruction=dataset.tasks[number],
        task=UNKNOWN_TASK,
    )


def _check_frames(columns: dict[str, np.ndarray], episode: Episode, fps: float) -> None:
    """Refuse frames of another episode, out of order, or dated by another fps.

    As LeRobot does it, the time from a frame to the next is held against `fps`.
    """
    where, frames = f"{episode.file}, row", np.arange(episode.length)
    wrong = (columns["episode_index"] != episode.number) | (
        columns["frame_index"] != frames
    )
    if wrong.any():
        row = int(np.argmax(wrong))
        raise ValueError(
            f"{where} {episode.first + row}: frame {columns['frame_index'][row]} of "
            f"episode {columns['episode_index'][row]}, where frame {row} of episode "
            f"{episode.number} should be: the files are not of one dataset."
        )
    seconds = columns["timestamp"].astype(np.float64)
    steps = np.diff(seconds)
    wrong = np.abs(steps - 1 / fps) > CLOCK_TOLERANCE + 2e-7 * seconds[1:]
    if wrong.any():
        row = int(np.argmax(wrong))
        raise ValueError(
            f"{where} {episode.first + row + 1}: timestamp {seconds[row + 1]:.6g} s, "
            f"{steps[row]:.6g} s after the frame before, where {fps:g} fps give "
            f"{1 / fps:.6g} s: say --config.data.fps=RATE if the timestamps have "
            "another rate."
        )


def _spans(task_index: np.ndarray) -> Iterator[tuple[int, int]]:
    """The half-open spans of frames with one task; `task_index` is int [T]."""
    changes = np.flatnonzero(np.diff(task_index)) + 1
    bounds = [0, *changes.tolist(), len(task_index)]
    return zip(bounds[:-1], bounds[1:])
