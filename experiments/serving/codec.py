"""openpi's messages: msgpack in which NumPy arrays are maps with bytes as keys.

An array is {b"__ndarray__": True, b"data": its bytes in C order, b"dtype": "<f4",
b"shape": [2, 3]}, a NumPy scalar {b"__npgeneric__": True, b"data": its value,
b"dtype": "<f4"}. What `openpi_client.msgpack_numpy` packs is unpacked here and the
other way round; unlike there, nothing in a message is believed before it is checked.
"""

import itertools
import math
import re
from typing import Any, Mapping

import msgpack
import numpy as np

ARRAY, SCALAR, DATA, DTYPE, SHAPE = (
    b"__ndarray__",
    b"__npgeneric__",
    b"data",
    b"dtype",
    b"shape",
)
REFUSED_KINDS = "VOc"  # of arrays: records, objects and complex numbers, as openpi
ARRAY_DTYPE = re.compile(r"[<>|=][biufSUmM]\d{1,6}(\[\d{0,6}[a-zA-Z]{1,2}\])?")
SCALAR_KINDS = "biuf"
MAX_DIMENSIONS = 8
# Of a message: a million lists of one number take 3 MB, and seconds to unpack in which
# no other thread runs.
MAX_CONTAINERS, MAX_LENGTH = 1000, 4096


def pack(value: Any) -> bytes:
    """Pack a tree of dicts, lists, plain values, NumPy arrays and NumPy scalars.

    Raises:
      ValueError: an array of records, objects or complex numbers.
      TypeError: a value of another kind.
    """
    return msgpack.packb(value, default=_encode)


def unpack(frame: bytes) -> Any:
    """Unpack one message; its arrays are read-only views of `frame`.

    Raises:
      ValueError: it is not msgpack, it has bytes after its end, an array in it is
        damaged, or it has more or longer lists and maps than any observation.
    """
    numbers = itertools.count(1)

    def count(container: Any) -> Any:
        if next(numbers) > MAX_CONTAINERS:
            raise ValueError(f"it holds more than {MAX_CONTAINERS} lists and maps")
        return container

    try:
        return msgpack.unpackb(
            frame,
            object_hook=lambda message: _decode(count(message)),
            list_hook=count,
            max_array_len=MAX_LENGTH,
            max_map_len=MAX_LENGTH,
        )
    except (ValueError, TypeError, OverflowError) as error:
        raise ValueError(
            f"The frame of {len(frame)} bytes is no message of openpi's client: "
            f"{str(error).rstrip('.') or type(error).__name__}."
        ) from error


def _encode(value: Any) -> Any:
    """What msgpack packs in place of a value that it does not know."""
    if not isinstance(value, (np.ndarray, np.generic)):
        raise TypeError(f"A {type(value).__name__} cannot be sent: {value!r}.")
    if value.dtype.kind in REFUSED_KINDS:
        raise ValueError(f"An array of dtype {value.dtype} cannot be sent.")
    if isinstance(value, np.ndarray):
        data, dtype = value.tobytes(), value.dtype.str
        return {ARRAY: True, DATA: data, DTYPE: dtype, SHAPE: value.shape}
    return {SCALAR: True, DATA: value.item(), DTYPE: value.dtype.str}


def _decode(message: dict[Any, Any]) -> Any:
    """The array or scalar that a map stands for; any other map as it is."""
    if ARRAY in message:
        return _to_array(message)
    if SCALAR in message:
        dtype, value = _to_dtype(message), message.get(DATA)
        if dtype.kind not in SCALAR_KINDS or not isinstance(value, (int, float)):
            raise ValueError(f"a scalar of dtype {dtype} cannot be {value!r:.40}")
        return dtype.type(value)
    return message


def _to_array(message: Mapping[bytes, Any]) -> np.ndarray:
    dtype, data, shape = _to_dtype(message), message.get(DATA), message.get(SHAPE)
    if not isinstance(data, bytes) or not isinstance(shape, list):
        raise ValueError("an array lacks its data or its shape")
    whole = all(type(side) is int and side >= 0 for side in shape)
    if not whole or len(shape) > MAX_DIMENSIONS:
        raise ValueError(f"an array cannot have the shape {shape!r:.80}")
    if math.prod(shape) * dtype.itemsize != len(data):
        raise ValueError(
            f"an array {dtype} {shape} comes with {len(data)} bytes instead of "
            f"{math.prod(shape) * dtype.itemsize}"
        )
    return np.ndarray(tuple(shape), dtype, data)


def _to_dtype(message: Mapping[bytes, Any]) -> np.dtype:
    name = message.get(DTYPE)
    # NumPy evaluates parts of other names as Python.
    if not isinstance(name, str) or not ARRAY_DTYPE.fullmatch(name):
        raise ValueError(f"dtype {name!r:.40} is refused")
    return np.dtype(name)
