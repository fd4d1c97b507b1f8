"""The device mesh and the one table from logical array axes to mesh axes.

Mesh axes: `data` splits
batches, `fsdp` splits batches and parameters, `tensor` splits heads, MLPs and words.
"""

import math

import jax
from flax import linen as nn
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from omnivla_jax.core.types import PyTree

MESH_AXES = ("data", "fsdp", "tensor")

# Logical axis -> mesh axis. A mesh axis may appear only once in an array's spec.
AXIS_RULES: tuple[tuple[str, str | tuple[str, ...] | None], ...] = (
    ("batch", ("data", "fsdp")),
    ("embed", "fsdp"),
    ("heads", "tensor"),
    ("kv_heads", None),
    ("head_dim", None),
    ("mlp", "tensor"),
    ("vocab", "tensor"),
    ("layers", None),
)


def make_mesh(*, data: int = 1, fsdp: int = 1, tensor: int = 1) -> Mesh:
    """A mesh over the first data * fsdp * tensor devices; errors name the shortfall."""
    needed, available = math.prod((data, fsdp, tensor)), len(jax.devices())
    if needed > available:
        raise ValueError(
            f"A mesh of {data=} x {fsdp=} x {tensor=} needs {needed} devices, but "
            f"{available} are present: lower one of the three."
        )
    # Explicit axes (jax's default) reject concatenating sharded with replicated
    # tokens, which is what joint attention does.
    return jax.make_mesh(
        (data, fsdp, tensor),
        MESH_AXES,
        axis_types=(AxisType.Auto,) * 3,
        devices=jax.devices()[:needed],
    )


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """The sharding of arrays with a leading batch axis."""
    return nn.logical_to_mesh_sharding(PartitionSpec("batch"), mesh, AXIS_RULES)


def split_batch(values: jax.Array) -> jax.Array:
    """`values` [B, ...] split over the devices of the mesh that is in use, if any.

    Layers say so of what they take. Otherwise the compiler may follow the weights, and
    give every device the whole batch and a part of its width.
    """
    mesh = jax.sharding.get_abstract_mesh()
    if set(mesh.axis_names) != set(MESH_AXES) or mesh.manual_axes:
        return values
    if values.shape[0] % (mesh.shape["data"] * mesh.shape["fsdp"]):
        return values
    batch = nn.logical_to_mesh_axes(("batch",), AXIS_RULES)
    return jax.lax.with_sharding_constraint(values, batch)


def tree_shardings(mesh: Mesh, boxed_tree: PyTree) -> PyTree:
    """Shardings of a tree whose leaves carry Flax logical axis names.

    Raises ValueError, by name, on an axis that its part of the mesh does not divide.
    """
    specs = nn.get_partition_spec(boxed_tree)
    shardings = nn.logical_to_mesh_sharding(specs, mesh, AXIS_RULES)
    paths, _ = jax.tree_util.tree_flatten_with_path(shardings)
    leaves = jax.tree.leaves(nn.unbox(boxed_tree))
    for (path, sharding), leaf in zip(paths, leaves, strict=True):
        try:
            sharding.shard_shape(leaf.shape)
        except ValueError as error:
            raise ValueError(
                f"Parameter {jax.tree_util.keystr(path)} of shape {leaf.shape} cannot "
                f"lie as {sharding.spec} on a mesh of {dict(mesh.shape)}: choose a "
                "mesh axis that divides the split dimension, or change the policy's "
                "width."
            ) from error
    return shardings
