"""Reads and writes tables of initial states, without PyTorch and without running them.

LIBERO keeps them as `torch.save` of a NumPy array. Files of one's own may come from any
PyTorch or NumPy, as an array, a tensor or a list of rows. All are pickles from the
internet: what is not needed to rebuild an array is refused (`state_pickle`).
"""

import io
import math
import os
import pickle
import zipfile
import zlib
from pathlib import Path
from typing import Any, Collection

import numpy as np

from omnivla_jax.core import file_kinds
from omnivla_jax.sim.libero import state_pickle

MAX_BYTES = 1 << 28  # of a file and of what it unpacks to; LIBERO's have 50 kB
_SHORTEST = 19  # entries of a state: time, and the robot's nine joints twice
_RESAVE = "save a float array [N, 1 + nq + nv] with `state_files.write`"
_AGAIN = "download or copy it again"
_NO_STATES = (
    *file_kinds.LEFTOVERS,
    file_kinds.XML,
    file_kinds.JSON,
    file_kinds.GZIP,
    file_kinds.HDF5,
    file_kinds.SAFETENSORS,
)


def read(path: str | Path, *, width: int | None = None) -> np.ndarray:
    """Read a table of states; a single state is a table of one.

    Args:
      path: a zip or an older file of `torch.save`, a pickle, `.npy` or `.npz`.
      width: what 1 + nq + nv has to be, if known.

    Returns:
      float64 [N, 1 + nq + nv].

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: saying in one line what the file is, and what helps.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        what = "is a folder, not a file" if path.is_dir() else "does not exist"
        raise FileNotFoundError(f"Initial states: {path} {what}.")
    try:
        table = _table(_unpacked(path))
        if width is not None and table.shape[1] != width:
            raise _Unreadable(
                f"has states of {table.shape[1]} entries where {width} are expected",
                "take the file of this task",
            )
    except _Unreadable as error:
        message, remedy = error.args
        raise ValueError(f"{path} {_short(message, 400)}: {remedy}.") from None
    return table


def write(path: str | Path, states: Any, *, overwrite: bool = False) -> Path:
    """Write a table as LIBERO does; its `torch.load` and `read` give it back exactly.

    The file appears at once or not at all. PyTorch from 2.6 on reads arrays with
    `torch.load(path, weights_only=False)`, as LIBERO does.

    Args:
      path: such as `my_task.pruned_init`.
      states: finite numbers [N, 1 + nq + nv], time first; kept as float64.
      overwrite: whether a file at `path` may be replaced.

    Returns:
      The path, with `~` expanded.

    Raises:
      FileExistsError: there is one already.
      ValueError: on another shape or type, or a number that is not finite.
    """
    path = Path(path).expanduser()
    given = np.asarray(states)
    if given.ndim != 2 or given.shape[1] == 0:
        raise ValueError(
            f"States for {path} have shape {given.shape}: give [N, 1 + nq + nv]."
        )
    try:
        table = _table(given)
    except _Unreadable as error:
        message = str(error.args[0]).replace("holds", "would hold", 1)
        raise ValueError(f"{path} {message}: give finite numbers.") from error
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path} exists: pass overwrite=True to replace it.")
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(partial, "xb") as file:
            file.write(_torch_archive(table))
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    return path


class _Unreadable(Exception):
    """What a file is instead of a table of states, and what helps."""


def _short(text: Any, length: int = 120) -> str:
    """`text` in one line: what is wrong with a damaged file can quote all of it."""
    line = " ".join(str(text).split())
    return line if len(line) <= length else f"{line[:length]}..."


def _unpacked(path: Path) -> Any:
    """The object in a file, of whichever kind the file is."""
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise _Unreadable(f"has {size} bytes, no table of states", _RESAVE)
    kind = file_kinds.identify(path)
    if kind in _NO_STATES:
        raise _Unreadable(f"is {kind.name}", kind.remedy)
    data = path.read_bytes()
    if not data.strip(b"\0"):
        raise _Unreadable("holds zeros alone", _AGAIN)
    try:
        if data.startswith(b"PK"):
            return _from_zip(data)
        if data.startswith(b"\x93NUMPY"):
            return _from_npy(data)
        return state_pickle.load(data)
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        what = f"is truncated or damaged ({_short(error)})"
        raise _Unreadable(what, _AGAIN) from error
    except pickle.UnpicklingError as error:
        raise _Unreadable(
            f"is no LIBERO initial-state file ({_short(error)})", _RESAVE
        ) from error
    except (MemoryError, OverflowError, RecursionError, RuntimeError) as error:
        # Zips too: encrypted ones, and versions and methods that are not known.
        raise _Unreadable(f"cannot be unpacked ({_short(error)})", _RESAVE) from error


def _from_zip(data: bytes) -> Any:
    """What `torch.save` or `np.savez` packed."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        infos = archive.infolist()
        if sum(info.file_size for info in infos) > MAX_BYTES:
            raise _Unreadable("unpacks to more than a table of states", _RESAVE)
        names = [info.filename for info in infos]
        pickles = [name for name in names if f"/{name}".endswith("/data.pkl")]
        if pickles:
            outermost = min(pickles, key=lambda name: name.count("/"))
            return _from_torch(archive, outermost.removesuffix("data.pkl"), names)
        arrays = [name for name in names if name.endswith(".npy")]
        if len(arrays) == 1:
            return _from_npy(archive.read(arrays[0]))
    if arrays:
        raise _Unreadable(f"holds several arrays, {sorted(arrays)[:5]}", _RESAVE)
    what = f"is no LIBERO initial-state file but a zip of {sorted(names)[:5]}"
    raise _Unreadable(what, _RESAVE)


def _from_torch(archive: zipfile.ZipFile, folder: str, names: Collection[str]) -> Any:
    if f"{folder}constants.pkl" in names:
        raise _Unreadable("is a TorchScript module", _RESAVE)
    order = "little"
    if f"{folder}byteorder" in names:
        order = archive.read(f"{folder}byteorder").decode("ascii", "replace").strip()

    def storage(key: str) -> bytes:
        name = f"{folder}data/{key}"
        if name not in names:
            raise pickle.UnpicklingError(f"the archive lacks {name!r}")
        return archive.read(name)

    return state_pickle.load_torch(
        archive.read(f"{folder}data.pkl"), storage, "<" if order == "little" else ">"
    )


def _from_npy(data: bytes) -> np.ndarray:
    file = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(file)
        header = (
            np.lib.format.read_array_header_1_0
            if version == (1, 0)
            else np.lib.format.read_array_header_2_0
        )
        shape, _, dtype = header(file)
        # NumPy makes room for what the header says before it looks for it.
        if math.prod(shape) * dtype.itemsize > len(data):
            raise ValueError(f"{len(data)} bytes are no {dtype} {shape}")
        return np.load(io.BytesIO(data), allow_pickle=False)
    except Exception as error:  # a damaged header can raise anything
        what = f"is a .npy file that cannot be read ({_short(error)})"
        raise _Unreadable(what, _RESAVE) from error


def _table(content: Any) -> np.ndarray:
    """float64 [N, W] in its own memory, from whatever a file held."""
    if isinstance(content, dict):
        keys = ", ".join(sorted(str(key) for key in content)[:5])
        raise _Unreadable(f"holds no table of states but a dict of {keys}", _RESAVE)
    rows = content
    if isinstance(content, np.ndarray) and content.dtype == object:
        rows = content.item() if content.ndim == 0 else list(content)
    if isinstance(rows, (list, tuple)):
        rows = _stacked([_row(row) for row in rows])
    if not isinstance(rows, np.ndarray):
        what = f"holds no table of states but a {type(rows).__name__}"
        raise _Unreadable(what, _RESAVE)
    if rows.dtype.kind not in "fiu":
        raise _Unreadable(f"holds no table of states but {rows.dtype} entries", _RESAVE)
    if rows.ndim == 1 and rows.size >= _SHORTEST:
        rows = rows[None]
    if rows.ndim != 2:
        what = f"holds no table of states but an array of shape {rows.shape}"
        raise _Unreadable(what, _RESAVE)
    table = np.array(rows, np.float64, order="C")
    wrong = np.argwhere(~np.isfinite(table))
    if len(wrong):
        row, column = wrong[0].tolist()
        what = f"holds {table[row, column]} in state {row}, entry {column}"
        remedy = f"record it again: {len(wrong)} entries are not finite"
        raise _Unreadable(what, remedy)
    return table


def _row(row: Any) -> np.ndarray:
    """One state of a list: an array, or plain numbers."""
    if isinstance(row, np.ndarray) and row.dtype != object:
        return row[0] if row.ndim == 2 and len(row) == 1 else row
    entries = row.tolist() if isinstance(row, np.ndarray) else row
    entries = list(entries) if isinstance(entries, (list, tuple)) else [entries]
    for entry in entries:
        if isinstance(entry, bool) or not isinstance(entry, (int, float, np.number)):
            what = f"holds no table of states but a list of {type(entry).__name__}"
            raise _Unreadable(what, _RESAVE)
    flat = np.array(entries, np.float64)
    return flat if isinstance(row, (list, tuple, np.ndarray)) else flat[0]


def _stacked(rows: list[np.ndarray]) -> np.ndarray:
    shapes = sorted({np.shape(row) for row in rows})
    if not rows:
        raise _Unreadable("holds an empty list, no table of states", _RESAVE)
    if len(shapes) > 1:
        what = f"holds states of different shapes, {shapes[:5]}"
        raise _Unreadable(what, "keep the states of one task in one file")
    if sum(np.size(row) for row in rows) > state_pickle.MAX_ELEMENTS:
        raise _Unreadable("unpacks to more than a table of states", _RESAVE)
    return np.stack(rows)


def _torch_archive(table: np.ndarray) -> bytes:
    """What `torch.save` writes of an array; any NumPy can import its names."""
    names = b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n"
    content = pickle.dumps(table, protocol=2).replace(*names, 1)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, data in (("data.pkl", content), ("version", b"3\n")):
            archive.writestr(zipfile.ZipInfo(f"archive/{name}"), data)
    return buffer.getvalue()
