"""Reads DROID in RLDS layout, as openpi trains on it.

Kept are the episodes whose file's path says `success` and that have an instruction. Of
an episode's two exterior cameras and of its three instructions one each is drawn, by
`ReadOptions.seed` and the episode's number. Pictures are upright, 180 x 320 pixels.
openpi's list of idle frames is not applied.

Axes: T steps of a demonstration, V = 2 camera views (exterior, wrist), P state and
D action dimensions, 8 each unless options say otherwise: seven joints and the gripper.
"""

import dataclasses
from pathlib import Path
from typing import Any, Iterator, Mapping, Sequence

import numpy as np

from data_pipelines import rlds_features, rlds_paths
from data_pipelines.errors import check_finite
from data_pipelines.readers.options import InputNames, ReadOptions
from data_pipelines.readers.rlds_views import lazy_views
from data_pipelines.rlds_builder import FEATURES_FILE
from data_pipelines.rlds_records import Records, named_damage
from omnivla_jax.core.types import Demonstration

OPTIONS = ("image_convention", "cameras", "state_keys", "action_keys")
EXTERIOR = ("exterior_image_1_left", "exterior_image_2_left")  # one of them is drawn
WRIST = "wrist_image_left"
JOINTS = "joint_position"
STATE_KEYS = (JOINTS, "gripper_position")  # below `observation`
ACTION_KEYS = ("joint_velocity", "gripper_position")  # below `action_dict`
INSTRUCTIONS = (
    "language_instruction",
    "language_instruction_2",
    "language_instruction_3",
)
SUCCESS = "success"  # in the path of an episode's file
UNKNOWN_TASK = -1


def recognizes(path: Path) -> bool:
    """Whether `path` is, or is above, an RLDS dataset with DROID's features."""
    try:
        file = rlds_paths.resolve(path) / FEATURES_FILE
        text = file.read_text("utf-8") if file.exists() else ""
    except (FileNotFoundError, UnicodeDecodeError):
        return False
    return all(f'"{name}"' in text for name in ("action_dict", *EXTERIOR, WRIST))


def read(path: Path, options: ReadOptions = ReadOptions()) -> Iterator[Demonstration]:
    """Yield the successful demonstrations of a dataset in the order of its files.

    Args:
      path: a version folder, the folder of a name, or a data_dir with one dataset.
      options: all but `fps` and `split`. `cameras` and `state_keys` are below
        `observation`, `action_keys` below `action_dict`; their defaults are the drawn
        exterior camera and the wrist's, joint and gripper positions, and joint
        velocities with the gripper's position.

    Yields:
      Demonstrations whose pictures are decoded on access. The task is `UNKNOWN_TASK`,
      the joint state the seven joints'.

    Raises:
      FileNotFoundError: there are no demonstrations.
      ValueError: the files are damaged, or lack a feature; one line with the file, and
        the record's number where it is one record.
    """
    folder = rlds_paths.resolve(path)
    records = Records(folder)
    chosen = dataclasses.replace(
        options,
        state_keys=options.state_keys or STATE_KEYS,
        action_keys=options.action_keys or ACTION_KEYS,
    )
    cameras = options.cameras or (*EXTERIOR, WRIST)
    seen = (*chosen.state_keys, JOINTS)
    shapes: dict[str, rlds_features.Shape] = {
        **{f"observation/{name}": rlds_features.PICTURE for name in cameras},
        **{f"observation/{name}": (None,) for name in seen},
        **{f"action_dict/{name}": (None,) for name in chosen.action_keys},
        **{name: () for name in INSTRUCTIONS},
    }
    rlds_features.check(records.features, folder, shapes, layout="droid_rlds")
    for number in range(len(records.places)):
        demonstration = _demonstration(records, number, chosen)
        if demonstration is not None:
            yield demonstration


def input_names(path: Path, options: ReadOptions) -> InputNames:
    """The keys of openpi's DROID client; the exterior camera is its first."""
    del path
    cameras = options.cameras or (EXTERIOR[0], WRIST)
    states = options.state_keys or STATE_KEYS
    return InputNames(
        *(tuple(f"observation/{name}" for name in names) for names in (cameras, states))
    )


def _demonstration(
    records: Records, number: int, options: ReadOptions
) -> Demonstration | None:
    """The demonstration of one record; None where it failed or has no instruction."""
    example = records.load(number)
    steps, rng = example["steps"], np.random.default_rng((options.seed, number))
    drawn = (EXTERIOR[rng.integers(len(EXTERIOR))], WRIST)
    with named_damage(records.where(number)):
        file_path = example["episode_metadata"]["file_path"].decode("utf-8")
        texts = [steps[name][:1] for name in INSTRUCTIONS]
        words = [text[0].decode("utf-8").strip() for text in texts if len(text)]
        given = [words[index] for index in rng.permutation(len(words)) if words[index]]
        state = _joined(steps["observation"], options.state_keys)
        action = _joined(steps["action_dict"], options.action_keys)
        joints = _joined(steps["observation"], (JOINTS,))
    if SUCCESS not in file_path or not given:
        return None
    convention = options.image_convention or "upright"
    return Demonstration(
        images=lazy_views(records, number, options.cameras or drawn, convention),
        state=state,
        joint_state=joints,
        action=action,
        instruction=given[0],
        task=UNKNOWN_TASK,
    )


def _joined(group: Mapping[str, Any], keys: Sequence[str]) -> np.ndarray:
    """Several features side by side, float32 [T, N]; ValueError where not finite."""
    parts = [np.asarray(group[key], np.float32) for key in keys]
    for key, part in zip(keys, parts):
        check_finite(part, key, "step")
    return np.concatenate(parts, axis=1)
