"""Reads the RLDS datasets that `data_pipelines.rlds.write` makes.

They have modified_libero_rlds' features and, beyond those, joint states, numbers of
tasks and lossless pictures.
"""

from pathlib import Path
from typing import Iterator

from data_pipelines import rlds_paths
from data_pipelines.readers import modified_libero_rlds
from data_pipelines.readers.options import ReadOptions
from omnivla_jax.core.types import Demonstration

OPTIONS = modified_libero_rlds.OPTIONS


def recognizes(path: Path) -> bool:
    """Whether `path` is, or is above, a dataset that this program wrote."""
    try:
        return rlds_paths.describes_ours(rlds_paths.resolve(path))
    except FileNotFoundError:
        return False


def read(path: Path, options: ReadOptions = ReadOptions()) -> Iterator[Demonstration]:
    """Yield the demonstrations of a dataset; see `modified_libero_rlds.read`.

    Raises ValueError, beyond that, where this program did not write the dataset.
    """
    folder = rlds_paths.resolve(path)
    if not rlds_paths.describes_ours(folder):
        raise ValueError(
            f"{folder} was not written by this program: read it as "
            "modified_libero_rlds."
        )
    yield from modified_libero_rlds.read(folder, options)
