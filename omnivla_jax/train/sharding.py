"""Sharding of a training step's arrays: one device, or a mesh of many.

Batches are split over `data` and `fsdp`, parameters and the optimizer's moments over
`fsdp` and `tensor` (`core.sharding`); the rest is replicated.
"""

import functools
import math
from typing import Any, Callable, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from omnivla_jax.core import sharding
from omnivla_jax.core.types import PyTree
from omnivla_jax.policy import lora, policy
from omnivla_jax.policy.config import PolicyConfig

# A function of trees of arrays with one leading batch axis.
Batched = Callable[..., PyTree]


class MeshSharding(NamedTuple):
    """Sharding constraints for use inside a compiled step."""

    constrain_state: Callable[[PyTree], PyTree]  # a training state, or parameters
    constrain_batch: Callable[[PyTree], PyTree]  # arrays with a leading batch axis
    # Runs a function, whose rows are independent, on every device's rows by itself.
    shard_map_batch: Callable[[Batched], Batched]
    num_shards: int = 1  # of a batch
    # A function to be compiled, traced with the mesh in use (`core.sharding`).
    with_mesh: Callable[[Batched], Batched] = lambda function: function


# No constraints: one device, or the compiler's choice.
SINGLE_DEVICE = MeshSharding(
    constrain_state=lambda tree: tree,
    constrain_batch=lambda tree: tree,
    shard_map_batch=lambda function: function,
)


def on_mesh(mesh: Mesh, config: PolicyConfig) -> MeshSharding:
    """Constraints to `mesh`; batches must be multiples of its data x fsdp devices."""
    batch_sharding = sharding.batch_sharding(mesh)
    spec, num_parts = batch_sharding.spec, mesh.shape["data"] * mesh.shape["fsdp"]

    def constrain_batch(tree: PyTree) -> PyTree:
        for leaf in jax.tree.leaves(tree):
            if leaf.shape[0] % num_parts:
                raise ValueError(
                    f"A batch of {leaf.shape[0]} does not divide over {num_parts} "
                    "devices: make rl.groups x rl.group_size, and each minibatch, a "
                    "multiple."
                )
        return jax.lax.with_sharding_constraint(tree, batch_sharding)

    def shard_map_batch(function: Batched) -> Batched:
        # Without it the compiler gathers the whole batch for every top_k of MJX's
        # contact search, on every device in every substep.
        sharded = jax.shard_map(
            function, mesh=mesh, in_specs=spec, out_specs=spec, check_vma=False
        )

        def run(*batches: PyTree) -> PyTree:
            size = jax.tree.leaves(batches)[0].shape[0]
            return (function if size % num_parts else sharded)(*batches)

        return run

    def with_mesh(function: Batched) -> Batched:
        @functools.wraps(function)
        def traced(*arguments: PyTree, **named: PyTree) -> PyTree:
            with jax.sharding.use_abstract_mesh(mesh.abstract_mesh):
                return function(*arguments, **named)

        return traced

    return MeshSharding(
        lambda tree: jax.lax.with_sharding_constraint(
            tree, shardings(tree, mesh, config)
        ),
        constrain_batch,
        shard_map_batch,
        num_parts,
        with_mesh,
    )


def shard(tree: PyTree, mesh: Mesh, config: PolicyConfig) -> PyTree:
    """Put a training state, or keys, on a mesh; every process holds the same values.

    Args:
      tree: of arrays on the host or on one device.
      mesh: of the devices.
      config: of the policy, whose parameters are split.

    Returns:
      The same tree, laid out as `shardings` says.
    """

    def put(leaf: jax.Array, target: NamedSharding) -> jax.Array:
        if jax.process_count() == 1:
            return jax.device_put(leaf, target)
        # Here `device_put` takes neither typed keys nor arrays that lie on one process.
        is_key = jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        host = np.asarray(jax.random.key_data(leaf) if is_key else leaf)
        placed = jax.make_array_from_callback(host.shape, target, lambda at: host[at])
        if is_key:
            return jax.random.wrap_key_data(placed, impl=jax.random.key_impl(leaf))
        return placed

    return jax.tree.map(put, tree, shardings(tree, mesh, config))


def to_local(tree: PyTree) -> PyTree:
    """Copy a tree to one device of this process; with several processes a collective.

    Args:
      tree: arrays, wherever their shards lie.

    Returns:
      The same tree on the first device of this process.
    """
    device = jax.local_devices()[0]

    def copy(leaf: Any) -> jax.Array:
        if isinstance(leaf, jax.Array) and not leaf.is_fully_addressable:
            if leaf.is_fully_replicated:
                leaf = leaf.addressable_data(0)
            else:
                leaf = multihost_utils.process_allgather(leaf, tiled=True)
        return jax.device_put(leaf, device)

    return jax.tree.map(copy, tree)


def gather_turns(tree: PyTree) -> PyTree:
    """Join what processes have made by turns; with several processes a collective.

    Args:
      tree: host arrays [K, ...]: turns of this process, as many as of every other.

    Returns:
      Host arrays [P K, ...] of P processes: the first turn of each, then the second.
    """
    if jax.process_count() == 1:
        return tree
    gathered = multihost_utils.process_allgather(tree)  # [P, K, ...]
    return jax.tree.map(
        lambda x: np.swapaxes(x, 0, 1).reshape(-1, *x.shape[2:]), gathered
    )


def shardings(tree: PyTree, mesh: Mesh, config: PolicyConfig) -> PyTree:
    """The sharding of every leaf of a training state.

    A leaf whose path ends in a parameter's name has that parameter's sharding, so that
    moments and averages lie beside their parameters. An adapter follows the weight that
    it adapts (`_adapter_sharding`); other leaves are replicated.

    Args:
      tree: arrays or shapes.
      mesh: of the devices.
      config: of the policy.

    Returns:
      A tree of `NamedSharding`s.
    """
    param_shardings = _param_shardings(mesh, config)
    replicated = NamedSharding(mesh, PartitionSpec())

    def leaf_sharding(path: tuple[Any, ...], leaf: Any) -> NamedSharding:
        names = tuple(_name(entry) for entry in path)
        for start in range(len(names)):
            if names[start:] in param_shardings:
                return param_shardings[names[start:]]
            weight = names[start + 1 : -1]
            if names[start] == lora.LORA and weight in param_shardings:
                return _adapter_sharding(param_shardings[weight], names[-1], leaf.shape)
        return replicated

    return jax.tree_util.tree_map_with_path(leaf_sharding, tree)


@functools.cache
def _param_shardings(
    mesh: Mesh, config: PolicyConfig
) -> dict[tuple[str, ...], NamedSharding]:
    """The sharding of every parameter, the critic's included, by its path."""
    tree = policy.shardings(mesh, config)
    tree |= {policy.VALUE: policy.value_shardings(mesh, config)}
    return flatten_dict(jax.tree.map(_canonical, tree))


def _adapter_sharding(
    weight: NamedSharding, factor: str, shape: tuple[int, ...]
) -> NamedSharding:
    """The sharding of a [..., in, R] or b [..., R, out] of a weight [..., in, out].

    The rank is too short to split. So the long axis takes the mesh axes of both axes of
    the weight, as far as they divide it, its own first: an adapter has as many shards
    as its weight. With its own axes alone, b would be replicated wherever the MLP's
    hidden width is not split.
    """
    entries = [_mesh_axes(entry) for entry in weight.spec]
    *stacked, fan_in, fan_out = entries + [()] * (len(shape) - len(entries))
    if factor == "a":
        axes, length = fan_in + fan_out, shape[-2]
    else:
        axes, length = fan_out + fan_in, shape[-1]
    while length % math.prod(weight.mesh.shape[axis] for axis in axes):
        axes = axes[:-1]
    ends = (axes, None) if factor == "a" else (None, axes)
    return _canonical(NamedSharding(weight.mesh, PartitionSpec(*stacked, *ends)))


def _canonical(named: NamedSharding) -> NamedSharding:
    """The same sharding as compiled programs return it.

    Without axes of size 1 and None at the end. Otherwise the second step would get
    other shardings than the first, and be traced again.
    """
    entries: list[Any] = []
    for entry in named.spec:
        split = tuple(axis for axis in _mesh_axes(entry) if named.mesh.shape[axis] > 1)
        entries.append(split[0] if len(split) == 1 else split or None)
    while entries and entries[-1] is None:
        entries.pop()
    return NamedSharding(named.mesh, PartitionSpec(*entries))


def _mesh_axes(entry: Any) -> tuple[str, ...]:
    """The mesh axes that one entry of a spec names."""
    if isinstance(entry, str):
        return (entry,)
    return tuple(entry or ())


def _name(entry: Any) -> Any:
    """The key of one step of a path."""
    for attribute in ("key", "name", "idx"):
        if hasattr(entry, attribute):
            return getattr(entry, attribute)
    raise TypeError(f"A path cannot hold {entry!r}.")
