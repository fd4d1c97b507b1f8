"""From files of public weights to our parameters: all that was promised, or one error.

    loaded = load(key, [(SOURCES["hf-vggt"], path)], config=config, mesh=mesh)

One parameter is read, cast and placed on its devices at a time. What no file covers
starts at its initial value and is named in `loaded.kept`.
"""

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
from omnivla_jax.policy.pretrained.recipes import Recipe, Recipes, make, shape, sources

Shapes = Mapping[str, jax.ShapeDtypeStruct]


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
    """A file and a policy that do not fit: every name that is amiss, one a line."""

    def __init__(self, path: Path, problems: Sequence[tuple[str, str]]) -> None:
        counts = Counter(kind for kind, _ in problems)
        listed = ", ".join(f"{count} {kind}" for kind, count in counts.items())
        self.summary = f"{path} does not fit the policy: {listed}."
        lines = [f"  {kind}: {text}" for kind, text in problems]
        super().__init__("\n".join([self.summary, *lines]))


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
      MismatchError: a file lacks names, has names too many or of other shapes.
      ValueError: a file cannot be read.
    """
    like = _flat(parameters.shapes(config))
    placed = _flat(parameters.shardings(mesh, config))
    plans = [_plan(source, path, config, like) for source, path in files]
    arrays = {
        name: _place(recipe, archive, like[name], placed[name])
        for archive, recipes in plans
        for name, recipe in recipes.items()
    }
    kept = tuple(sorted(set(like) - set(arrays)))
    arrays |= _initial(key, config, {name: placed[name] for name in kept})
    return Loaded(traverse_util.unflatten_dict(arrays, sep="/"), kept)


def problems(
    archive: Archive, recipes: Recipes, like: Shapes, source: Source
) -> list[tuple[str, str]]:
    """Every (kind, name and what is wrong with it), without reading an array."""
    wanted = {
        name: set().union(*sources(recipe)) for name, recipe in recipes.items()
    }
    used: set[str] = set().union(*wanted.values())
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
    present = [n for n in recipes if n in like and wanted[n] <= set(archive.shapes)]
    return found + _misshaped(archive, {n: recipes[n] for n in present}, like)


def _plan(
    source: Source, path: Path, config: PolicyConfig, like: Shapes
) -> tuple[Archive, Recipes]:
    archive, recipes = source.open(path), source.recipes(config)
    if found := problems(archive, recipes, like, source):
        raise MismatchError(path, found)
    return archive, recipes


def _misshaped(
    archive: Archive, recipes: Recipes, like: Shapes
) -> list[tuple[str, str]]:
    found = []
    for name, recipe in sorted(recipes.items()):
        if (made := shape(recipe, archive.shapes)) != like[name].shape:
            first = next(sources(recipe))
            theirs = ", ".join(f"{n} {archive.shapes[n]}" for n in first)
            became = "no such array" if made is None else str(made)
            text = f"{name} {like[name].shape}: {theirs} makes {became}"
            found.append(("mis-shaped parameter", text))
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
    options = compilation.compiler_options() | compilation.RUNS_ONCE
    return jax.jit(some, out_shardings=dict(placed), compiler_options=options)(key)


def _flat(tree: PyTree) -> dict[str, Any]:
    return traverse_util.flatten_dict(tree, sep="/")
