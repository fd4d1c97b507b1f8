"""Parts that the training stages of a run share: parameters, shardings, compiling."""

from typing import Any, Callable

import jax

from experiments.pipeline import imported_weights, policy_checkpoint
from experiments.pipeline.run_context import RunContext
from omnivla_jax.core import compile as compilation
from omnivla_jax.core.types import PyTree
from omnivla_jax.policy import policy
from omnivla_jax.train import sft, sharding
from omnivla_jax.train.state import TrainState


def compile_step(step: jax.stages.Wrapped, *arguments: PyTree) -> jax.stages.Compiled:
    """Compile `step`, to the same program before and after an interruption.

    Restored arrays are committed to their device and fresh ones are not, which gives
    two entries in the cache of compiled programs: on one device neither is committed.
    """
    leaves = jax.tree.leaves(arguments)
    if all(len(leaf.sharding.device_set) == 1 for leaf in leaves):
        arguments = jax.eval_shape(lambda: arguments)
    return step.lower(*arguments).compile()


def init_sharded(
    context: RunContext, create: Callable[..., TrainState], *arguments: Any
) -> TrainState:
    """`create(*arguments)`, each array made on its devices of the run's mesh."""
    if context.mesh is None:
        return create(*arguments)
    shapes = jax.eval_shape(create, *arguments)
    layout = sharding.shardings(shapes, context.mesh, context.config.policy)
    return compilation.jit(create, out_shardings=layout)(*arguments)


def abstract_state(context: RunContext, stage: str) -> TrainState:
    """Shapes of a stage's training state, with their shardings on the run's mesh."""
    shapes = policy_checkpoint.abstract_state(context.config, stage)
    if context.mesh is None:
        return shapes
    layout = sharding.shardings(shapes, context.mesh, context.config.policy)
    return jax.tree.map(
        lambda leaf, placed: leaf.update(sharding=placed), shapes, layout
    )


def mesh_sharding(context: RunContext) -> sharding.MeshSharding:
    """The constraints of a compiled step to the run's mesh."""
    if context.mesh is None:
        return sharding.SINGLE_DEVICE
    return sharding.on_mesh(context.mesh, context.config.policy)


def shard(context: RunContext, tree: PyTree) -> PyTree:
    """`tree` on the run's mesh, if it has one."""
    if context.mesh is None:
        return tree
    return sharding.shard(tree, context.mesh, context.config.policy)


def initial_params(context: RunContext, key: jax.Array) -> PyTree:
    """Imported or random parameters, sharded on the run's mesh; consumes `key`."""
    folder, config = context.config.weights, context.config.policy
    if folder is not None:
        return imported_weights.restore(folder, key, config, mesh=context.mesh)
    if context.mesh is None:
        return sft.fresh_params(key, config)
    return policy.init_sharded(key, config, mesh=context.mesh)
