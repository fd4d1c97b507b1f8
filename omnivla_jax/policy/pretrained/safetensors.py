"""Hugging Face's .safetensors files as an archive, read without their library.

A file is the length of its header (8 bytes), the header (JSON: name -> dtype, shape,
offsets) and the bytes of all arrays. Large weights lie in several, listed by an index.
"""

import json
import math
import re
from pathlib import Path
from typing import Any, Mapping, NamedTuple

import jax.numpy as jnp
import numpy as np

from omnivla_jax.core import file_kinds
from omnivla_jax.policy.pretrained.archives import Archive, existing, undamaged

INDEX = ".index.json"  # what follows `model.safetensors` where it lies in several files
PART = re.compile(r"-(\d{5})-of-(\d{5})\.safetensors$")
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


class IncompleteError(ValueError):
    """A file that ends too early."""


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
    path = existing(path)
    entries: dict[str, Entry] = {}
    for file in _files(path):
        found = _entries(file)
        if twice := sorted(set(entries) & set(found)):
            raise ValueError(
                f"{entries[twice[0]].file} and {file} both hold {twice[0]} "
                f"({len(twice)} such names): name the file to read."
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
        if len(indices) > 1:
            listed = ", ".join(index.name for index in indices)
            raise ValueError(f"{path} holds several indices ({listed}): name one.")
        if not (files or indices):
            raise ValueError(_absent(path))
        if not indices:
            _check_parts(path, files)
            return files
        path = indices[0]
    if not path.name.endswith(INDEX):
        if (match := PART.search(path.name)) and int(match[2]) > 1:
            raise ValueError(
                f"{path} is part {int(match[1])} of {int(match[2])}: name the folder, "
                "so that all of them are read."
            )
        return [path]
    try:
        names = set(json.loads(path.read_text("utf-8"))["weight_map"].values())
        files = [path.parent / name for name in sorted(names)]
    except MALFORMED as error:
        text = f"{path} is no index of .safetensors files."
        kind = file_kinds.identify(path)
        other = kind not in (file_kinds.JSON, file_kinds.TEXT, file_kinds.UNKNOWN)
        raise ValueError(file_kinds.describe(path) if other else text) from error
    return [existing(file) for file in files]


def _check_parts(folder: Path, files: list[Path]) -> None:
    """Refuse a set of numbered parts of which one is missing."""
    for file in files:
        if not (match := PART.search(file.name)):
            continue
        for part in range(1, int(match[2]) + 1):
            name = f"{file.name[: match.start()]}-{part:05d}-of-{match[2]}.safetensors"
            if not (folder / name).exists():
                raise ValueError(
                    f"{folder} is not complete: {name} is missing, download it."
                )


def _absent(folder: Path) -> str:
    """What to say where a folder holds no weights of this kind."""
    text = f"{folder} holds no .safetensors: "
    for level in ("*", "*/*", "*/*/*"):
        if below := sorted(folder.glob(f"{level}/*.safetensors")):
            return f"{text}name the folder below it, {below[0].parent}."
    torch = [
        file.name
        for pattern in ("*.bin", "*.pt", "*.pth", "*.ckpt")
        for file in sorted(folder.glob(pattern))
    ]
    if torch:
        return (
            f"{text}it holds PyTorch checkpoints ({', '.join(torch[:3])}); download "
            "the .safetensors of the same weights, or convert these with "
            "`safetensors.torch.save_file`."
        )
    return f"{text}name the right folder."


def _instead(path: Path) -> str:
    """What lies at `path` in place of a safetensors file, in one line."""
    kind, text = file_kinds.identify(path), f"{path} is no safetensors file"
    if kind in (file_kinds.UNKNOWN, file_kinds.SAFETENSORS):
        return f"{text}, or a damaged one: repeat the download."
    beside = sorted(file for file in path.parent.glob("*.safetensors") if file != path)
    if kind is file_kinds.TORCH and beside:
        return f"{text} but {kind.name}: name {beside[0].name} beside it."
    return f"{text} but {file_kinds.kind_and_remedy(path)}."


def _entries(path: Path) -> dict[str, Entry]:
    """The arrays of one file by name, once it is known to be whole."""
    size = path.stat().st_size
    try:
        with open(path, "rb") as file:
            length = int.from_bytes(file.read(8), "little")
            _check_header(path, length, size)
            header = json.loads(file.read(min(length, size)))
        found = {
            name: _entry(path, raw, 8 + length)
            for name, raw in header.items()
            if name != "__metadata__"
        }
    except IncompleteError:
        raise
    except (*MALFORMED, IsADirectoryError) as error:
        raise ValueError(_instead(path)) from error
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


def _check_header(path: Path, length: int, size: int) -> None:
    """Tell a header that is cut short from a file of another kind."""
    kind = file_kinds.identify(path)
    if kind is file_kinds.SAFETENSORS and size < 8 + length:
        raise IncompleteError(
            f"{path} has {size} bytes, its header alone takes {8 + length}: the "
            "download is not complete, repeat it."
        )


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
