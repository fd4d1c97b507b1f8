"""Demonstrations on disk, in the RLDS layout of OpenVLA's modified_libero_rlds.

    DATA_DIR/NAME/1.0.0/NAME-train.tfrecord-00000-of-00001
    DATA_DIR/NAME/1.0.0/dataset_info.json, features.json

`tfds.load(NAME, data_dir=DATA_DIR)` reads that with TensorFlow, `read` without it. As
ArrayRecord files (`file_format="array_record"`) records are picked at random without
TensorFlow: `tfds.builder(NAME, data_dir=DATA_DIR).as_data_source("train")`.

Axes: T steps of an episode, V camera views (agent, wrist), S image side.
"""

import io
import itertools
import tempfile
from pathlib import Path
from typing import Any, Iterable, Iterator

import numpy as np

from data_pipelines import png, rlds_builder, rlds_paths, rlds_records
from data_pipelines.errors import check_episode
from data_pipelines.readers import modified_libero_rlds
from data_pipelines.rlds_records import quiet_tfds
from omnivla_jax.core.orientation import convert_image_convention
from omnivla_jax.core.types import Demonstration

STORED = "modified_libero_rlds"  # how pictures lie on disk


def write(
    directory: Path,
    episodes: Iterable[Demonstration],
    *,
    name: str,
    file_format: str = "tfrecord",
) -> Path:
    """Store demonstrations below `directory`, whole or not at all, one at a time.

    The files are made in a temporary folder beside `directory`, then renamed. An
    earlier set that this program wrote under the same name is replaced; any other
    content is left alone.

    Args:
      directory: tfds' data_dir, created where it is missing.
      episodes: at least one, in the order in which `read` returns them.
      name: the dataset's name: a suite, or the path of a BDDL file.
      file_format: "tfrecord" or "array_record".

    Returns:
      The folder of the files, `directory`/NAME/1.0.0.

    Raises:
      ValueError: no episodes, or an episode whose arrays disagree; an unknown format.
      FileExistsError: what would be replaced was not written by this program.
      OSError: the files cannot be written, for example because the disk is full.
    """
    directory, name = Path(directory).expanduser(), rlds_paths.dataset_name(name)
    remaining = iter(episodes)
    first = next(remaining, None)
    if first is None:
        raise ValueError("There are no demonstrations to write: collect some first.")
    side = int(np.shape(first.images)[2])

    def examples() -> Iterator[tuple[int, Any]]:
        for index, episode in enumerate(itertools.chain([first], remaining)):
            check_episode(episode, index, side)
            path = f"{name}/{index:05d}"
            metadata = {"file_path": path, "task_id": int(episode.task)}
            yield index, {"steps": _steps(episode), "episode_metadata": metadata}

    rlds_paths.check_writable(directory, name)
    directory.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(
        prefix=f".{directory.name}-", dir=directory.parent, ignore_cleanup_errors=True
    ) as workspace:
        pairs, folder = examples(), Path(workspace)
        with quiet_tfds():
            built = rlds_builder.build(
                folder, pairs, name=name, side=side, file_format=file_format
            )
        try:
            rlds_records.count(built)
        except ValueError as error:
            raise OSError(
                f"The demonstrations did not reach the disk whole ({error}): free some "
                "space and run again."
            ) from error
        rlds_paths.check_writable(directory, name)  # hours may have passed
        return _move(built, directory, name, folder)


def read(path: Path) -> list[Demonstration]:
    """Load every demonstration with its pictures, in the order of the files.

    Args and errors as `readers.modified_libero_rlds.read`, whose features are read too.
    """
    return [
        demonstration._replace(images=np.asarray(demonstration.images))
        for demonstration in modified_libero_rlds.read(path)
    ]


def count(path: Path, name: str | None = None) -> int:
    """How many demonstrations lie there, 0 where they are no whole set.

    `path` and `name` as `rlds_paths.resolve` takes them; reads no record.
    """
    try:
        folder = name if name is None else rlds_paths.dataset_name(name)
        return rlds_records.count(rlds_paths.resolve(path, folder))
    except Exception:  # any error of opening it makes it incomplete
        return 0


def _steps(episode: Demonstration) -> list[dict[str, Any]]:
    """The RLDS steps of a demonstration: discount 1, reward 1 on the last step."""
    images = convert_image_convention(np.asarray(episode.images), STORED)
    last = len(images) - 1
    return [
        {
            "observation": {
                "image": io.BytesIO(png.encode(images[t, 0])),
                "wrist_image": io.BytesIO(png.encode(images[t, 1])),
                "state": np.asarray(episode.state[t]),
                "joint_state": np.asarray(episode.joint_state[t]),
            },
            "action": np.asarray(episode.action[t]),
            "discount": 1.0,
            "reward": float(t == last),
            "is_first": t == 0,
            "is_last": t == last,
            "is_terminal": t == last,
            "language_instruction": episode.instruction,
        }
        for t in range(last + 1)
    ]


def _move(built: Path, directory: Path, name: str, workspace: Path) -> Path:
    """Move finished files to their place; what they replace goes with `workspace`."""
    final = directory / name / rlds_builder.RELEASE
    final.parent.mkdir(parents=True, exist_ok=True)
    rlds_paths.replace_folder(built, final, workspace / "replaced")
    if rlds_paths.describes_ours(directory):  # of releases without NAME/1.0.0
        for file in rlds_paths.dataset_files(directory):
            file.replace(workspace / file.name)
    return final
