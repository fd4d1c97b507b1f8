"""Loads files of public weights into our parameters, completely or with one error.

    loaded = load(key, [(FORMATS["hf-vggt"], path)], config=config, mesh=mesh)

One parameter is read, cast and placed on its devices at a time. Parameters that no file
covers start at their initial values and are named in `loaded.missing_initialized`.
"""

import functools
import re
from collections import Counter
from pathlib import Path
from typing import Callable, Mapping, NamedTuple, Sequence

import jax
from flax import traverse_util
from jax.sharding import Mesh, Sharding

from omnivla_jax.core import compile as compilation
from omnivla_jax.core.types import PyTree
from omnivla_jax.policy import parameters
from omnivla_jax.policy.config import PolicyConfig
from omnivla_jax.policy.pretrained.param_mapping import (
    ParamMappings,
    build_param,
    output_shape,
    source_names,
)
from omnivla_jax.policy.pretrained.readers import ArrayReader

Shapes = Mapping[str, jax.ShapeDtypeStruct]
_flatten = functools.partial(traverse_util.flatten_dict, sep="/")
Mismatches = Sequence[tuple[str, str]]  # (kind, name and problem)


class WeightsFormat(NamedTuple):
    """A format of public weights."""

    open: Callable[[Path], ArrayReader]
    mappings: Callable[[PolicyConfig], ParamMappings]
    required_prefixes: tuple[str, ...]  # of our names that it must fill completely
    ignored_names: tuple[str, ...]  # patterns of its names that we have no use for
    # To the configuration that it presupposes.
    update_config: Callable[[PolicyConfig], PolicyConfig] = lambda config: config


class Loaded(NamedTuple):
    """A complete parameter tree."""

    params: PyTree
    missing_initialized: tuple[str, ...]  # names at their initial values


class MismatchError(ValueError):
    """Files and a policy that do not fit: every mismatch, one a line."""

    def __init__(self, files: Sequence[tuple[Path, Mismatches]]) -> None:
        summaries, lines = [], []
        for path, mismatches in files:
            counts = Counter(kind for kind, _ in mismatches)
            listed = ", ".join(f"{count} {kind}" for kind, count in counts.items())
            summaries.append(f"{path} does not fit the policy: {listed}.")
            lines.append(summaries[-1])
            lines += [f"  {kind}: {text}" for kind, text in mismatches]
        self.summary = " ".join(summaries)
        super().__init__("\n".join(lines))


def load(
    key: jax.Array,
    files: Sequence[tuple[WeightsFormat, Path]],
    *,
    config: PolicyConfig,
    mesh: Mesh,
) -> Loaded:
    """Load the parameters of a policy from one or more files.

    Args:
      key: typed key, consumed by the initial values of what no file covers.
      files: formats and paths; where two cover a parameter the later one counts.
      config: of the policy.
      mesh: devices over which the parameters are sharded.

    Returns:
      The parameters, and which of them are initial values.

    Raises:
      MismatchError: files lack names, have names too many or of other shapes.
      ValueError: a file cannot be read.
    """
    expected = _flatten(parameters.shapes(config))
    shardings = _flatten(parameters.shardings(mesh, config))
    sources = [
        (path, weights_format, weights_format.open(path))
        for weights_format, path in files
    ]
    checked = [
        (path, find_mismatches(reader, kind.mappings(config), expected, kind))
        for path, kind, reader in sources
    ]
    if misfits := [(path, mismatches) for path, mismatches in checked if mismatches]:
        raise MismatchError(misfits)
    arrays: dict[str, jax.Array] = {}
    for _, kind, reader in sources:
        for name, mapping in kind.mappings(config).items():
            # Built on the host once; every device gets its own part.
            array = build_param(mapping, reader.read, expected[name])
            arrays[name] = jax.make_array_from_callback(
                array.shape, shardings[name], lambda index: array[index]
            )
    missing = tuple(sorted(set(expected) - set(arrays)))
    arrays |= _init_params(key, config, {name: shardings[name] for name in missing})
    return Loaded(traverse_util.unflatten_dict(arrays, sep="/"), missing)


def find_mismatches(
    reader: ArrayReader,
    mappings: ParamMappings,
    expected: Shapes,
    weights_format: WeightsFormat,
) -> Mismatches:
    """Find everything that does not fit, without reading an array.

    Args:
      reader: the file.
      mappings: from the file's names to ours.
      expected: shapes of our parameters, by name.
      weights_format: the file's format.

    Returns:
      (kind, text) of each mismatch; empty where the file fits.
    """
    used = {
        name
        for mapping in mappings.values()
        for names in source_names(mapping)
        for name in names
    }
    mismatches = [("missing name", name) for name in sorted(used - set(reader.shapes))]
    ignored = re.compile("|".join(weights_format.ignored_names) or r"(?!)")
    for name in sorted(set(reader.shapes) - used):
        if not ignored.fullmatch(name):
            mismatches.append(("surplus name", f"{name} {reader.shapes[name]}"))
    prefixes = weights_format.required_prefixes
    required = {name for name in expected if name.startswith(prefixes)}
    for name in sorted(required - set(mappings)):
        mismatches.append(("parameter without a source", name))
    for name in sorted(set(mappings) - set(expected)):
        mismatches.append(("parameter that the policy lacks", name))
    # Each array of each layer by itself: others may be missing or wrong as well.
    for ours in sorted(set(mappings) & set(expected)):
        # Layers are alike, and each shape is traced once.
        shape_of = functools.cache(functools.partial(output_shape, mappings[ours]))
        groups = source_names(mappings[ours])
        if mappings[ours].pack is None:  # else the sizes of a layer's arrays add up
            groups = [(name,) for names in groups for name in names]
        for names in groups:
            theirs = {n: reader.shapes[n] for n in names if n in reader.shapes}
            if len(theirs) < len(names):
                continue
            shape, wanted = shape_of(tuple(theirs.values())), expected[ours].shape
            if shape != wanted:
                listed = ", ".join(f"{name} {size}" for name, size in theirs.items())
                result = "no array" if shape is None else str(shape)
                text = f"{listed} makes {result}, but {ours} is {wanted}"
                mismatches.append(("mis-shaped array", text))
    return mismatches


def _init_params(
    key: jax.Array, config: PolicyConfig, shardings: Mapping[str, Sharding]
) -> dict[str, jax.Array]:
    """Initial values of the named parameters; XLA drops the computation of others."""

    def init(key: jax.Array) -> dict[str, jax.Array]:
        flat = _flatten(parameters.init(key, config))
        return {name: flat[name] for name in shardings}

    if not shardings:
        return {}
    options = compilation.compiler_options() | compilation.NO_OPTIMIZATION
    return jax.jit(init, out_shardings=dict(shardings), compiler_options=options)(key)
