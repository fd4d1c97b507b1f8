"""Writes RLDS datasets, see `data_pipelines.rlds`: NAME/1.0.0."""

import functools
from pathlib import Path
from typing import Iterable, Mapping

from data_pipelines import rlds, rlds_paths
from data_pipelines.writers.base import Writer
from omnivla_jax.core.types import Demonstration


def _write(
    directory: Path,
    episodes: Iterable[Demonstration],
    *,
    name: str,
    task_names: Mapping[int, str] | None = None,
    file_format: str,
) -> Path:
    del task_names  # the numbers are stored
    return rlds.write(directory, episodes, name=name, file_format=file_format)


TFRECORD, ARRAY_RECORD = (
    Writer(
        check_writable=rlds_paths.check_writable,
        write=functools.partial(_write, file_format=file_format),
        count_episodes=rlds.count,
    )
    for file_format in ("tfrecord", "array_record")
)
