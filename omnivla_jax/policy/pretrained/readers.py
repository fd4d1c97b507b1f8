"""Readers of public weights: named arrays, read one by one.

Opening a file reads names and shapes only, so that a mismatch is found before the first
gigabyte is read. NumPy's and orbax's files are here, those of Hugging Face in
`safetensors_reader.py`.
"""

import functools
import re
import zipfile
from pathlib import Path
from typing import Callable, Mapping, NamedTuple, Sequence, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from flax import traverse_util

from omnivla_jax.core import file_kinds, paths

T = TypeVar("T")
ORBAX_TREE = "_METADATA"  # the file that makes a folder an orbax tree


class ArrayReader(NamedTuple):
    """Arrays on disk, by name; `read` raises ValueError on a damaged one."""

    shapes: Mapping[str, tuple[int, ...]]
    read: Callable[[str], np.ndarray]


def rename_arrays(reader: ArrayReader, rules: Sequence[tuple[str, str]]) -> ArrayReader:
    """The same arrays with every (pattern, replacement) applied to their names.

    Raises ValueError where two arrays would get one name.
    """
    originals: dict[str, str] = {}
    for original in reader.shapes:
        name = original
        for pattern, replacement in rules:
            name = re.sub(pattern, replacement, name)
        if name in originals:
            raise ValueError(f"{originals[name]} and {original} are both {name}.")
        originals[name] = original
    return ArrayReader(
        {name: reader.shapes[original] for name, original in originals.items()},
        lambda name: reader.read(originals[name]),
    )


def read_npz(path: Path) -> ArrayReader:
    """Open a NumPy archive, as PaliGemma was published, or the folder of a single one.

    Raises ValueError where it is damaged or another kind of file, which is named.
    """
    path = _one_npz(require_exists(path))
    shapes: dict[str, tuple[int, ...]] = {}
    try:
        with zipfile.ZipFile(path) as file:
            members = [name for name in file.namelist() if name.endswith(".npy")]
            for member in members:
                with file.open(member) as stream:
                    version = np.lib.format.read_magic(stream)
                    headers = {1: np.lib.format.read_array_header_1_0}
                    read_header = headers.get(
                        version[0], np.lib.format.read_array_header_2_0
                    )
                    shapes[member.removesuffix(".npy")] = read_header(stream)[0]
    except Exception as error:  # zipfile and its decoders raise many kinds
        damaged = file_kinds.identify(path) in (file_kinds.NPZ, file_kinds.ZIP)
        raise ValueError(
            f"{path} is a damaged NumPy archive: repeat the download."
            if damaged
            else f"{path} is no NumPy archive but {file_kinds.kind_and_remedy(path)}."
        ) from error
    if not members:
        raise ValueError(
            f"{path} is no NumPy archive but {file_kinds.kind_and_remedy(path)}."
        )

    def read(name: str) -> np.ndarray:
        with np.load(path) as file:
            array = file[name]
        # NumPy knows no bfloat16 and stores it as two raw bytes.
        return array.view(jnp.bfloat16) if array.dtype == np.dtype("V2") else array

    return ArrayReader(shapes, with_read_errors(path, read))


def read_orbax(path: Path) -> ArrayReader:
    """Open an orbax tree, or the folder of its `params`; names are keys with slashes.

    Raises ValueError where `path` is a folder of several trees or something else; the
    message names them.
    """
    folder = _orbax_folder(require_exists(path)).absolute()
    shapes = _orbax_shapes(folder)
    nested = functools.partial(traverse_util.unflatten_dict, sep="/")

    def read(name: str) -> np.ndarray:
        arguments = ocp.args.PyTreeRestore(
            item=nested({name: 0}),
            restore_args=nested({name: ocp.RestoreArgs(restore_type=np.ndarray)}),
            partial_restore=True,
        )
        with ocp.PyTreeCheckpointer() as checkpointer:
            (array,) = jax.tree.leaves(checkpointer.restore(folder, args=arguments))
        return array

    return ArrayReader(shapes, with_read_errors(path, read))


def require_exists(path: Path) -> Path:
    """`paths.hub_snapshot` of `path`; raises ValueError where there is nothing."""
    path = paths.hub_snapshot(path)
    if not path.exists():
        raise ValueError(f"There is nothing at {path}: download the weights first.")
    return path


def with_read_errors(path: Path, read: Callable[[str], T]) -> Callable[[str], T]:
    """`read`, whose errors become a ValueError that names the array and the file."""

    def checked_read(name: str) -> T:
        try:
            return read(name)
        except MemoryError:
            raise
        except Exception as error:  # the libraries raise many kinds
            raise ValueError(
                f"{name} in {path} cannot be read: the download is damaged or not "
                f"complete, repeat it ({error})."
            ) from error

    return checked_read


def _one_npz(path: Path) -> Path:
    """The only archive in a folder; a file as it is."""
    if not path.is_dir():
        return path
    archives = sorted(path.glob("*.npz"))
    if len(archives) == 1:
        return archives[0]
    listed = ", ".join(file.name for file in archives) or "none"
    raise ValueError(
        f"{path} is no NumPy archive but a folder, with {len(archives)} of them "
        f"({listed}): name the file."
    )


def _orbax_folder(path: Path) -> Path:
    """The tree at `path` or in its `params`."""
    if not path.is_dir():
        raise ValueError(
            f"{path} holds no orbax tree, which is a folder, but is "
            f"{file_kinds.kind_and_remedy(path)}."
        )
    for folder in (path / "params", path):
        if (folder / ORBAX_TREE).is_file():
            return folder
    for level in ("*/params", "*/*/params", "*", "*/*"):
        if below := [file.parent for file in path.glob(f"{level}/{ORBAX_TREE}")]:
            raise ValueError(
                f"{path} holds no orbax tree itself, but {len(below)} below it: name "
                f"one of them, for example {max(below, key=_step)}."
            )
    around = [up for up in path.parents[:2] if (up / ORBAX_TREE).is_file()]
    if around:
        raise ValueError(
            f"{path} holds no orbax tree, it is inside of one: name {around[0]}."
        )
    inner = path / "params"
    return inner if inner.is_dir() else path  # an older orbax: it says what is wrong


def _step(folder: Path) -> tuple[int, str]:
    """Sort key: the last number in the path, then the path."""
    numbers = re.findall(r"\d+", str(folder))
    return (int(numbers[-1]) if numbers else -1, str(folder))


def _orbax_shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    """Shapes by name; the tree must consist of dictionaries and arrays only."""
    try:
        with ocp.PyTreeCheckpointer() as checkpointer:
            tree = checkpointer.metadata(folder).item_metadata.tree
    except Exception as error:  # orbax raises many kinds
        index, text = folder / ORBAX_TREE, "holds no orbax tree, or a damaged one"
        if index.exists() and file_kinds.identify(index) is not file_kinds.JSON:
            text = f"{text}: {file_kinds.describe(index)}"
        raise ValueError(f"{folder} {text.rstrip('.')}.") from error
    named = isinstance(tree, dict)
    leaves = traverse_util.flatten_dict(tree, sep="/") if named else {"its root": tree}
    others = [n for n, leaf in leaves.items() if getattr(leaf, "shape", None) is None]
    if others:
        raise ValueError(
            f"{folder} holds a list, text or nothing, no array, under {others[0]} "
            f"({len(others)} such names): name the folder of the parameters alone."
        )
    return {name: tuple(leaf.shape) for name, leaf in leaves.items()}
