"""Reads RLDS datasets with the features of OpenVLA's modified_libero_rlds.

    PATH/libero_goal_no_noops/1.0.0/{dataset_info.json, features.json, *.tfrecord-*}

Actions and states are LIBERO's; JPEG pictures are turned by 180 degrees against
LIBERO's, which are upside down, so that they lie mirrored left to right. TFRecord and
ArrayRecord files are read, without TensorFlow.

Axes: T steps of a demonstration, V = 2 camera views (agent, wrist), S image side.
"""

import io
from pathlib import Path
from typing import Iterator

import numpy as np
from PIL import Image

from data_pipelines import rlds_features, rlds_paths
from data_pipelines.lazy_images import LazyImages
from data_pipelines.readers.options import ReadOptions
from data_pipelines.rlds_records import Records, named_damage
from omnivla_jax.core.orientation import convert_image_convention
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
    rlds_features.check(records.features, folder)
    convention = options.image_convention or CONVENTION
    for number in range(len(records.places)):
        yield _demonstration(records, number, convention)


def _demonstration(records: Records, number: int, convention: str) -> Demonstration:
    """The demonstration of one record."""
    where = records.where(number)
    example = records.load(number)

    def decode(step: int) -> np.ndarray:
        encoded = records.load(number)["steps"]["observation"]
        with named_damage(where):
            files = [io.BytesIO(encoded[view][step]) for view in VIEWS]
            views = [np.asarray(Image.open(file)) for file in files]
            if any(view.shape != shape[2:] for view in views):
                raise ValueError(
                    f"pictures {[view.shape for view in views]} in step {step}, "
                    f"{shape[2:]} in step 0"
                )
        return convert_image_convention(np.stack(views), convention)

    with named_damage(where):
        steps = example["steps"]
        length = len(steps["action"])
        if not length:
            raise ValueError("an episode without steps")
        first = io.BytesIO(steps["observation"][VIEWS[0]][0])
        width, height = Image.open(first).size  # decodes the header alone
        shape = (length, len(VIEWS), height, width, 3)
        no_joints = np.full((length, 7), np.nan, np.float32)
        return Demonstration(
            images=LazyImages(decode, shape),
            state=_finite("observation/state", steps["observation"]["state"]),
            joint_state=steps["observation"].get("joint_state", no_joints),
            action=_finite("action", steps["action"]),
            instruction=steps["language_instruction"][0].decode("utf-8"),
            task=example.get("episode_metadata", {}).get("task_id", UNKNOWN_TASK),
        )


def _finite(name: str, array: np.ndarray) -> np.ndarray:
    """float32 [T, ...]; ValueError where a number is not finite."""
    array = np.asarray(array, np.float32)
    if not np.isfinite(array).all():
        step = int(np.argmin(np.isfinite(array).all(axis=1)))
        raise ValueError(f"steps/{name} of step {step} is not finite")
    return array
