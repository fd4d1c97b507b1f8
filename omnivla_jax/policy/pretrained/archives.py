"""Files of public weights as named arrays that are read one by one.

Opening an archive reads names and shapes only, so that a mistake is found before the
first gigabyte is. NumPy's and orbax's files are here, those of Hugging Face in
`safetensors.py`.
"""

import re
import zipfile
from pathlib import Path
from typing import Any, Callable, Mapping, NamedTuple, Sequence, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from flax import traverse_util

T = TypeVar("T")


class Archive(NamedTuple):
    """Arrays on disk, by name; `read` raises ValueError where one is damaged."""

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
    try:
        with zipfile.ZipFile(existing(path)) as file:
            members = [name for name in file.namelist() if name.endswith(".npy")]
            shapes = {name: _npy_shape(file, name) for name in members}
    except (zipfile.BadZipFile, IsADirectoryError) as error:
        raise ValueError(f"{path} is no NumPy archive, or a damaged one.") from error

    def read(name: str) -> np.ndarray:
        with np.load(path) as file:
            array = file[name]
        # NumPy knows no bfloat16 and stores it as two raw bytes.
        return array.view(jnp.bfloat16) if array.dtype == np.dtype("V2") else array

    shapes = {name.removesuffix(".npy"): shape for name, shape in shapes.items()}
    return Archive(shapes, undamaged(path, read))


def orbax(path: Path) -> Archive:
    """An orbax tree, named by its keys with slashes; or the folder of its `params`."""
    inner = existing(path) / "params"
    folder = (inner if inner.is_dir() else path).absolute()
    shapes = _orbax_shapes(folder)

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

    return Archive(shapes, undamaged(path, read))


def existing(path: Path) -> Path:
    """`path`; ValueError where there is nothing."""
    if not path.exists():
        raise ValueError(f"There is nothing at {path}: download the weights first.")
    return path


def undamaged(path: Path, read: Callable[[str], T]) -> Callable[[str], T]:
    """`read`, by name; whatever it fails with is told as damage to `path`."""

    def careful(name: str) -> T:
        try:
            return read(name)
        except MemoryError:
            raise
        except Exception as error:  # the readers raise whatever they meet
            raise ValueError(
                f"{name} in {path} cannot be read: the download is damaged or not "
                f"complete, repeat it ({error})."
            ) from error

    return careful


def _npy_shape(file: zipfile.ZipFile, name: str) -> tuple[int, ...]:
    with file.open(name) as stream:
        version = np.lib.format.read_magic(stream)
        readers = {1: np.lib.format.read_array_header_1_0}
        read = readers.get(version[0], np.lib.format.read_array_header_2_0)
        return read(stream)[0]


def _orbax_shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    """Shapes by name, of a tree that consists of dictionaries and arrays alone."""
    try:
        with ocp.PyTreeCheckpointer() as checkpointer:
            tree = checkpointer.metadata(folder).item_metadata.tree
    except Exception as error:  # orbax and its readers raise whatever they meet
        raise ValueError(f"{folder} holds no orbax tree, or a damaged one.") from error
    named = isinstance(tree, dict)
    leaves = traverse_util.flatten_dict(tree, sep="/") if named else {"its root": tree}
    others = [n for n, leaf in leaves.items() if getattr(leaf, "shape", None) is None]
    if others:
        raise ValueError(
            f"{folder} holds a list, text or nothing, no array, under {others[0]} "
            f"({len(others)} such names): name the folder of the parameters alone."
        )
    return {name: tuple(leaf.shape) for name, leaf in leaves.items()}
