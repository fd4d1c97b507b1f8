"""Files of public weights as named arrays that are read one by one.

Opening an archive reads names and shapes only, so that a mistake is found before the
first gigabyte is.
"""

import json
import math
import re
import zipfile
from pathlib import Path
from typing import Any, Callable, Mapping, NamedTuple, Sequence

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from flax import traverse_util

INDEX = ".index.json"  # what follows `model.safetensors` where it lies in several files
SAFETENSORS_DTYPES: Mapping[str, Any] = {
    "F64": np.float64,
    "F32": np.float32,
    "F16": np.float16,
    "BF16": jnp.bfloat16,
    "I64": np.int64,
    "I32": np.int32,
    "U8": np.uint8,
    "BOOL": np.bool_,
}


class Archive(NamedTuple):
    """Arrays on disk, by name."""

    shapes: Mapping[str, tuple[int, ...]]
    read: Callable[[str], np.ndarray]


def renamed(archive: Archive, rules: Sequence[tuple[str, str]]) -> Archive:
    """The same arrays with every (pattern, replacement) applied to their names.

    Raises ValueError where two arrays would get one name.
    """
    originals: dict[str, str] = {}
    for original in archive.shapes:
        name = original
        for pattern, replacement in rules:
            name = re.sub(pattern, replacement, name)
        if name in originals:
            raise ValueError(f"{originals[name]} and {original} are both {name}.")
        originals[name] = original
    return Archive(
        {name: archive.shapes[original] for name, original in originals.items()},
        lambda name: archive.read(originals[name]),
    )


def npz(path: Path) -> Archive:
    """A NumPy archive, as PaliGemma was published."""
    if not zipfile.is_zipfile(_existing(path)):
        raise ValueError(f"{path} is no NumPy archive, or a damaged one.")
    with zipfile.ZipFile(path) as file:
        members = [name for name in file.namelist() if name.endswith(".npy")]
        shapes = {name.removesuffix(".npy"): _npy_shape(file, name) for name in members}

    def read(name: str) -> np.ndarray:
        with np.load(path) as file:
            array = file[name]
        # NumPy knows no bfloat16 and stores it as two raw bytes.
        return array.view(jnp.bfloat16) if array.dtype == np.dtype("V2") else array

    return Archive(shapes, read)


def orbax(path: Path) -> Archive:
    """An orbax tree, named by its keys with slashes; or the folder of its `params`."""
    inner = _existing(path) / "params"
    folder = (inner if inner.is_dir() else path).absolute()
    leaves = traverse_util.flatten_dict(_orbax_metadata(folder), sep="/")

    def nested(name: str, leaf: Any) -> Any:
        return traverse_util.unflatten_dict({name: leaf}, sep="/")

    def read(name: str) -> np.ndarray:
        arguments = ocp.args.PyTreeRestore(
            item=nested(name, 0),
            restore_args=nested(name, ocp.RestoreArgs(restore_type=np.ndarray)),
            partial_restore=True,
        )
        with ocp.PyTreeCheckpointer() as checkpointer:
            (array,) = jax.tree.leaves(checkpointer.restore(folder, args=arguments))
        return array

    return Archive({name: tuple(leaf.shape) for name, leaf in leaves.items()}, read)


def safetensors(path: Path) -> Archive:
    """A .safetensors file, an index of several, or the folder of either.

    Arrays are mapped from the file: only what is used is ever read.
    """
    headers = [(file, *_header(file)) for file in _safetensors_files(_existing(path))]
    entries = {
        name: (file, start, entry)
        for file, start, header in headers
        for name, entry in header.items()
    }

    def read(name: str) -> np.ndarray:
        file, start, entry = entries[name]
        shape, dtype = tuple(entry["shape"]), SAFETENSORS_DTYPES[entry["dtype"]]
        if not math.prod(shape):
            return np.zeros(shape, dtype)
        offset = start + entry["data_offsets"][0]
        return np.memmap(file, dtype, "r", offset, shape)

    shapes = {name: tuple(entry["shape"]) for name, (_, _, entry) in entries.items()}
    return Archive(shapes, read)


def _existing(path: Path) -> Path:
    if not path.exists():
        raise ValueError(f"There is nothing at {path}: download the weights first.")
    return path


def _npy_shape(file: zipfile.ZipFile, name: str) -> tuple[int, ...]:
    with file.open(name) as stream:
        version = np.lib.format.read_magic(stream)
        readers = {1: np.lib.format.read_array_header_1_0}
        read = readers.get(version[0], np.lib.format.read_array_header_2_0)
        return read(stream)[0]


def _orbax_metadata(folder: Path) -> Any:
    """The tree of shapes in an orbax checkpoint."""
    try:
        with ocp.PyTreeCheckpointer() as checkpointer:
            return checkpointer.metadata(folder).item_metadata.tree
    except Exception as error:  # orbax and its readers raise whatever they meet
        raise ValueError(f"{folder} holds no orbax tree, or a damaged one.") from error


def _safetensors_files(path: Path) -> list[Path]:
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
    names = set(json.loads(path.read_text("utf-8"))["weight_map"].values())
    return [_existing(path.parent / name) for name in sorted(names)]


def _header(path: Path) -> tuple[int, dict[str, Any]]:
    """Where the arrays of a file begin, and name -> dtype, shape and offsets."""
    with open(path, "rb") as file:
        size = int.from_bytes(file.read(8), "little")
        text = file.read(min(size, path.stat().st_size))
    try:
        header = json.loads(text)
    except ValueError as error:
        raise ValueError(f"{path} is no safetensors file, or a damaged one.") from error
    header.pop("__metadata__", None)
    return 8 + size, header
