"""Datasets on disk as demonstrations: a reader by name for each layout.

    for demonstration in READERS["modified_libero_rlds"](path): ...
    for demonstration in READERS[detect(path)](path, options=ReadOptions(...)): ...

A reader is a module with two functions and a list. `recognizes(path)` is True where
`path` has the reader's layout. `read(path, options)` yields demonstrations in the order
of the files, with upright pictures that are decoded on access (`lazy_images`).
`OPTIONS` names the fields of `ReadOptions` that it takes; the others are refused here,
commands of the gripper are given LIBERO's meaning here, and no-ops left out. A new
layout is a module and a line of `_MODULES`.
"""

from pathlib import Path
from types import ModuleType
from typing import Callable, Iterator, Protocol

import numpy as np

from data_pipelines.readers import (
    droid_rlds,
    grippers,
    lerobot,
    libero_hdf5,
    modified_libero_rlds,
    noops,
    rlds,
)
from data_pipelines.readers.options import InputNames, ReadOptions, check_taken
from omnivla_jax.core import file_kinds, paths
from omnivla_jax.core.types import Demonstration


class Reader(Protocol):
    """A function from a path to its demonstrations; an error is one line."""

    def __call__(
        self, path: Path, *, options: ReadOptions = ReadOptions()
    ) -> Iterator[Demonstration]:
        """Yield demonstrations in the order of the files."""


def _reader(name: str, module: ModuleType) -> Reader:
    """The reader of a module, with what is common to all."""

    def read(
        path: Path, *, options: ReadOptions = ReadOptions()
    ) -> Iterator[Demonstration]:
        check_taken(options, name, module.OPTIONS)
        episodes = module.read(paths.hub_snapshot(path), options)
        if options.gripper == grippers.OXE:
            episodes = _with_liberos_gripper(episodes, path)
        return noops.removed(episodes) if options.remove_noops else episodes

    return read


def _with_liberos_gripper(
    episodes: Iterator[Demonstration], path: Path
) -> Iterator[Demonstration]:
    """Demonstrations whose gripper's commands are stored by the rule `oxe`."""
    for number, episode in enumerate(episodes):
        where = f"{path}, demonstration {number}, step"
        action = grippers.to_libero(np.asarray(episode.action), grippers.OXE, where)
        yield episode._replace(action=action)


# The more special layout first: `detect` takes the first that fits.
_MODULES: dict[str, ModuleType] = {
    "lerobot": lerobot,
    "libero_hdf5": libero_hdf5,
    "droid_rlds": droid_rlds,
    "rlds": rlds,
    "modified_libero_rlds": modified_libero_rlds,
}
READERS: dict[str, Reader] = {
    name: _reader(name, module) for name, module in _MODULES.items()
}


# Of layouts whose robots need not be LIBERO's.
_INPUT_NAMES: dict[str, Callable[[Path, ReadOptions], InputNames]] = {
    "lerobot": lerobot.input_names,
    "libero_hdf5": libero_hdf5.input_names,
    "droid_rlds": droid_rlds.input_names,
}


def input_names(name: str, path: Path, options: ReadOptions) -> InputNames:
    """What a policy that learned from a dataset is to be handed, and under which names.

    Args:
      name: a key of `READERS`.
      path: of the dataset, which is read before.
      options: of the reader.
    """
    if name not in _INPUT_NAMES:
        return InputNames()
    return _INPUT_NAMES[name](paths.hub_snapshot(path), options)


def detect(path: Path) -> str:
    """The name of the reader whose layout `path` has.

    Args:
      path: of the dataset, or of its repository in Hugging Face's cache.

    Raises:
      FileNotFoundError: there is nothing at `path`.
      ValueError: no reader knows the layout, or `path` holds several datasets.
    """
    path = paths.hub_snapshot(path)
    if not path.exists():
        raise FileNotFoundError(f"No demonstrations in {path}: there is no such path.")
    for name, module in _MODULES.items():
        if module.recognizes(path):
            return name
    known = ", ".join(READERS)
    if path.is_file():
        raise ValueError(
            f"{file_kinds.describe(path)} A dataset is an HDF5 file, or a folder of "
            f"one of the layouts {known}."
        )
    entries = sorted(entry.name for entry in path.iterdir())
    listed = ", ".join(entries[:4]) + (", ..." if entries[4:] else "")
    raise ValueError(
        f"{path} has none of the layouts {known}; it holds {listed or 'no files'}: "
        "name the dataset's own folder."
    )
