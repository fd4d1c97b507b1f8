"""Runs a function of environments as one kernel on a TPU, whose lanes they are.

XLA makes hundreds of operations of a stage's small products there, and starting one
takes longer than computing it. Elsewhere the function is compiled as it stands.
Axes: B environments, last in every array.
"""

import functools
import math
from typing import Any, Callable, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu

from omnivla_jax.sim.engines.mjx.vectors import take_rows

LANE_COUNT = 128
MEMORY_LIMIT = 64 * 2**20  # bytes of a core's vector memory that a kernel may take


class Take(NamedTuple):
    """How a platform takes rows by index."""

    # (values [..., m, B], index [n, B] or a static [n, 1]) -> [..., n, B]
    gather: Callable[[jax.Array, Any], jax.Array]
    # (values [m, ...], index [n, ...]) -> [n, ...]
    rows: Callable[[Any, jax.Array], jax.Array]


def in_lanes(function: Callable[..., Any], *arguments: Any) -> Any:
    """Return `function(take, *arguments)`.

    Args:
      function: of trees of arrays [..., B] to a tree of arrays [..., B], each
        environment by itself, by operations that Pallas lowers for a TPU; it gets the
        `Take` of the platform.
      arguments: the trees; NumPy's arrays in them stay static.
    """
    leaves, tree = jax.tree.flatten(arguments)
    static = [isinstance(leaf, np.ndarray) for leaf in leaves]

    def flat(take: Take, *traced: jax.Array) -> Any:
        rest = iter(traced)
        every = [leaf if kept else next(rest) for leaf, kept in zip(leaves, static)]
        return function(take, *jax.tree.unflatten(tree, every))

    return jax.lax.platform_dependent(
        *(leaf for leaf, kept in zip(leaves, static) if not kept),
        tpu=functools.partial(kernel, functools.partial(flat, SELECTIONS)),
        default=functools.partial(flat, GATHERS),
    )


def kernel(
    function: Callable[..., Any], *arguments: jax.Array, interpret: bool = False
) -> Any:
    """Return `function(*arguments)`, computed by one Pallas kernel.

    Args:
      function: of arrays, see `in_lanes`.
      arguments: arrays [..., B], or [..., 1] for all environments.
      interpret: run on another device than a TPU, slowly.
    """
    batch = max(leaf.shape[-1] for leaf in arguments)
    lanes = min(batch, LANE_COUNT)

    def block_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
        return (*shape[:-1], min(shape[-1], lanes))

    # What the function closes over becomes an input: kernels hold no arrays.
    traced, shapes = jax.make_jaxpr(function, return_shape=True)(
        *(jax.ShapeDtypeStruct(block_shape(x.shape), x.dtype) for x in arguments)
    )
    results, tree = jax.tree.flatten(shapes)
    # Each once, as each is copied.
    hashes = [
        (x.dtype.name, x.shape, x.tobytes()) for x in map(np.asarray, traced.consts)
    ]
    distinct = {key: jnp.asarray(x) for key, x in zip(hashes, traced.consts)}
    constants = list(distinct.values())
    inputs = (*constants, *arguments)

    def body(*refs: Any) -> None:
        values = [_as_given(ref[...], x) for ref, x in zip(refs[: len(inputs)], inputs)]
        own, given = values[: len(constants)], values[len(constants) :]
        named = dict(zip(distinct, own))
        outputs = jax.core.eval_jaxpr(
            traced.jaxpr, [named[key] for key in hashes], *given
        )
        for ref, value in zip(refs[len(inputs) :], outputs, strict=True):
            ref[...] = _as_block(value)

    def block(shape: tuple[int, ...], split: bool) -> pl.BlockSpec:
        front = (0,) * (len(shape) - 1)
        return pl.BlockSpec(shape, lambda i: (*front, i if split else 0))

    whole = [False] * len(constants) + [x.shape[-1] == batch for x in arguments]
    blocks = [jax.eval_shape(_as_block, x) for x in results]
    result = pl.pallas_call(
        body,
        out_shape=[
            jax.ShapeDtypeStruct((*x.shape[:-1], batch), x.dtype) for x in blocks
        ],
        grid=(pl.cdiv(batch, lanes),),
        in_specs=[
            block(block_shape(x.shape) if split else x.shape, split)
            for x, split in zip(map(_as_block, inputs), whole)
        ],
        out_specs=[block(x.shape, True) for x in blocks],
        compiler_params=pltpu.CompilerParams(vmem_limit_bytes=MEMORY_LIMIT),
        interpret=interpret,
    )(*map(_as_block, inputs))
    return jax.tree.unflatten(tree, map(_as_given, result, results))


def _as_block(values: jax.Array) -> jax.Array:
    """`values` as a kernel's memory holds them: no bools, two axes at least."""
    numbers = values.astype(jnp.int32) if values.dtype == bool else values
    return numbers if values.ndim > 1 else numbers[None]


def _as_given(block: jax.Array, like: Any) -> jax.Array:
    """`_as_block` reversed, of values with the axes and the dtype of `like`."""
    rows = block if like.ndim > 1 else block[0]
    return rows != 0 if like.dtype == bool else rows


def columns(table: np.ndarray, index: jax.Array) -> jax.Array:
    """Return the columns of a static table at each environment's index.

    Args:
      table: [n, E].
      index: int [K, B], each within [0, E).

    Returns:
      [n, K, B].
    """
    # One gather of n would be laid out with n in a TPU's lanes.
    return jax.lax.platform_dependent(
        index,
        tpu=lambda index: jnp.stack([jnp.asarray(row)[index] for row in table]),
        default=lambda index: jnp.asarray(table)[:, index],
    )


def gather(values: jax.Array, index: jax.Array | np.ndarray) -> jax.Array:
    """Return rows `index` [n, B] of `values` [..., m, B], environment by environment.

    A static `index` [n, 1] is the same for all.
    """
    if isinstance(index, np.ndarray):
        return values[..., index[:, 0], :]
    rows = index.reshape((1,) * (values.ndim - 2) + index.shape)
    return jnp.take_along_axis(values, rows, axis=-2, mode="clip")


def rows(values: jax.Array, index: jax.Array) -> jax.Array:
    """Return `values` [m, ...] at `index` [n, ...] along the first axis."""
    values = jnp.broadcast_to(values, (len(values), *index.shape[1:]))
    return jnp.take_along_axis(values, index, axis=0, mode="clip")


def gather_by_selection(values: jax.Array, index: jax.Array | np.ndarray) -> jax.Array:
    """Return what `gather` does, by operations that a kernel may hold."""
    if isinstance(index, np.ndarray):
        *front, count, batch = values.shape
        flat = values.reshape(math.prod(front), count, batch)
        taken = take_rows(flat, index[:, 0])
        return taken.reshape(*front, *taken.shape[1:])
    chosen = jnp.broadcast_to(values[..., :1, :], (*values.shape[:-2], *index.shape))
    for row in range(1, values.shape[-2]):
        chosen = jnp.where(index == row, values[..., row : row + 1, :], chosen)
    return chosen


def rows_by_selection(values: jax.Array, index: jax.Array) -> jax.Array:
    """Return what `rows` does, by operations that a kernel may hold."""
    chosen = jnp.broadcast_to(values[0], index.shape)
    for row in range(1, len(values)):
        chosen = jnp.where(index == row, values[row], chosen)
    return chosen


GATHERS = Take(gather, rows)
SELECTIONS = Take(gather_by_selection, rows_by_selection)
