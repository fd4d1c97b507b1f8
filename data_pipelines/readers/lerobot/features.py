"""Which features of a LeRobot dataset are the cameras, the state and the action."""

import warnings
from typing import Any, Mapping, NamedTuple

from data_pipelines.errors import PictureWarning
from data_pipelines.readers import grippers
from data_pipelines.readers.lerobot.layout import INFO_FILE, Dataset
from data_pipelines.readers.options import ReadOptions
from omnivla_jax.core.orientation import CONVENTIONS

JOINT_STATES = ("observation.joint_state", "joint_state")  # of 7 numbers
PICTURES = ("image", "video")


class LiberoCopy(NamedTuple):
    """The names in a published copy of LIBERO; 8 numbers of state and 7 of action."""

    cameras: tuple[str, str]
    state: str
    action: str
    gripper: str = grippers.LIBERO


# physical-intelligence/libero; HuggingFaceVLA/libero and lerobot/libero;
# IPEC-COMMUNITY/libero_*_no_noops_1.0.0_lerobot.
LIBERO_COPIES = (
    LiberoCopy(("image", "wrist_image"), "state", "actions"),
    LiberoCopy(
        ("observation.images.image", "observation.images.image2"),
        "observation.state",
        "action",
    ),
    LiberoCopy(
        ("observation.images.image", "observation.images.wrist_image"),
        "observation.state",
        "action",
        grippers.OXE,
    ),
)
LIBERO_CONVENTION = "openpi"  # theirs: LIBERO's pictures turned by 180 degrees


class Features(NamedTuple):
    """The features that are read."""

    cameras: tuple[str, ...]
    sizes: tuple[tuple[int, int], ...]  # rows and columns of each camera's pictures
    videos: tuple[str, ...]  # the cameras that are videos
    state: tuple[str, ...]
    action: tuple[str, ...]
    joint_state: str | None
    numbers: Mapping[str, int]  # features with numbers, and how many
    convention: str  # of `core.orientation`
    gripper: str | None  # rule that its commands are checked by: `grippers`


def choose(dataset: Dataset, options: ReadOptions) -> Features:
    """The features that `options` names, or that are known by name.

    How pictures lie: as `options` says; else as info.json's `image_convention`, which
    this program writes; else as openpi's, with a warning, where names and sizes are
    those of a LIBERO copy; else upright. Commands of the gripper are then those of the
    copy, too.

    Raises:
      ValueError: a feature is missing or of another kind, or none is known by name.
    """
    known: Mapping[str, Mapping[str, Any]] = dataset.info["features"]
    copy = libero_copy(dataset)
    pictures = [name for name in known if known[name].get("dtype") in PICTURES]
    cameras = options.cameras or (copy.cameras if copy else ())
    if not cameras and len(pictures) == 1:
        cameras = (pictures[0],)
    state = options.state_keys or (copy.state if copy else "observation.state",)
    action = options.action_keys or (copy.action if copy else "action",)
    vectors = [name for name in known if name not in pictures]
    for option, names, choices in (
        ("cameras", cameras, pictures),
        ("state_keys", state, vectors),
        ("action_keys", action, vectors),
    ):
        unknown = [name for name in names if name not in choices]
        if unknown or not names:
            problem = f"has no {unknown[0]}" if unknown else "has no known cameras"
            raise ValueError(
                f"{dataset.root / INFO_FILE} {problem}: choose {option} from "
                f"{', '.join(choices) or 'none'} with --config.data.{option}=NAME,NAME."
            )
    joints = [name for name in JOINT_STATES if known.get(name, {}).get("shape") == [7]]
    numbers = {
        name: _count(dataset, name) for name in dict.fromkeys((*state, *action))
    } | {name: 7 for name in joints[:1]}
    return Features(
        cameras=cameras,
        sizes=tuple(_size(dataset, camera) for camera in cameras),
        videos=tuple(name for name in cameras if known[name]["dtype"] == "video"),
        state=state,
        action=action,
        joint_state=joints[0] if joints else None,
        numbers=numbers,
        convention=_convention(dataset, options, copy),
        gripper=copy.gripper if copy and options.gripper is None else None,
    )


def libero_copy(dataset: Dataset) -> LiberoCopy | None:
    """The published copy of LIBERO whose names and sizes a dataset has, or None."""
    known: Mapping[str, Mapping[str, Any]] = dataset.info["features"]
    for copy in LIBERO_COPIES:
        pictures = (known.get(name, {}).get("dtype") for name in copy.cameras)
        sizes = (known.get(n, {}).get("shape") for n in (copy.state, copy.action))
        if all(kind in PICTURES for kind in pictures) and list(sizes) == [[8], [7]]:
            return copy
    return None


def _convention(dataset: Dataset, options: ReadOptions, copy: LiberoCopy | None) -> str:
    """How pictures lie on disk; see `choose`."""
    if options.image_convention is not None:
        return options.image_convention
    stated = dataset.info.get("image_convention")
    if stated is not None:
        if stated not in CONVENTIONS:
            raise ValueError(
                f"{dataset.root / INFO_FILE} gives image_convention {stated!r}, which "
                f"is none of {', '.join(CONVENTIONS)}: say which it is with "
                "--config.data.image_convention=NAME."
            )
        return stated
    if copy is None:
        return "upright"
    gripper = ""
    if copy.gripper != grippers.LIBERO and options.gripper is None:
        gripper = f", and in its actions {grippers.MEANINGS[copy.gripper]} the gripper"
    warnings.warn(
        f"{dataset.root} has the names of LIBERO's copies: its pictures are taken to "
        f"be turned as theirs{gripper}. Say --config.data.image_convention="
        f"{LIBERO_CONVENTION} to confirm, or =upright if they are upright.",
        PictureWarning,
        stacklevel=2,
    )
    return LIBERO_CONVENTION


def _size(dataset: Dataset, camera: str) -> tuple[int, int]:
    """Rows and columns of a camera's pictures."""
    shape = dataset.info["features"][camera].get("shape")
    if isinstance(shape, list) and len(shape) == 3 and shape[2] == 3:
        return shape[0], shape[1]
    if isinstance(shape, list) and len(shape) == 3 and shape[0] == 3:
        return shape[1], shape[2]
    raise ValueError(
        f"{dataset.root / INFO_FILE} gives {camera} the shape {shape}: only pictures "
        "of three channels are read, choose another camera."
    )


def _count(dataset: Dataset, name: str) -> int:
    """How many numbers a feature has."""
    feature = dataset.info["features"][name]
    shape, dtype = feature.get("shape"), str(feature.get("dtype"))
    is_vector = isinstance(shape, list) and len(shape) == 1
    if is_vector and dtype.startswith(("float", "int", "uint", "bool")):
        return shape[0]
    raise ValueError(
        f"{dataset.root / INFO_FILE} gives {name} the type {dtype} and the shape "
        f"{shape}: only vectors of numbers are read, choose another feature."
    )
