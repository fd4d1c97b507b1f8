"""How one of our parameters is made from arrays of a file: a row of a table.

Names of ours are paths in the tree of `policy/parameters.py`, parts joined by slashes.
"""

from typing import Any, Callable, Iterator, Mapping, NamedTuple, Sequence

import einops
import jax
import numpy as np

ANY = "... -> ..."  # the pattern of an array that both store alike


class Recipe(NamedTuple):
    """One of our parameters.

    `names`: arrays of the file; "{layer}" in them stands for 0, 1, ... `layers` - 1,
    and the results are stacked on a new first axis. `pattern`: einops, from the array,
    or from all of them stacked on a first axis, to ours; it may repeat. `keep`: rows
    that are kept of the result; None: all. `pack`: the pattern of `einops.pack`, where
    arrays are joined along an axis instead. `then`: what is left to compute, keeping
    the shape.
    """

    names: tuple[str, ...]
    pattern: str = ANY
    sizes: Mapping[str, int] = {}
    layers: int | None = None
    keep: int | None = None
    pack: str | None = None
    then: Callable[[np.ndarray], np.ndarray] | None = None


Recipes = dict[str, Recipe]


def sources(recipe: Recipe) -> Iterator[tuple[str, ...]]:
    """Names in the file, one tuple a layer; a single one without layers."""
    for layer in range(1 if recipe.layers is None else recipe.layers):
        yield tuple(name.replace("{layer}", str(layer)) for name in recipe.names)


def groups(recipe: Recipe) -> Iterator[tuple[str, ...]]:
    """Names whose arrays fit or do not, whatever the others are like.

    One at a time; all of a layer where they are joined, because their sizes add up.
    """
    for names in sources(recipe):
        yield from [(name,) for name in names] if recipe.pack is None else [names]


def shape(recipe: Recipe, arrays: Sequence[tuple[int, ...]]) -> tuple[int, ...] | None:
    """The shape that `recipe` makes if all its groups have arrays of these shapes.

    None where they do not fit its pattern.
    """
    if recipe.pack is None:
        arrays = [*arrays] * len(recipe.names)
    traced = [jax.ShapeDtypeStruct(array, np.float32) for array in arrays]
    try:
        piece = jax.eval_shape(lambda *x: _piece(recipe, x), *traced).shape
    except (einops.EinopsError, ValueError, TypeError):
        return None
    return piece if recipe.layers is None else (recipe.layers, *piece)


def make(
    recipe: Recipe,
    read: Callable[[str], np.ndarray],
    like: jax.ShapeDtypeStruct,
) -> np.ndarray:
    """The parameter, cast to the dtype of `like`; at most one layer is held besides."""
    made = np.empty(like.shape, like.dtype)
    pieces = [made] if recipe.layers is None else made
    for piece, names in zip(pieces, sources(recipe), strict=True):
        value = _piece(recipe, [read(name) for name in names])
        piece[...] = value if recipe.then is None else recipe.then(value)
    return made


def _piece(recipe: Recipe, arrays: Any) -> Any:
    """One layer of the parameter, of NumPy arrays or while shapes are traced."""
    whole = arrays[0] if len(arrays) == 1 else list(arrays)
    if recipe.pack is not None:
        whole, _ = einops.pack(whole, recipe.pack)
    return einops.repeat(whole, recipe.pattern, **recipe.sizes)[: recipe.keep]
