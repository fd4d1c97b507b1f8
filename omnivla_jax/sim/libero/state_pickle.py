"""Unpickles NumPy arrays and PyTorch tensors of numbers, and nothing else.

No name of a pickle is ever imported: the few that arrays need stand for functions here,
which check what they are given. NumPy's own are not among them: a pickle that sets the
state of a dtype or an array can point it at any memory. Tensors become arrays.
"""

import collections
import dataclasses
import io
import math
import pickle
import pickletools
import sys
from typing import Any, Callable

import numpy as np

MAX_ELEMENTS = 1 << 25
_NATIVE = "<" if sys.byteorder == "little" else ">"
_MAX_MEMO = 1 << 20  # the unpickler allocates up to the highest place that is named
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C  # begins files of `torch.save` before 1.6
_STORAGES = {
    "DoubleStorage": "f8",
    "FloatStorage": "f4",
    "HalfStorage": "f2",
    "LongStorage": "i8",
    "IntStorage": "i4",
    "ShortStorage": "i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
}


def load(data: bytes) -> Any:
    """The object of a plain pickle, or of `torch.save` before 1.6.

    Raises:
      UnpicklingError: the pickle asks for anything but arrays, or is damaged.
      EOFError: it ends early.
    """
    file = io.BytesIO(data)
    first = _load_one(file, None)
    if not isinstance(first, int) or first != _LEGACY_MAGIC:
        return first
    version, system = _load_one(file, None), _load_one(file, None)
    little = not isinstance(system, dict) or system.get("little_endian", True)
    return _load_legacy(file, version, "<" if little else ">")


def load_torch(data: bytes, storage: Callable[[str], bytes], order: str) -> Any:
    """The object in `data.pkl` of a zip of `torch.save`.

    Args:
      data: the pickle.
      storage: gives the bytes of a tensor's storage by its key.
      order: "<" or ">", the order of bytes in storages.

    Returns:
      The object, with arrays in place of tensors.

    Raises:
      UnpicklingError: the pickle asks for anything but arrays, or is damaged.
      EOFError: it ends early.
    """

    def persistent(saved: tuple[Any, ...]) -> np.ndarray:
        code, key, count = _storage_id(saved)
        content = storage(key)
        dtype = np.dtype(order + code)
        if len(content) < count * dtype.itemsize:
            raise pickle.UnpicklingError(f"storage {key!r} is shorter than it says")
        return np.frombuffer(content, dtype, count)

    return _load_one(io.BytesIO(data), persistent)


def _load_legacy(file: io.BytesIO, version: Any, order: str) -> Any:
    """Objects first, then the storages of their tensors."""
    storages: dict[str, np.ndarray] = {}

    def persistent(saved: tuple[Any, ...]) -> np.ndarray:
        code, key, count = _storage_id(saved)
        dtype = np.dtype(order + code)
        if count * dtype.itemsize > file.getbuffer().nbytes:
            raise pickle.UnpicklingError(f"storage {key!r} is shorter than it says")
        return storages.setdefault(key, np.zeros(count, dtype))

    if version != 1001:
        raise pickle.UnpicklingError(f"unknown version {version!r} of torch.save")
    start = file.tell()
    _load_one(file, persistent)  # which storages there are
    keys = _load_one(file, None)
    if not isinstance(keys, list) or set(map(str, keys)) != set(storages):
        raise pickle.UnpicklingError("its storages are not those of its tensors")
    for key in keys:
        held = storages[str(key)]
        count = int.from_bytes(file.read(8), "little" if order == "<" else "big")
        content = file.read(held.nbytes)
        if count != held.size or len(content) != held.nbytes:
            raise EOFError(f"storage {key!r} is shorter than it says")
        held[:] = np.frombuffer(content, held.dtype)
    file.seek(start)
    return _load_one(file, persistent)  # again, now that they are filled


def _storage_id(saved: Any) -> tuple[str, str, int]:
    """The type code, key and number of elements of a tensor's storage."""
    if not isinstance(saved, tuple) or len(saved) < 5 or saved[0] != "storage":
        raise pickle.UnpicklingError("it refers to something that is no storage")
    kind, key, count = saved[1], saved[2], saved[4]
    if not isinstance(kind, _StorageType) or not isinstance(key, (str, int)):
        raise pickle.UnpicklingError("it refers to a storage of an unknown type")
    if not isinstance(count, int) or not 0 <= count <= MAX_ELEMENTS:
        raise pickle.UnpicklingError(f"a storage of {count!r} elements is no table")
    return kind.code, str(key), count


def _load_one(file: io.BytesIO, persistent: Callable[[Any], Any] | None) -> Any:
    """The next pickle of a file."""
    start = file.tell()
    try:
        for opcode, argument, _ in pickletools.genops(file):
            if "PUT" in opcode.name and int(argument or 0) > _MAX_MEMO:
                raise pickle.UnpicklingError("its memo is larger than a table needs")
        file.seek(start)
        return _plain(_Unpickler(file, persistent).load())
    except (pickle.UnpicklingError, EOFError, MemoryError, RecursionError):
        raise
    except Exception as error:  # a damaged pickle can raise anything
        raise pickle.UnpicklingError(f"no pickle of arrays: {error}") from error


def _plain(value: Any, depth: int = 0) -> Any:
    """Arrays in place of `_Array`, in lists that are no deeper than tables need."""
    if depth > 3:
        raise pickle.UnpicklingError("its lists are nested deeper than a table")
    if isinstance(value, _Array):
        return _plain(value.value, depth)
    if isinstance(value, (list, tuple)):
        return [_plain(entry, depth + 1) for entry in value]
    if isinstance(value, dict):
        # Its keys are named in a message; a flag among its values may be read.
        return {str(key): entry is not False for key, entry in value.items()}
    return value


@dataclasses.dataclass(eq=False, slots=True)
class _StorageType:
    """A type of storage, named in a pickle."""

    code: str


@dataclasses.dataclass(eq=False, slots=True)
class _Function:
    """A function that a pickle names: one of its own, so that it spoils no other."""

    function: Callable[..., Any]

    def __call__(self, *args: Any) -> Any:
        return self.function(*args)


class _Class:
    """A class that is named and handed on but never called."""

    __slots__ = ()


class _Dtype:
    """A dtype in a pickle: its code, and the order of bytes that its state adds."""

    def __init__(self, code: Any, *options: Any) -> None:
        if not isinstance(code, str):
            raise pickle.UnpicklingError(f"a dtype of {type(code).__name__}")
        del options  # align and copy, which plain numbers ignore
        self.code = code
        self.swapped = False

    def __setstate__(self, state: Any) -> None:
        structure = state[2:5] if isinstance(state, tuple) else (state,)
        if any(part is not None for part in structure):
            raise pickle.UnpicklingError("it holds structured entries")
        if state[1] not in ("<", ">", "=", "|"):
            raise pickle.UnpicklingError(f"a byte order of {state[1]!r}")
        self.swapped = state[1] in "<>" and state[1] != _NATIVE

    def numbers(self) -> np.dtype:
        """The dtype; raises UnpicklingError where it is none of real numbers."""
        dtype = np.dtype(self.code) if self.code[:1] in "fiu" else None
        if dtype is None:
            what = f"it holds no table of states but entries of type {self.code!r}"
            raise pickle.UnpicklingError(what)
        return dtype.newbyteorder("S") if self.swapped else dtype


@dataclasses.dataclass(eq=False)
class _Array:
    """An array in a pickle, which starts empty and is filled by its state."""

    value: Any = None

    def __setstate__(self, state: Any) -> None:
        _, shape, dtype, fortran, content = state
        if not isinstance(dtype, _Dtype):
            raise pickle.UnpicklingError("an array without a dtype")
        if not dtype.code.startswith("O"):
            self.value = _filled(content, dtype, shape, bool(fortran))
        elif not isinstance(content, list) or len(shape) > 2:
            raise pickle.UnpicklingError(f"an array of objects of shape {shape}")
        elif math.prod(shape) != len(content) or not all(n >= 0 for n in shape):
            raise pickle.UnpicklingError(f"{len(content)} objects are no {shape}")
        elif len(shape) == 2:  # row by row, whichever order the memory had
            width = shape[1]
            self.value = [content[i * width :][:width] for i in range(shape[0])]
        else:
            self.value = content if shape else content[0]


class _Unpickler(pickle.Unpickler):
    """Knows the names of `_ALLOWED` and of tensors' storages."""

    def __init__(
        self, file: io.BytesIO, persistent: Callable[[Any], Any] | None
    ) -> None:
        super().__init__(file)
        self._persistent = persistent

    def persistent_load(self, pid: Any) -> Any:
        if self._persistent is None:
            raise pickle.UnpicklingError("it refers to data outside of itself")
        return self._persistent(pid)

    def find_class(self, module: str, name: str) -> Any:
        place = module.replace("numpy._core", "numpy.core", 1)
        if place == "torch" and name in _STORAGES:
            return _StorageType(_STORAGES[name])
        if (place, name) in _ALLOWED:
            return _Function(_ALLOWED[place, name])
        if (place, name) == ("numpy", "ndarray"):
            return _NDARRAY
        if (place, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        what = f"{module}.{name}"
        if place == "torch" and name.endswith("Storage"):
            raise pickle.UnpicklingError(f"{what} holds entries that are no numbers")
        raise pickle.UnpicklingError(f"{what} has no place in a state file")


def _reconstruct(kind: Any, shape: Any, code: Any) -> _Array:
    """An empty array, which its state then fills."""
    if kind is not _NDARRAY:
        raise pickle.UnpicklingError("it holds a subclass of NumPy's array")
    del shape, code
    return _Array()


def _frombuffer(
    content: Any, dtype: Any, shape: Any, order: Any, axes: Any = None
) -> _Array:
    """An array of pickle's protocol 5; order "K" is "C" with the axes given."""
    filled = _filled(content, dtype, shape, order == "F")
    return _Array(filled if axes is None else filled.transpose(axes))


def _filled(content: Any, dtype: Any, shape: Any, fortran: bool) -> np.ndarray:
    """An array of numbers from its bytes."""
    if isinstance(content, str):  # as Python 2 wrote bytes
        content = content.encode("latin1")
    if not isinstance(content, (bytes, bytearray)) or not isinstance(dtype, _Dtype):
        raise pickle.UnpicklingError("an array without bytes or dtype")
    numbers = dtype.numbers()
    sizes = shape if isinstance(shape, tuple) else (shape,)
    if not all(isinstance(size, int) and 0 <= size <= MAX_ELEMENTS for size in sizes):
        raise pickle.UnpicklingError(f"an array of shape {shape} is no table")
    if math.prod(sizes) * numbers.itemsize != len(content):
        raise pickle.UnpicklingError(f"{len(content)} bytes are no {numbers} {shape}")
    if not content:
        return np.zeros(sizes, numbers)
    flat = np.frombuffer(content, numbers)
    return flat.reshape(sizes, order="F" if fortran else "C")


def _encode(text: Any, codec: Any = "latin1") -> bytes:
    """How protocol 2 writes bytes."""
    if not isinstance(text, str) or codec != "latin1":
        raise pickle.UnpicklingError(f"text in {codec!r} has no place in a state file")
    return text.encode("latin1")


def _rebuild_tensor(
    storage: Any, offset: Any, size: Any, stride: Any, *options: Any
) -> _Array:
    """A tensor as an array of its own; gradients, hooks and names are left out."""
    del options
    numbers = (offset, *size, *stride)
    if not isinstance(storage, np.ndarray) or len(size) != len(stride):
        raise pickle.UnpicklingError("a tensor without a storage")
    if not all(isinstance(number, int) and number >= 0 for number in numbers):
        raise pickle.UnpicklingError(f"a tensor of size {size} and stride {stride}")
    count, last = 1, offset
    for length, step in zip(size, stride):
        count, last = count * length, last + (length - 1) * step
    if count > MAX_ELEMENTS or (count and last >= storage.size):
        raise pickle.UnpicklingError(f"a tensor of size {size} exceeds its storage")
    if not count:
        return _Array(np.zeros(size, storage.dtype))
    strides = [step * storage.itemsize for step in stride]
    view = np.lib.stride_tricks.as_strided(storage[offset:], size, strides)
    return _Array(view.copy())


_NDARRAY = _Class()
_ALLOWED: dict[tuple[str, str], Any] = {
    ("numpy", "dtype"): _Dtype,
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy.core.multiarray", "scalar"): lambda dtype, content=b"": _filled(
        content, dtype, (1,), False
    )[0].item(),
    ("numpy.core.numeric", "_frombuffer"): _frombuffer,
    ("_codecs", "encode"): _encode,
    ("__builtin__", "bytes"): lambda: b"",  # as protocol 2 writes no bytes
    ("builtins", "bytes"): lambda: b"",
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
}
