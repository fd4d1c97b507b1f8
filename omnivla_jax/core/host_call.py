"""Calls a NumPy function on the host from a compiled program that the disk cache keeps.

JAX never writes a program with `jax.pure_callback` to its compilation cache. On a CPU
the call is therefore a custom call to one handler: the program holds only the
function's name, and the process that runs it knows the function.
"""

import functools
import warnings
from typing import Any, Callable

import jax
import numpy as np

from omnivla_jax.core import xla_ffi

TARGET = "omnivla_host_call"
_FUNCTIONS: dict[str, Callable[..., list[Any]]] = {}


def host_call(
    name: str, function: Callable[..., Any], result_shapes: Any, *args: Any
) -> Any:
    """`function(*args)` on the host, from inside `jit`, `scan` or `shard_map`.

    Args:
      name: everything besides `args` that the results depend on, in words that mean
        the same in every process: compiled programs refer to the function by it, and a
        later call under the same name replaces the function for all of them.
      function: pure; takes `args` as read-only NumPy arrays and returns a tree like
        `result_shapes`, of NumPy arrays of any precision. It must not call JAX. Calls
        on several devices overlap.
      result_shapes: tree of `jax.ShapeDtypeStruct`.
      *args: trees of arrays.

    Raises:
      NotImplementedError: under `vmap`.
      jax.errors.JaxRuntimeError: where the result is awaited, with the traceback of
        what the function raised, or if it returned other shapes than promised.
    """
    structure: Any
    result_structure: Any
    flat, structure = jax.tree.flatten(args)
    wanted, result_structure = jax.tree.flatten(result_shapes)

    def run(*leaves: np.ndarray) -> list[Any]:
        results = function(*structure.unflatten(leaves))
        return result_structure.flatten_up_to(results)

    axes = sorted(
        {axis for leaf in flat for axis in jax.typeof(leaf).manual_axis_type.varying}
    )
    operands = [_vary(leaf, axes) for leaf in flat]
    if _is_registered():
        _FUNCTIONS[name] = run
        results = jax.ffi.ffi_call(TARGET, wanted)(*operands, name=name)
    else:  # on accelerators, and where jaxlib's interface is another
        results = jax.pure_callback(_converting(run, wanted), wanted, *operands)
    return result_structure.unflatten([_vary(leaf, axes) for leaf in results])


@functools.cache
def _is_registered() -> bool:
    """Registers the handler once; False where `pure_callback` has to do."""
    if jax.default_backend() != "cpu":
        return False
    try:
        xla_ffi.register(TARGET, _dispatch)
    except jax.errors.JaxRuntimeError as error:
        warnings.warn(f"Programs with host calls will not be kept on disk: {error}")
        return False
    return True


def _dispatch(name: str, operands: list[np.ndarray], results: list[np.ndarray]) -> None:
    if name not in _FUNCTIONS:
        raise KeyError(f"No host function {name!r}: this process has not traced it.")
    for value, result in zip(_FUNCTIONS[name](*operands), results, strict=True):
        if np.shape(value) != result.shape:
            raise ValueError(
                f"{name!r} returned shape {np.shape(value)} for {result.shape}."
            )
        np.copyto(result, value, casting="same_kind")


def _converting(run: Callable[..., list[Any]], wanted: list[Any]) -> Callable[..., Any]:
    """`run` for `pure_callback`, which hands over JAX arrays and converts nothing."""

    def convert(*leaves: jax.Array) -> list[np.ndarray]:
        results = run(*(np.asarray(leaf) for leaf in leaves))
        return [np.asarray(x, like.dtype) for x, like in zip(results, wanted)]

    return convert


def _vary(array: Any, axes: list[str]) -> Any:
    # The axes of an enclosing `shard_map` along which an array's values differ.
    varying = jax.typeof(array).manual_axis_type.varying
    missing = tuple(axis for axis in axes if axis not in varying)
    return jax.lax.pcast(array, missing, to="varying") if missing else array
