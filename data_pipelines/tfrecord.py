"""TFRecord files without TensorFlow: a sequence of records, each with two checksums.

    length (uint64) | masked CRC-32C of it | data | masked CRC-32C of the data

All little-endian. `tf.data.TFRecordDataset` reads what is written here.
"""

import struct
from pathlib import Path
from typing import Iterable, Iterator

from data_pipelines import crc32c
from omnivla_jax.core import file_kinds

HEADER = struct.Struct("<QI")  # length and its checksum
FOOTER = struct.Struct("<I")


def write(path: Path, records: Iterable[bytes]) -> None:
    """Write one file, replacing what lies there."""
    with open(path, "wb") as file:
        for record in records:
            length = struct.pack("<Q", len(record))
            file.write(length + FOOTER.pack(crc32c.masked(length)))
            file.write(record)
            file.write(FOOTER.pack(crc32c.masked(record)))


def read(path: Path) -> Iterator[bytes]:
    """Yield every record of a file.

    Raises:
      ValueError: a checksum differs or the file is cut short; names the file and the
        record, counted from 0.
    """
    for number, (offset, length) in enumerate(index(path)):
        yield read_at(path, number, offset, length)


def read_at(path: Path, number: int, offset: int, length: int) -> bytes:
    """The record `number`, whose data `index` found at `offset`; raises as `read`."""
    with open(path, "rb") as file:
        file.seek(offset)
        record = file.read(length)
        (checksum,) = FOOTER.unpack(file.read(FOOTER.size))
    if crc32c.masked(record) != checksum:
        raise ValueError(
            f"{path}, record {number}: its bytes do not match their checksum; "
            "the file is damaged, get it again."
        )
    return record


def index(path: Path) -> list[tuple[int, int]]:
    """Offset and length in bytes of the data of every record.

    Reads the headers only, so that damaged data is found by `read_at` alone; otherwise
    raises as `read`.
    """
    size, position = path.stat().st_size, 0
    spans: list[tuple[int, int]] = []
    damage = "its length does not match its checksum; the file is damaged"
    with open(path, "rb") as file:
        while position < size:
            where = f"{path}, record {len(spans)}"
            header = file.read(HEADER.size)
            is_whole = len(header) == HEADER.size
            length, checksum = HEADER.unpack(header) if is_whole else (0, 0)
            if is_whole and crc32c.masked(header[:8]) != checksum and spans:
                raise ValueError(f"{where}: {damage}, get it again.")
            if not spans and (not is_whole or crc32c.masked(header[:8]) != checksum):
                text = f"{where}: {damage} or no TFRecord file, get it again."
                raise ValueError(file_kinds.describe(path, text))
            end = position + HEADER.size + length + FOOTER.size
            if not is_whole or end > size:
                raise ValueError(
                    f"{where}: the file ends in the middle of it; it is not complete, "
                    "get it again."
                )
            spans.append((position + HEADER.size, length))
            position = end
            file.seek(position)
    return spans
