"""Reads any rows of any columns of a parquet table; errors are one line."""

from pathlib import Path
from typing import Any, Sequence

import numpy as np

from data_pipelines.errors import first_line, optional_module
from omnivla_jax.core import file_kinds


def open_table(file: Path) -> Any:
    """Open a pyarrow.parquet.ParquetFile.

    Raises:
      ModuleNotFoundError: pyarrow is not installed.
      FileNotFoundError, ValueError: one line; the file is missing or no parquet.
    """
    pyarrow = optional_module("pyarrow", "LeRobot datasets")
    parquet = optional_module("pyarrow.parquet", "LeRobot datasets")
    if not file.exists():
        raise FileNotFoundError(file_kinds.describe(file))
    try:
        return parquet.ParquetFile(file)
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
    opened = open_table(file)
    import pyarrow  # is there, or the line above would have said so

    with opened as table:
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


def _damaged(file: Path, error: BaseException) -> ValueError:
    """The error of a file that is no whole parquet table."""
    fallback = (
        f"{file} is no whole parquet table ({first_line(error)}): get it again; where "
        "it was recorded, LeRobot's `finalize()` is missing."
    )
    return ValueError(file_kinds.describe(file, fallback))
