"""The history of a stage as a CSV file: one row of named numbers per step."""

import csv
import os
from pathlib import Path
from typing import Mapping, Sequence

Row = dict[str, float]


def append(path: Path, row: Mapping[str, float]) -> None:
    """Add one row; the first one decides the columns.

    Raises ValueError if the row's names differ from the file's.
    """
    header = _header(path)
    if header is not None and header != list(row):
        raise ValueError(
            f"{path} has the columns {header}, but this row has {list(row)}: move the "
            "old file away."
        )
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(row))
        if header is None:
            writer.writeheader()
        writer.writerow({name: repr(float(value)) for name, value in row.items()})


def load(path: Path) -> list[Row]:
    """All complete rows; a last one that an interruption cut short is left out."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return [
        {name: float(value) for name, value in row.items()}
        for row in rows
        if all(row.values())
    ]


def write(path: Path, rows: Sequence[Mapping[str, float]]) -> None:
    """Replace the file by `rows`, whole or not at all: a resumed run starts so."""
    temporary = path.with_name(f".{path.name}-{os.getpid()}")
    temporary.unlink(missing_ok=True)
    temporary.touch()
    for row in rows:
        append(temporary, row)
    temporary.replace(path)


def _header(path: Path) -> list[str] | None:
    if not path.exists() or not path.stat().st_size:
        return None
    with path.open(newline="", encoding="utf-8") as file:
        return next(csv.reader(file))
