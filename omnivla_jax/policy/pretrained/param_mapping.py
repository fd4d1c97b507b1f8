"""How one of our parameters is built from arrays of a file: a row of a table.

Our names are paths in the tree of `policy/parameters.py`, joined by slashes.
"""

from typing import Any, Callable, Mapping, NamedTuple, Sequence

import einops
import jax
import numpy as np

IDENTITY = "... -> ..."  # the pattern of an array that both store alike


class ParamMapping(NamedTuple):
    """How to build one parameter.

    Attributes:
      names: arrays of the file; "{layer}" in them stands for 0, 1, ... `layers` - 1,
        and the results are stacked on a new first axis.
      pattern: einops pattern from the array, or from all of them stacked on a first
        axis, to our layout; it may repeat.
      sizes: sizes of axes in `pattern`.
      layers: how many layers the file stores apart; None: the names have no "{layer}".
      num_rows: leading rows that are used of the result; None: all.
      pack: pattern of `einops.pack`, for arrays that are joined along an axis.
      transform: arithmetic on the result that keeps its shape.
    """

    names: tuple[str, ...]
    pattern: str = IDENTITY
    sizes: Mapping[str, int] = {}
    layers: int | None = None
    num_rows: int | None = None
    pack: str | None = None
    transform: Callable[[np.ndarray], np.ndarray] | None = None


ParamMappings = dict[str, ParamMapping]


def source_names(mapping: ParamMapping) -> list[tuple[str, ...]]:
    """Names in the file, one tuple a layer; a single tuple without layers."""
    layers = map(str, range(1 if mapping.layers is None else mapping.layers))
    return [
        tuple(name.replace("{layer}", layer) for name in mapping.names)
        for layer in layers
    ]


def output_shape(
    mapping: ParamMapping, shapes: Sequence[tuple[int, ...]]
) -> tuple[int, ...] | None:
    """The parameter's shape if every group has arrays of these shapes.

    None where they do not fit the pattern.
    """
    if mapping.pack is None:
        shapes = [*shapes] * len(mapping.names)
    traced = [jax.ShapeDtypeStruct(shape, np.float32) for shape in shapes]
    try:
        one = jax.eval_shape(lambda *x: _rearrange(mapping, x), *traced).shape
    except (einops.EinopsError, ValueError, TypeError):
        return None
    return one if mapping.layers is None else (mapping.layers, *one)


def build_param(
    mapping: ParamMapping,
    read: Callable[[str], np.ndarray],
    expected: jax.ShapeDtypeStruct,
) -> np.ndarray:
    """Build one parameter on the host.

    Args:
      mapping: how.
      read: returns an array of the file by its name.
      expected: shape and dtype of the parameter, to which the arrays are cast.

    Returns:
      The parameter; besides it at most one layer is held in memory.
    """
    param = np.empty(expected.shape, expected.dtype)
    layers = [param] if mapping.layers is None else param
    for layer, names in zip(layers, source_names(mapping), strict=True):
        value = _rearrange(mapping, [read(name) for name in names])
        layer[...] = value if mapping.transform is None else mapping.transform(value)
    return param


def _rearrange(mapping: ParamMapping, arrays: Any) -> Any:
    """One layer of the parameter, from NumPy arrays or while shapes are traced."""
    array = arrays[0] if len(arrays) == 1 else list(arrays)
    if mapping.pack is not None:
        array, _ = einops.pack(array, mapping.pack)
    return einops.repeat(array, mapping.pattern, **mapping.sizes)[: mapping.num_rows]
