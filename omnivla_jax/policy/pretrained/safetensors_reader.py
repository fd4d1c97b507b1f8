"""Hugging Face's .safetensors files, read array by array through their library."""

import json
import re
from pathlib import Path
from typing import Any

import safetensors

from omnivla_jax.core import file_kinds
from omnivla_jax.policy.pretrained.readers import (
    ArrayReader,
    require_exists,
    with_read_errors,
)

WHOLE = "model.safetensors"  # Hugging Face's name of weights in one file
INDEX = ".index.json"  # suffix of the list of files where weights lie in several
PART = re.compile(r"-(\d{5})-of-(\d{5})\.safetensors$")
DTYPES = ("F64", "F32", "F16", "BF16", "I64", "I32", "U8", "BOOL")
# Errors that JSON of another form than an index ends in.
MALFORMED = (ValueError, LookupError, AttributeError, TypeError)


def read_safetensors(path: Path) -> ArrayReader:
    """Open a .safetensors file, an index of several, or the folder of either.

    Args:
      path: the file or folder.

    Returns:
      A reader that maps the files into memory: an array is read when it is asked for.

    Raises:
      ValueError: a file is of another kind, damaged, cut short or missing, holds an
        unknown dtype, or two files hold one name.
    """
    path = require_exists(path)
    files: dict[str, Any] = {}
    paths: dict[str, Path] = {}
    shapes: dict[str, tuple[int, ...]] = {}
    for file_path in _weight_files(path):
        file = _open(file_path)
        for name in file.keys():
            if name in files:
                raise ValueError(
                    f"{paths[name]} and {file_path} both hold {name} "
                    f"({len(set(files) & set(file.keys()))} such names): name the file "
                    "to read."
                )
        for name in file.keys():
            entry = file.get_slice(name)
            if entry.get_dtype() not in DTYPES:
                raise ValueError(
                    f"{file_path} holds numbers of type {entry.get_dtype()}: find the "
                    f"same weights in one of {', '.join(DTYPES)}."
                )
            files[name], paths[name] = file, file_path
            shapes[name] = tuple(entry.get_shape())

    return ArrayReader(
        shapes, with_read_errors(path, lambda name: files[name].get_tensor(name))
    )


def _open(path: Path) -> Any:
    """A file of the library's, whose header it has checked against the file's size."""
    try:
        return safetensors.safe_open(path, framework="numpy")
    except (safetensors.SafetensorError, OSError) as error:
        reason = str(error).removeprefix("Error while deserializing header: ")
        kind = file_kinds.identify(path) if path.is_file() else file_kinds.UNKNOWN
        cut = "not fully covered" in reason or reason == "invalid header length"
        if kind is file_kinds.SAFETENSORS and cut:
            raise ValueError(
                f"{path} has {path.stat().st_size} bytes, other than its header says "
                f"({reason}): the download is not complete, repeat it."
            ) from error
        problem = f"{path} is no safetensors file"
        if kind in (file_kinds.UNKNOWN, file_kinds.SAFETENSORS):
            raise ValueError(
                f"{problem}, or a damaged one ({reason}): repeat the download."
            ) from error
        beside = sorted(p for p in path.parent.glob("*.safetensors") if p != path)
        if kind is file_kinds.TORCH and beside:
            remedy = f"{kind.name}: name {beside[0].name} beside it"
        else:
            remedy = file_kinds.kind_and_remedy(path)
        raise ValueError(f"{problem} but {remedy}.") from error


def _weight_files(path: Path) -> list[Path]:
    """The .safetensors files that `path` means."""
    if path.is_dir():
        indices = sorted(path.glob(f"*{INDEX}"))
        files = sorted(path.glob("*.safetensors"))
        if len(indices) > 1:
            listed = ", ".join(index.name for index in indices)
            raise ValueError(f"{path} holds several indices ({listed}): name one.")
        if not (files or indices):
            raise ValueError(_no_weights_message(path))
        if not indices and path / WHOLE in files:
            return [path / WHOLE]  # others hold something else, such as statistics
        if not indices:
            for part in filter(None, (PART.search(file.name) for file in files)):
                stem = part.string[: part.start()]
                for number in range(1, int(part[2]) + 1):
                    name = f"{stem}-{number:05d}-of-{part[2]}.safetensors"
                    if not (path / name).exists():
                        raise ValueError(
                            f"{path} is not complete: {name} is missing, download it."
                        )
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
    return [require_exists(file) for file in files]


def _no_weights_message(folder: Path) -> str:
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
