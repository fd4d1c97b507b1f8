"""Datasets that appear whole or not at all, and replace only what is ours."""

import contextlib
import tempfile
from pathlib import Path
from typing import Callable, Iterator

from data_pipelines import rlds_paths

PROGRAM = "OmniVLA-RL"  # what datasets of this program say that they are `written_by`


def of_dataset(directory: Path, name: str) -> Path:
    """The folder of the dataset `name` below `directory`."""
    return Path(directory).expanduser() / rlds_paths.dataset_name(name)


def check_replaceable(folder: Path, is_ours: Callable[[Path], bool]) -> None:
    """Refuse a dataset's place that is taken.

    Args:
      folder: of the dataset.
      is_ours: whether all that a folder holds is a dataset of this program's.

    Raises:
      FileExistsError: `folder` holds anything else, or is or lies below a file.
    """
    for place in (folder.parent, folder):
        if place.exists() and not place.is_dir():
            raise FileExistsError(f"{place} is a file: choose another folder.")
    if folder.exists() and any(folder.iterdir()) and not is_ours(folder):
        raise FileExistsError(
            f"{folder} holds files that this program did not write: choose another "
            "folder."
        )


@contextlib.contextmanager
def replacing(folder: Path, is_ours: Callable[[Path], bool]) -> Iterator[Path]:
    """Yield an empty folder, which takes the place of `folder` unless an error occurs.

    Arguments and errors as of `check_replaceable`, which is asked before and after.
    """
    check_replaceable(folder, is_ours)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(
        prefix=f".{folder.name}-", dir=folder.parent, ignore_cleanup_errors=True
    ) as workspace:
        built, earlier = Path(workspace, "built"), Path(workspace, "earlier")
        built.mkdir()
        yield built
        check_replaceable(folder, is_ours)  # hours may have passed
        rlds_paths.replace_folder(built, folder, earlier)
