"""A handler for XLA's custom calls on a CPU, in Python: buffers are NumPy arrays.

The structs are those of `xla/ffi/api/c_api.h` in `jax.ffi.include_dir()`. XLA keeps
them compatible within a major version: fields are only added, behind these.
"""

import ctypes
import functools
import math
import traceback
from ctypes import POINTER, c_char_p, c_int, c_int64, c_size_t, c_uint32, c_void_p
from typing import Any, Callable

import jax
import jax.numpy as jnp
import numpy as np

# call(name, operands, results): reads the operands, writes into the results.
Call = Callable[[str, list[np.ndarray], list[np.ndarray]], None]

VERSION = (0, 3)
_METADATA, _STRING, _INTERNAL = 1, 4, 13  # an extension's, an attribute's, an error's
_DTYPES = {
    code: np.dtype(kind)
    for code, kind in enumerate("? i1 i2 i4 i8 u1 u2 u4 u8 f2 f4 f8".split(), start=1)
} | {16: np.dtype(jnp.bfloat16)}


def _struct(**fields: Any) -> Any:
    return type("_Struct", (ctypes.Structure,), {"_fields_": list(fields.items())})


_Extension = _struct(size=c_size_t, type=c_int, next=c_void_p)
# Most structs begin with their size and a chain of extensions.
_sized = functools.partial(_struct, size=c_size_t, extension=POINTER(_Extension))
_Version = _sized(major=c_int, minor=c_int)
_ErrorArgs = _sized(message=c_char_p, code=c_int)
_CreateError = ctypes.CFUNCTYPE(c_void_p, POINTER(_ErrorArgs))
_Api = _sized(version=_Version, internal=c_void_p, create_error=_CreateError)
_Buffer = _sized(dtype=c_int, data=c_void_p, rank=c_int64, dims=POINTER(c_int64))
_Buffers = _sized(count=c_int64, types=c_void_p, items=POINTER(c_void_p))
_Text = _struct(data=c_void_p, length=c_size_t)
_Attributes = _sized(
    count=c_int64,
    types=POINTER(c_int),
    names=POINTER(POINTER(_Text)),
    items=POINTER(c_void_p),
)
_Frame = _sized(
    api=POINTER(_Api),
    context=c_void_p,
    stage=c_int,
    operands=_Buffers,
    results=_Buffers,
    attributes=_Attributes,
)
_Metadata = _struct(size=c_size_t, version=_Version, traits=c_uint32, state=c_int64)
_MetadataExtension = _struct(base=_Extension, metadata=POINTER(_Metadata))
_Handler = ctypes.CFUNCTYPE(c_void_p, POINTER(_Frame))
_HANDLERS: list[Any] = []  # XLA keeps their addresses for as long as the process lives


def register(target: str, call: Call) -> None:
    """Make `call` the CPU's custom call `target`, whose attribute `name` it is given.

    Raises:
      jax.errors.JaxRuntimeError: where jaxlib's version of the interface is another.
    """

    @_Handler
    def handler(pointer: Any) -> int | None:
        frame = pointer.contents
        try:
            if frame.extension and frame.extension.contents.type == _METADATA:
                _describe(frame)
            else:
                operands, results = (
                    [_array(item, writeable) for item in buffers.items[: buffers.count]]
                    for buffers, writeable in (
                        (frame.operands, False),
                        (frame.results, True),
                    )
                )
                call(_text_attribute(frame.attributes), operands, results)
        except BaseException:  # nothing may be raised through the C code above
            return _error(frame, traceback.format_exc())
        return None

    _HANDLERS.append(handler)
    address = ctypes.cast(handler, c_void_p)
    jax.ffi.register_ffi_target(target, jax.ffi.pycapsule(address))


def _describe(frame: Any) -> None:
    """Answer XLA's question for the handler's version, once its own is known to fit."""
    theirs = frame.api.contents.version
    if theirs.major != VERSION[0] or theirs.minor < VERSION[1]:
        raise RuntimeError(
            f"jaxlib's FFI has version {theirs.major}.{theirs.minor}, these structs "
            f"{VERSION}"
        )
    if frame.size < ctypes.sizeof(_Frame):
        raise RuntimeError(
            f"jaxlib's FFI call frame has {frame.size} bytes, these structs need "
            f"{ctypes.sizeof(_Frame)}"
        )
    extension = ctypes.cast(frame.extension, POINTER(_MetadataExtension)).contents
    version = extension.metadata.contents.version
    version.size, version.major, version.minor = ctypes.sizeof(_Version), *VERSION


def _array(address: int, writeable: bool) -> np.ndarray:
    buffer = _Buffer.from_address(address)
    dtype, shape = _DTYPES[buffer.dtype], buffer.dims[: buffer.rank]
    size = math.prod(shape) * dtype.itemsize
    memory = (ctypes.c_char * size).from_address(buffer.data or 0)
    view = np.ndarray(shape, dtype, memory)
    view.flags.writeable = writeable
    return view


def _text_attribute(attributes: Any) -> str:
    (kind,) = attributes.types[: attributes.count]
    assert kind == _STRING, f"the attribute `name` has kind {kind}, not {_STRING}"
    text = ctypes.cast(attributes.items[0], POINTER(_Text)).contents
    return ctypes.string_at(text.data, text.length).decode()


def _error(frame: Any, message: str) -> int:
    args = _ErrorArgs(
        size=ctypes.sizeof(_ErrorArgs), message=message.encode(), code=_INTERNAL
    )
    return frame.api.contents.create_error(args)
