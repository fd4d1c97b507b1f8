"""Features of a LeRobot dataset, and the rows of an episode.

Axes: T frames, S image side, D numbers of a vector.
"""

import json
from typing import Any, Mapping, NamedTuple

import numpy as np

from data_pipelines import png
from omnivla_jax.core.orientation import convert_image_convention
from omnivla_jax.core.types import Demonstration

FPS = 20  # control steps a second; published copies of LIBERO say 10 for the same
CONVENTION = "openpi"  # how pictures lie: turned by 180 degrees against LIBERO's
CAMERAS = ("image", "wrist_image")
COUNTERS = ("frame_index", "episode_index", "index", "task_index")  # LeRobot's own


class Rows(NamedTuple):
    """What LeRobot counts."""

    episode: int
    first: int  # number of the first frame among all of the dataset
    task: int


def features(episode: Demonstration, side: int) -> dict[str, dict[str, Any]]:
    """The features of info.json; without `joint_state` where `episode` has none."""
    vectors = {"state": 8, "actions": 7}
    if np.isfinite(episode.joint_state).all():
        vectors["joint_state"] = 7
    picture = {
        "dtype": "image",
        "shape": [side, side, 3],
        "names": ["height", "width", "channel"],
    }
    return (
        {camera: picture for camera in CAMERAS}
        | {
            name: {"dtype": "float32", "shape": [size], "names": [name]}
            for name, size in vectors.items()
        }
        | {"timestamp": {"dtype": "float32", "shape": [1], "names": None}}
        | {name: {"dtype": "int64", "shape": [1], "names": None} for name in COUNTERS}
    )


def columns(
    episode: Demonstration, features: Mapping[str, Any], rows: Rows
) -> dict[str, np.ndarray]:
    """The arrays of an episode by feature; pictures uint8 [T, S, S, 3], as stored.

    Raises ValueError where a number is not finite.
    """
    images = convert_image_convention(np.asarray(episode.images), CONVENTION)
    frame = np.arange(len(images))
    counted = (
        frame,
        frame * 0 + rows.episode,
        frame + rows.first,
        frame * 0 + rows.task,
    )
    arrays = {
        **{camera: images[:, view] for view, camera in enumerate(CAMERAS)},
        "state": episode.state,
        "actions": episode.action,
        "joint_state": episode.joint_state,
        "timestamp": (frame / FPS).astype(np.float32),
        **dict(zip(COUNTERS, counted)),
    }
    for name in ("state", "actions", "joint_state"):
        if name in features and not np.isfinite(arrays[name]).all():
            raise ValueError(f"Demonstration {rows.episode} has a {name} not finite.")
    return {name: np.asarray(arrays[name]) for name in features}


def table(columns: Mapping[str, np.ndarray], features: Mapping[str, Any]) -> Any:
    """A pyarrow.Table, with the types by which Hugging Face's `datasets` knows them."""
    import pyarrow

    arrays, kinds = [], {}
    picture = pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])
    for name, feature in features.items():
        array, size = columns[name], feature["shape"][0]
        kind: dict[str, Any] = {"dtype": feature["dtype"], "_type": "Value"}
        if feature["dtype"] == "image":
            encoded = [{"bytes": png.encode(frame), "path": None} for frame in array]
            arrays.append(pyarrow.array(encoded, picture))
            kind = {"_type": "Image"}
        elif array.ndim == 1:
            arrays.append(pyarrow.array(array))
        else:
            flat = pyarrow.array(np.ascontiguousarray(array).ravel())
            arrays.append(pyarrow.FixedSizeListArray.from_arrays(flat, size))
            kind = {"feature": kind, "length": size, "_type": "Sequence"}
        kinds[name] = kind
    metadata = {"huggingface": json.dumps({"info": {"features": kinds}})}
    made = pyarrow.Table.from_arrays(arrays, names=list(features))
    return made.replace_schema_metadata(metadata)
