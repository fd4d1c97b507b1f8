"""The numbers of a LeRobot dataset, episode by episode, checked row by row.

Axes: T frames of an episode, N numbers of a feature.
"""

from pathlib import Path
from typing import Any, Iterable, Iterator, Mapping

import numpy as np

from data_pipelines.errors import check_finite
from data_pipelines.readers.lerobot import tables
from data_pipelines.readers.lerobot.layout import Episode

INDEX = ("timestamp", "frame_index", "episode_index", "task_index")


def episode_columns(
    episodes: Iterable[Episode], numbers: Mapping[str, int]
) -> Iterator[tuple[Episode, dict[str, np.ndarray]]]:
    """Yield each episode with its columns; a file is read once.

    Args:
      episodes: in the order of the files.
      numbers: features with numbers, and how many.

    Yields:
      An episode, and its features float32 [T, N] with the columns `INDEX` [T].

    Raises:
      ValueError: a column is missing, or a row has another number of them or one that
        is not finite.
    """
    file: Path | None = None
    table: Any = None
    for episode in episodes:
        if episode.file != file:
            file = episode.file
            table = tables.read_rows(file, [*numbers, *INDEX])
        if episode.is_alone and episode.length < len(table):
            raise ValueError(
                f"{file} has {len(table)} rows, but episode {episode.number} "
                f"{episode.length} frames: get the files again."
            )
        if episode.first + episode.length > len(table):
            raise ValueError(
                f"{file} ends after row {len(table) - 1}, but episode {episode.number} "
                f"goes on to row {episode.first + episode.length - 1}: get the files "
                "again."
            )
        rows = table.slice(episode.first, episode.length)
        columns = {name: _scalars(rows.column(name), name, episode) for name in INDEX}
        for name, width in numbers.items():
            columns[name] = _vectors(rows.column(name), name, width, episode)
        yield episode, columns


def _scalars(column: Any, name: str, episode: Episode) -> np.ndarray:
    """A column of finite numbers as [T]."""
    import pyarrow

    kinds, where = pyarrow.types, f"{episode.file}, row"
    if column.null_count:
        row = episode.first + column.is_null().to_pylist().index(True)
        raise ValueError(f"{where} {row} has no {name}: get the file again.")
    if not kinds.is_integer(column.type) and not kinds.is_floating(column.type):
        raise ValueError(
            f"{where} {episode.first}: {name} is {column.type}, no number: get "
            "the file again."
        )
    array = column.to_numpy()
    check_finite(array, name, where, episode.first)
    return array


def _vectors(column: Any, name: str, width: int, episode: Episode) -> np.ndarray:
    """A column of numbers or of lists of them as float32 [T, N]."""
    import pyarrow

    where = f"{episode.file}, row"
    chunk = column.combine_chunks()
    if chunk.null_count:
        row = episode.first + chunk.is_null().to_pylist().index(True)
        raise ValueError(f"{where} {row} has no {name}: get the file again.")
    if pyarrow.types.is_nested(chunk.type):
        lengths = chunk.value_lengths().to_numpy(zero_copy_only=False)
        wrong = np.flatnonzero(lengths != width)
        if len(wrong):
            raise ValueError(
                f"{where} {episode.first + wrong[0]}: {name} has {lengths[wrong[0]]} "
                f"numbers where info.json gives {width}: get the files again."
            )
        chunk = chunk.flatten()
        if pyarrow.types.is_nested(chunk.type):
            raise ValueError(
                f"{where} {episode.first}: {name} holds {chunk.type}, where info.json "
                f"gives {width} numbers: choose another feature."
            )
    elif width != 1:
        raise ValueError(
            f"{where} {episode.first}: {name} has 1 number where info.json gives "
            f"{width}: get the files again."
        )
    array = chunk.to_numpy(zero_copy_only=False).astype(np.float32)
    array = array.reshape(-1, width)
    check_finite(array, name, where, episode.first)
    return array
