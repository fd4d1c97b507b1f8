"""Hugging Face's .safetensors files as an archive, read without their library.

A file is the length of its header (8 bytes), the header (JSON: name -> dtype, shape,
offsets) and the bytes of all arrays. Large weights lie in several, listed by an index.
"""

import json
import math
from pathlib import Path
from typing import Any, Mapping, NamedTuple

import jax.numpy as jnp
import numpy as np

from omnivla_jax.policy.pretrained.archives import Archive, existing, undamaged

INDEX = ".index.json"  # what follows `model.safetensors` where it lies in several files
DTYPES: Mapping[str, Any] = {
    "F64": np.float64,
    "F32": np.float32,
    "F16": np.float16,
    "BF16": jnp.bfloat16,
    "I64": np.int64,
    "I32": np.int32,
    "U8": np.uint8,
    "BOOL": np.bool_,
}

# What JSON of another form than expected ends in.
MALFORMED = (ValueError, LookupError, AttributeError, TypeError)


class Entry(NamedTuple):
    """One array of a file."""

    file: Path
    dtype: str
    shape: tuple[int, ...]
    start: int  # bytes from the beginning of the file
    stop: int


def safetensors(path: Path) -> Archive:
    """A .safetensors file, an index of several, or the folder of either.

    Arrays are mapped from the file: only what is used is ever read.
    Raises ValueError on files of another kind, damaged, cut short, or missing, and
    where two parts hold one name.
    """
    entries: dict[str, Entry] = {}
    for file in _files(existing(path)):
        found = _entries(file)
        if twice := sorted(set(entries) & set(found)):
            raise ValueError(
                f"{entries[twice[0]].file} and {file} both hold {twice[0]} "
                f"({len(twice)} such names): name the file to read, or remove one."
            )
        entries |= found

    def read(name: str) -> np.ndarray:
        entry = entries[name]
        if not math.prod(entry.shape):
            return np.zeros(entry.shape, DTYPES[entry.dtype])
        dtype = DTYPES[entry.dtype]
        return np.memmap(entry.file, dtype, "r", entry.start, entry.shape)

    shapes = {name: entry.shape for name, entry in entries.items()}
    return Archive(shapes, undamaged(path, read))


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        indices = sorted(path.glob(f"*{INDEX}"))
        files = sorted(path.glob("*.safetensors"))
        if not files:
            raise ValueError(f"{path} holds no .safetensors: name the right folder.")
        if not indices:
            return files
        path = indices[0]
    if not path.name.endswith(INDEX):
        return [path]
    try:
        names = set(json.loads(path.read_text("utf-8"))["weight_map"].values())
        files = [path.parent / name for name in sorted(names)]
    except MALFORMED as error:
        raise ValueError(f"{path} is no index of .safetensors files.") from error
    return [existing(file) for file in files]


def _entries(path: Path) -> dict[str, Entry]:
    """The arrays of one file by name, once it is known to be whole."""
    size = path.stat().st_size
    try:
        with open(path, "rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(min(length, size)))
        found = {
            name: _entry(path, raw, 8 + length)
            for name, raw in header.items()
            if name != "__metadata__"
        }
    except (*MALFORMED, IsADirectoryError) as error:
        raise ValueError(f"{path} is no safetensors file, or a damaged one.") from error
    end = max((entry.stop for entry in found.values()), default=0)
    if size < end:
        raise ValueError(
            f"{path} has {size} of {end} bytes: the download is not complete, repeat "
            "it."
        )
    if unknown := sorted({entry.dtype for entry in found.values()} - set(DTYPES)):
        raise ValueError(
            f"{path} holds numbers of type {', '.join(unknown)}: find the same weights "
            f"in one of {', '.join(DTYPES)}."
        )
    for name, entry in found.items():
        _check_size(name, entry)
    return found


def _entry(path: Path, raw: Mapping[str, Any], begin: int) -> Entry:
    dtype, shape, (start, stop) = raw["dtype"], tuple(raw["shape"]), raw["data_offsets"]
    counted = all(type(size) is int and size >= 0 for size in (start, stop, *shape))
    if not (counted and isinstance(dtype, str)):
        raise ValueError(f"{raw} describes no array.")
    return Entry(path, dtype, shape, begin + start, begin + stop)


def _check_size(name: str, entry: Entry) -> None:
    taken = math.prod(entry.shape) * np.dtype(DTYPES[entry.dtype]).itemsize
    if entry.stop - entry.start != taken:
        raise ValueError(
            f"{name} in {entry.file}: {entry.dtype} {entry.shape} takes {taken} bytes, "
            f"its header gives {entry.stop - entry.start}: the file is damaged, repeat "
            "the download."
        )
