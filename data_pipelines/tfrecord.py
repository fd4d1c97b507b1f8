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
    size = path.stat().st_size
    with open(path, "rb") as file:
        number, position = 0, 0
        while position < size:
            length = _length(path, file.read(HEADER.size), number, size - position)
            record = file.read(length)
            (wanted,) = FOOTER.unpack(file.read(FOOTER.size))
            if crc32c.masked(record) != wanted:
                raise ValueError(
                    f"{path}, record {number}: its bytes do not match their checksum; "
                    "the file is damaged, get it again."
                )
            yield record
            number, position = number + 1, file.tell()


def count(path: Path) -> int:
    """How many records a file has, found without reading them; raises as `read`."""
    size = path.stat().st_size
    with open(path, "rb") as file:
        number, position = 0, 0
        while position < size:
            length = _length(path, file.read(HEADER.size), number, size - position)
            position += HEADER.size + length + FOOTER.size
            file.seek(position)
            number += 1
    return number


def _length(path: Path, header: bytes, number: int, left: int) -> int:
    """Bytes of the record whose header this is; `left` is what the file still has."""
    if len(header) == HEADER.size:
        length, wanted = HEADER.unpack(header)
        if crc32c.masked(header[:8]) != wanted:
            raise ValueError(_damage(path, number))
        if HEADER.size + length + FOOTER.size <= left:
            return length
    elif number == 0:
        raise ValueError(_damage(path, number))
    raise ValueError(
        f"{path}, record {number}: the file ends in the middle of it; it is not "
        "complete, get it again."
    )


def _damage(path: Path, number: int) -> str:
    """What to say where a record's header is none."""
    text = (
        f"{path}, record {number}: its length does not match its checksum; the file "
        "is damaged or no TFRecord file, get it again."
    )
    return text if number else file_kinds.describe_or(path, text)
