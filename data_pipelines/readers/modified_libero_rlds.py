"""Reads RLDS datasets with the features of OpenVLA's modified_libero_rlds.

    PATH/libero_goal_no_noops/1.0.0/{dataset_info.json, features.json, *.tfrecord-*}

Actions and states are LIBERO's; JPEG pictures are turned by 180 degrees against
LIBERO's, which are upside down, so that they lie mirrored left to right. TFRecord and
ArrayRecord files are read, without TensorFlow.

Axes: T steps of a demonstration, V = 2 camera views (agent, wrist), S image side.
"""

from pathlib import Path
from typing import Iterator

import numpy as np

from data_pipelines import rlds_features, rlds_paths
from data_pipelines.errors import check_finite
from data_pipelines.readers.options import ReadOptions
from data_pipelines.readers.rlds_views import lazy_views
from data_pipelines.rlds_records import Records, named_damage
from omnivla_jax.core.types import Demonstration

CONVENTION = "modified_libero_rlds"
UNKNOWN_TASK = -1  # where tasks have no numbers
VIEWS = ("image", "wrist_image")
OPTIONS = ("image_convention",)


def recognizes(path: Path) -> bool:
    """Whether `path` is, or is at most three levels above, an RLDS dataset.

    Raises ValueError where it is above several.
    """
    try:
        return bool(rlds_paths.resolve(path))
    except FileNotFoundError:
        return False


def read(path: Path, options: ReadOptions = ReadOptions()) -> Iterator[Demonstration]:
    """Yield the demonstrations of a dataset in the order of its files.

    Args:
      path: a version folder, the folder of a name, or a data_dir with one dataset.
      options: `image_convention`.

    Yields:
      Demonstrations whose pictures are decoded on access. The task is `UNKNOWN_TASK`
      and the joint state NaN where the dataset does not hold them.

    Raises:
      FileNotFoundError: there are no demonstrations.
      ValueError: the files are there but damaged, of another layout, or several sets;
        one line with the file, and the record's number where it is one record.
    """
    folder = rlds_paths.resolve(path)
    records = Records(folder)
    rlds_features.check(
        records.features,
        folder,
        rlds_features.MODIFIED_LIBERO,
        rlds_features.JOINT_STATE,
        layout=CONVENTION,
    )
    convention = options.image_convention or CONVENTION
    for number in range(len(records.places)):
        yield _demonstration(records, number, convention)


def _demonstration(records: Records, number: int, convention: str) -> Demonstration:
    """The demonstration of one record."""
    where = records.where(number)
    example = records.load(number)
    images = lazy_views(records, number, VIEWS, convention)
    with named_damage(where):
        steps = example["steps"]
        no_joints = np.full((len(images), 7), np.nan, np.float32)
        return Demonstration(
            images=images,
            state=_finite("observation/state", steps["observation"]["state"]),
            joint_state=steps["observation"].get("joint_state", no_joints),
            action=_finite("action", steps["action"]),
            instruction=steps["language_instruction"][0].decode("utf-8"),
            task=example.get("episode_metadata", {}).get("task_id", UNKNOWN_TASK),
        )


def _finite(name: str, array: np.ndarray) -> np.ndarray:
    """float32 [T, ...]; ValueError where a number is not finite."""
    array = np.asarray(array, np.float32)
    check_finite(array, f"steps/{name}", "step")
    return array
