"""The tables of a LeRobot dataset: numbers by episode, and any rows of any columns.

Axes: T frames of an episode, N numbers of a feature.
"""

from pathlib import Path
from typing import Any, Iterable, Iterator, Mapping, Sequence

import numpy as np

from data_pipelines.errors import check_finite, first_line
from omnivla_jax.core import file_kinds

INDEX = ("timestamp", "frame_index", "episode_index", "task_index")


def open_table(file: Path) -> Any:
    """Open a pyarrow.parquet.ParquetFile.

    Raises:
      ModuleNotFoundError: pyarrow is not installed.
      FileNotFoundError, ValueError: one line; the file is missing or no parquet.
    """
    try:
        import pyarrow.parquet
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"LeRobot datasets need {error.name}: pip install 'omnivla-rl[data]'.",
            name=error.name,
        ) from error
    if not file.exists():
        raise FileNotFoundError(file_kinds.describe(file))
    try:
        return pyarrow.parquet.ParquetFile(file)
    except (pyarrow.ArrowException, OSError) as error:
        raise _damaged(file, error) from error


def read_columns(file: Path, names: Sequence[str] | None = None) -> dict[str, list]:
    """Columns of a small table as lists of Python objects; None: all."""
    table = read_rows(file, names)
    return {name: table.column(name).to_pylist() for name in table.column_names}


def read_rows(
    file: Path, names: Sequence[str] | None, first: int = 0, count: int | None = None
) -> Any:
    """Some rows of some columns as a pyarrow.Table that holds no others.

    Args:
      file: the table.
      names: of the columns; None: all.
      first: the first row.
      count: how many; None: all after it.

    Raises:
      ValueError: a column or a row is missing, or the file is damaged.
    """
    import pyarrow

    with open_table(file) as table:
        known = table.schema_arrow.names
        missing = [name for name in names or () if name not in known]
        if missing:
            raise ValueError(
                f"{file} has no column {missing[0]}; there are {', '.join(known)}."
            )
        total = table.metadata.num_rows
        count = total - first if count is None else count
        if first + count > total:
            raise ValueError(
                f"{file} ends after row {total - 1}, but its metadata name row "
                f"{first + count - 1}: get it again."
            )
        sizes = [
            table.metadata.row_group(group).num_rows
            for group in range(table.num_row_groups)
        ]
        ends = np.cumsum(sizes)
        groups = [
            group
            for group, end in enumerate(ends)
            if end > first and end - sizes[group] < first + count
        ]
        try:
            rows = table.read_row_groups(groups, columns=names)
        except (pyarrow.ArrowException, OSError) as error:
            raise _damaged(file, error) from error
    if len(rows) == count:
        return rows
    offset = first - int(ends[groups[0]] - sizes[groups[0]]) if groups else 0
    return rows.take(pyarrow.array(range(offset, offset + count)))  # copies them


def episode_columns(
    episodes: Iterable[Any], numbers: Mapping[str, int]
) -> Iterator[tuple[Any, dict[str, np.ndarray]]]:
    """Yield each `layout.Episode` with its columns; a file is read once.

    Args:
      episodes: in the order of the files.
      numbers: features with numbers, and how many.

    Yields:
      An episode, and its features float32 [T, N] with the columns `INDEX` [T].

    Raises:
      ValueError: a column is missing, or a row has another number of them or one that
        is not finite.
    """
    file, table = None, None  # type: Path | None, Any
    for episode in episodes:
        if episode.file != file:
            file = episode.file
            table = read_rows(file, [*numbers, *INDEX])
        if episode.first + episode.length > len(table):
            raise ValueError(
                f"{file} ends after row {len(table) - 1}, but episode {episode.number} "
                f"goes on to row {episode.first + episode.length - 1}: get the files "
                "again."
            )
        rows = table.slice(episode.first, episode.length)
        columns = {name: rows.column(name).to_numpy() for name in INDEX}
        for name, width in numbers.items():
            columns[name] = _vectors(rows.column(name), name, width, episode)
        yield episode, columns


def _vectors(column: Any, name: str, width: int, episode: Any) -> np.ndarray:
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
    elif width != 1:
        raise ValueError(
            f"{where} {episode.first}: {name} has 1 number where info.json gives "
            f"{width}: get the files again."
        )
    array = chunk.to_numpy(zero_copy_only=False).astype(np.float32)
    array = array.reshape(-1, width)
    check_finite(array, name, where, episode.first)
    return array


def _damaged(file: Path, error: BaseException) -> ValueError:
    """The error of a file that is no whole parquet table."""
    fallback = (
        f"{file} is no whole parquet table ({first_line(error)}): get it again; where "
        "it was recorded, LeRobot's `finalize()` is missing."
    )
    return ValueError(file_kinds.describe(file, fallback))
