"""Where an online step's arrays lie: one device, or a mesh of many.

Batches are split over `data` and `fsdp`, parameters and the optimizer's moments over
`fsdp` and `tensor` (`core.sharding`); what remains lies everywhere.
"""

import functools
import math
from typing import Any, Callable, NamedTuple

import jax
import jax.numpy as jnp
from flax.traverse_util import flatten_dict
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from omnivla_jax.core import sharding
from omnivla_jax.core.types import PyTree
from omnivla_jax.policy import lora, policy
from omnivla_jax.policy.config import PolicyConfig

# Of trees of arrays with one leading batch axis.
Batched = Callable[..., PyTree]


class MeshSharding(NamedTuple):
    """Pure functions that say, inside a compiled step, where values belong."""

    state: Callable[[PyTree], PyTree]  # a training state, or any tree of parameters
    batch: Callable[[PyTree], PyTree]  # a tree of arrays with a leading batch axis
    # A function whose rows know nothing of each other, so that no device asks another.
    apart: Callable[[Batched], Batched]


def single_device() -> MeshSharding:
    """One device, or whatever the compiler prefers."""
    return MeshSharding(
        state=lambda tree: tree,
        batch=lambda tree: tree,
        apart=lambda function: function,
    )


def on_mesh(mesh: Mesh, config: PolicyConfig) -> MeshSharding:
    """Sharded over `mesh`; batches must be multiples of its data x fsdp devices."""
    split = sharding.batch_sharding(mesh)
    rows, parts = split.spec, mesh.shape["data"] * mesh.shape["fsdp"]

    def batch(tree: PyTree) -> PyTree:
        for leaf in jax.tree.leaves(tree):
            if leaf.shape[0] % parts:
                raise ValueError(
                    f"A batch of {leaf.shape[0]} does not divide over {parts} devices: "
                    "make rl.groups x rl.group_size, and each minibatch, a multiple."
                )
        return jax.lax.with_sharding_constraint(tree, split)

    def state(tree: PyTree) -> PyTree:
        return jax.lax.with_sharding_constraint(tree, shardings(tree, mesh, config))

    def apart(function: Batched) -> Batched:
        # Left to itself the compiler gathers the whole batch for every top_k of MJX's
        # contact search, on every device in every substep.
        parted = jax.shard_map(
            function, mesh=mesh, in_specs=rows, out_specs=rows, check_vma=False
        )

        def run(*batches: PyTree) -> PyTree:
            size = jax.tree.leaves(batches)[0].shape[0]
            return (function if size % parts else parted)(*batches)

        return run

    return MeshSharding(state, batch, apart)


def put(tree: PyTree, mesh: Mesh, config: PolicyConfig) -> PyTree:
    """A training state, or keys, laid out on `mesh`; every process holds the same."""
    return jax.tree.map(_put, tree, shardings(tree, mesh, config))


def shardings(tree: PyTree, mesh: Mesh, config: PolicyConfig) -> PyTree:
    """A sharding for every leaf of a training state (arrays or shapes).

    A leaf lies as the parameter whose name its path ends in, an adapter's as the weight
    that it adapts (`_adapter`): moments and averages thus lie beside their parameters,
    and everything else on every device.
    """
    known = _known(mesh, config)
    everywhere = NamedSharding(mesh, PartitionSpec())

    def place(path: tuple[Any, ...], leaf: Any) -> NamedSharding:
        names = tuple(_name(entry) for entry in path)
        for start in range(len(names)):
            if names[start:] in known:
                return known[names[start:]]
            adapted = names[start + 1 : -1]
            if names[start] == lora.LORA and adapted in known:
                return _adapter(known[adapted], names[-1], leaf.shape)
        return everywhere

    return jax.tree_util.tree_map_with_path(place, tree)


def _put(leaf: jax.Array, place: NamedSharding) -> jax.Array:
    if not jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        return jax.device_put(leaf, place)
    # Over several processes `device_put` takes numbers, not typed keys.
    numbers = jax.device_put(jax.random.key_data(leaf), place)
    return jax.random.wrap_key_data(numbers, impl=jax.random.key_impl(leaf))


@functools.cache
def _known(mesh: Mesh, config: PolicyConfig) -> dict[tuple[str, ...], NamedSharding]:
    """The sharding of every parameter, the critic's included, by its path."""
    tree = policy.shardings(mesh, config)
    tree |= {policy.VALUE: policy.value_shardings(mesh, config)}
    return flatten_dict(jax.tree.map(_plain, tree))


def _adapter(
    weight: NamedSharding, factor: str, shape: tuple[int, ...]
) -> NamedSharding:
    """Where a [..., in, R] or b [..., R, out] lies, given its weight [..., in, out].

    The rank is too short to split, so that the long axis takes the mesh axes of both of
    the weight's, as far as they divide it, its own first: an adapter has as many shards
    as its weight. By its own alone, all of b would lie on every device where nothing
    splits the MLP's hidden width.
    """
    entries = [_axes(entry) for entry in weight.spec]
    *stacked, wide, out = entries + [()] * (len(shape) - len(entries))
    long, length = (wide + out, shape[-2]) if factor == "a" else (out + wide, shape[-1])
    while length % math.prod(weight.mesh.shape[axis] for axis in long):
        long = long[:-1]
    ends = (long, None) if factor == "a" else (None, long)
    return _plain(NamedSharding(weight.mesh, PartitionSpec(*stacked, *ends)))


def _plain(place: NamedSharding) -> NamedSharding:
    """The same, as compiled programs return it: no axes of size 1, no None at the end.

    Otherwise the second step would find other shardings than the first, and be traced
    again.
    """
    entries: list[Any] = []
    for entry in place.spec:
        split = tuple(axis for axis in _axes(entry) if place.mesh.shape[axis] > 1)
        entries.append(split[0] if len(split) == 1 else split or None)
    while entries and entries[-1] is None:
        entries.pop()
    return NamedSharding(place.mesh, PartitionSpec(*entries))


def _axes(entry: Any) -> tuple[str, ...]:
    """The mesh axes that one entry of a spec names."""
    return (entry,) if isinstance(entry, str) else tuple(entry or ())


def _name(entry: Any) -> Any:
    """The key of one step of a path."""
    for attribute in ("key", "name", "idx"):
        if hasattr(entry, attribute):
            return getattr(entry, attribute)
    raise TypeError(f"A path cannot hold {entry!r}.")
