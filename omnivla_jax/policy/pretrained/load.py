"""From files of public weights to our parameters: all that was promised, or one error.

    loaded = load(key, [(SOURCES["hf-vggt"], path)], config=config, mesh=mesh)

One parameter is read, cast and placed on its devices at a time. What no file covers
starts at its initial value and is named in `loaded.kept`.
"""

import functools
import re
from collections import Counter
from pathlib import Path
from typing import Any, Callable, Mapping, NamedTuple, Sequence

import jax
from flax import traverse_util
from jax.sharding import Mesh, Sharding

from omnivla_jax.core import compile as compilation
from omnivla_jax.core.types import PyTree
from omnivla_jax.policy import parameters
from omnivla_jax.policy.config import PolicyConfig
from omnivla_jax.policy.pretrained.archives import Archive
from omnivla_jax.policy.pretrained.recipes import (
    Recipe,
    Recipes,
    groups,
    make,
    shape,
    sources,
)

Shapes = Mapping[str, jax.ShapeDtypeStruct]
Problems = Sequence[tuple[str, str]]  # (kind, name and what is wrong with it)


class Source(NamedTuple):
    """A kind of file of public weights."""

    open: Callable[[Path], Archive]
    recipes: Callable[[PolicyConfig], Recipes]
    covers: tuple[str, ...]  # beginnings of the names of ours that it must fill, all
    unused: tuple[str, ...]  # patterns of its names that no part of ours corresponds to
    adapt: Callable[[PolicyConfig], PolicyConfig]  # to what its weights presuppose


class Loaded(NamedTuple):
    """A complete parameter tree."""

    params: PyTree
    kept: tuple[str, ...]  # names at their initial values


class MismatchError(ValueError):
    """Files and a policy that do not fit: every name that is amiss, one a line."""

    def __init__(self, files: Sequence[tuple[Path, Problems]]) -> None:
        summaries, lines = [], []
        for path, found in files:
            counts = Counter(kind for kind, _ in found)
            listed = ", ".join(f"{count} {kind}" for kind, count in counts.items())
            summaries.append(f"{path} does not fit the policy: {listed}.")
            lines.append(summaries[-1])
            lines += [f"  {kind}: {text}" for kind, text in found]
        self.summary = " ".join(summaries)
        super().__init__("\n".join(lines))


def load(
    key: jax.Array,
    files: Sequence[tuple[Source, Path]],
    *,
    config: PolicyConfig,
    mesh: Mesh,
) -> Loaded:
    """Parameters of `config`, sharded over `mesh`, from one or more files.

    `key` is consumed by the initial values of what no file covers; where two files
    cover a parameter the later one counts.

    Raises:
      MismatchError: files lack names, have names too many or of other shapes.
      ValueError: a file cannot be read.
    """
    like = _flat(parameters.shapes(config))
    placed = _flat(parameters.shardings(mesh, config))
    arrays = {
        name: _place(recipe, archive, like[name], placed[name])
        for archive, recipes in _plans(files, config, like)
        for name, recipe in recipes.items()
    }
    kept = tuple(sorted(set(like) - set(arrays)))
    arrays |= _initial(key, config, {name: placed[name] for name in kept})
    return Loaded(traverse_util.unflatten_dict(arrays, sep="/"), kept)


def problems(
    archive: Archive, recipes: Recipes, like: Shapes, source: Source
) -> Problems:
    """Whatever does not fit, found without reading an array."""
    used = {
        name
        for recipe in recipes.values()
        for names in sources(recipe)
        for name in names
    }
    found = [("missing name", name) for name in sorted(used - set(archive.shapes))]
    unused = re.compile("|".join(source.unused) or r"(?!)")
    for name in sorted(set(archive.shapes) - used):
        if not unused.fullmatch(name):
            found.append(("surplus name", f"{name} {archive.shapes[name]}"))
    covered = {name for name in like if name.startswith(source.covers)}
    for name in sorted(covered - set(recipes)):
        found.append(("parameter without a source", name))
    for name in sorted(set(recipes) - set(like)):
        found.append(("parameter that the policy lacks", name))
    ours = {name: recipes[name] for name in sorted(set(recipes) & set(like))}
    return found + _misshaped(archive, ours, like)


def _plans(
    files: Sequence[tuple[Source, Path]], config: PolicyConfig, like: Shapes
) -> list[tuple[Archive, Recipes]]:
    plans = [(source.open(path), source.recipes(config)) for source, path in files]
    found = [
        (path, problems(archive, recipes, like, source))
        for (source, path), (archive, recipes) in zip(files, plans)
    ]
    if misfits := [(path, amiss) for path, amiss in found if amiss]:
        raise MismatchError(misfits)
    return plans


def _misshaped(
    archive: Archive, recipes: Recipes, like: Shapes
) -> list[tuple[str, str]]:
    """Each array of each layer by itself: others may be missing or wrong as well."""
    found = []
    for ours, recipe in recipes.items():
        wanted = like[ours].shape
        makes = functools.cache(functools.partial(shape, recipe))  # layers are alike
        for names in groups(recipe):
            theirs = {n: archive.shapes[n] for n in names if n in archive.shapes}
            if len(theirs) < len(names):
                continue
            if (made := makes(tuple(theirs.values()))) != wanted:
                listed = ", ".join(f"{name} {size}" for name, size in theirs.items())
                became = "no array" if made is None else str(made)
                text = f"{listed} makes {became}, but {ours} is {wanted}"
                found.append(("mis-shaped array", text))
    return found


def _place(
    recipe: Recipe, archive: Archive, like: jax.ShapeDtypeStruct, sharding: Sharding
) -> jax.Array:
    """Made on the host once; every device is handed its own part."""
    whole = make(recipe, archive.read, like)
    return jax.make_array_from_callback(like.shape, sharding, lambda at: whole[at])


def _initial(
    key: jax.Array, config: PolicyConfig, placed: Mapping[str, Sharding]
) -> dict[str, jax.Array]:
    """Initial values of the named parameters; XLA drops the computation of others."""

    def some(key: jax.Array) -> dict[str, jax.Array]:
        flat = _flat(parameters.init(key, config))
        return {name: flat[name] for name in placed}

    if not placed:
        return {}
    options = compilation.compiler_options() | compilation.NO_OPTIMIZATION
    return jax.jit(some, out_shardings=dict(placed), compiler_options=options)(key)


def _flat(tree: PyTree) -> dict[str, Any]:
    return traverse_util.flatten_dict(tree, sep="/")
