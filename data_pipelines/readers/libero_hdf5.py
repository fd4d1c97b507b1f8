"""Reads LIBERO's HDF5 demonstrations, `<task>_demo.hdf5`, and plain robomimic files.

    data                        attributes: problem_info, macros_image_convention
    data/demo_0/actions         [T, 7]
    data/demo_0/obs/NAME        [T, ...]
    mask/NAME                   optional: names of demonstrations, a filter key

In LIBERO's files `obs[j]` is what the step with `actions[j]` returned, so that actions
1, 2, ... go with observations 0, 1, ...; robomimic's files, those whose `data` has the
attribute `obs_before_action`, and OpenVLA's, which have LIBERO's names and no
attributes, hold observations before their actions.

Axes: T steps of a demonstration, V cameras, P state and D action dimensions.
"""

import functools
from pathlib import Path
from typing import Iterator, NamedTuple

import numpy as np

from data_pipelines.lazy_images import LazyImages
from data_pipelines.readers import hdf5_files
from data_pipelines.readers.hdf5_files import Layout
from data_pipelines.readers.options import InputNames, ReadOptions
from omnivla_jax.core import file_kinds, picture_size
from omnivla_jax.core.orientation import convert_image_convention
from omnivla_jax.core.types import Demonstration

OPTIONS = ("image_convention", "cameras", "state_keys", "action_keys", "split")
SUFFIXES = (".hdf5", ".h5")
UNKNOWN_TASK = -1


class PictureSource(NamedTuple):
    """What the pictures of a demonstration are read from."""

    file: Path
    demonstration: str  # its name below `data`
    cameras: tuple[str, ...]
    convention: str  # of `core.orientation`


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
        with hdf5_files.named_damage(str(file)):
            opened = hdf5_files.open_file(file)
            layout = hdf5_files.layout_of(opened, options)
            instruction = hdf5_files.instruction_of(file, opened["data"].attrs)
            names = hdf5_files.demonstration_names(opened, options.split)
        widths: tuple[int, int] | None = None  # of the file's states and actions
        for name in names:
            with hdf5_files.named_damage(f"{file}, {name}"):
                demonstration = _demonstration(file, name, layout, instruction)
            sizes = demonstration.state.shape[1], demonstration.action.shape[1]
            widths = widths or sizes
            if sizes != widths:
                raise ValueError(
                    f"{file}, {name} has {sizes[0]} numbers of state and {sizes[1]} of "
                    f"action, {names[0]} {widths[0]} and {widths[1]}: get the file "
                    "again."
                )
            yield demonstration


def input_names(path: Path, options: ReadOptions) -> InputNames:
    """The names of the cameras, unless they are LIBERO's own."""
    layout = hdf5_files.layout_of(hdf5_files.open_file(_files(path)[0]), options)
    is_libero = layout.cameras == hdf5_files.LIBERO.cameras
    return InputNames(() if is_libero else layout.cameras)


def _demonstration(
    file: Path, name: str, layout: Layout, instruction: str
) -> Demonstration:
    """One demonstration; its steps are those with an observation before them."""
    where, group = f"{file}, {name}", hdf5_files.open_file(file)[f"data/{name}"]
    action = hdf5_files.joined(group, layout.action_keys, where)
    observations = hdf5_files.member(group, "obs", where)
    state = hdf5_files.joined(observations, layout.state_keys, f"{where}/obs")
    joints = np.full((len(action), 7), np.nan, np.float32)
    if layout.joint_state in observations:
        stored = hdf5_files.joined(observations, (layout.joint_state,), f"{where}/obs")
        joints = stored if stored.shape[1] == 7 else joints
    cameras = [
        hdf5_files.member(observations, key, f"{where}/obs") for key in layout.cameras
    ]
    for key, camera in zip(layout.cameras, cameras):
        kind, shape = getattr(camera, "dtype", None), getattr(camera, "shape", ())
        if kind != np.uint8 or shape[3:] != (3,):
            raise ValueError(
                f"{where}/obs/{key} is {kind or 'a group'}{list(shape)}, not pictures "
                "of three channels: name others by --config.data.cameras=NAME,NAME."
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
    with hdf5_files.named_damage(
        f"{source.file}, {source.demonstration}, step {frame}"
    ):
        group = hdf5_files.open_file(source.file)[f"data/{source.demonstration}/obs"]
        views = [group[camera][frame] for camera in source.cameras]
    views = [picture_size.fit(view, views[0].shape[:2]) for view in views]
    return convert_image_convention(np.stack(views), source.convention)


def _files(path: Path) -> list[Path]:
    """The file itself, or the HDF5 files of a folder by name."""
    if not path.is_dir():
        return [path.absolute()] if path.exists() else []
    return sorted(f.absolute() for f in path.iterdir() if f.suffix in SUFFIXES)
