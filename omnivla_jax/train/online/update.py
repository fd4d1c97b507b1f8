"""How an online step learns: E epochs of M minibatches of the objective.

Every shard of the batch shuffles its own chunks and gives its share to each minibatch:
devices exchange gradients and metrics, but no experience.
Axes: T B C chunks in all, D shards, E epochs, M minibatches, A parts of a minibatch, S
chunks of a part.
"""

import dataclasses
import functools
from typing import Callable

import jax
import jax.numpy as jnp
import optax

from omnivla_jax.core.types import PyTree
from omnivla_jax.policy import lora
from omnivla_jax.rl import diagnostics
from omnivla_jax.train import state
from omnivla_jax.train.agent import Agent
from omnivla_jax.train.online.config import OnlineConfig
from omnivla_jax.train.online.objectives import Metrics
from omnivla_jax.train.online.rollout import RolloutBatch, gather_minibatch
from omnivla_jax.train.sharding import MeshSharding
from omnivla_jax.train.state import TrainState

# loss(params, which chunks int32 [D, S/D]) -> the objective on them, metrics
LossFn = Callable[[PyTree, jax.Array], tuple[jax.Array, Metrics]]


def update_epochs(
    state_before: TrainState,
    key: jax.Array,
    batch: RolloutBatch,
    *,
    agent: Agent,
    config: OnlineConfig,
    mesh_sharding: MeshSharding,
) -> tuple[TrainState, Metrics]:
    """E epochs of M minibatches; consumes `key`. Metrics are means by weight.

    Chunks with weight come first in every epoch of a shard, and minibatches without any
    are skipped: frozen episodes cost neither gradient nor time.

    Args:
      state_before: the state whose parameters are trained.
      batch: what `rollout.collect` recorded.
      agent: scores the chunks.
      config, mesh_sharding: of stage III.

    Returns:
      The state after all minibatches, and metrics by name.
    """
    trained = lora.trainable_mask(state_before.params, config.trainable)
    optimizer = state.make_optimizer(config.optimizer, trained)
    gather = mesh_sharding.shard_map_batch(
        functools.partial(gather_minibatch, num_branches=config.num_branches)
    )
    weight = batch.advantages.weight.reshape(mesh_sharding.num_shards, -1)  # [D, L]

    def loss(params: PyTree, index: jax.Array) -> tuple[jax.Array, Metrics]:
        minibatch = mesh_sharding.constrain_batch(gather(batch, index))
        return objective_loss(
            params, state_before.reference, minibatch, agent=agent, config=config
        )

    def train_minibatch(carry: PyTree, index: jax.Array) -> tuple[PyTree, Metrics]:
        def update(carry: PyTree) -> tuple[PyTree, Metrics]:
            params, opt_state = carry
            gradient, metrics = _gradient(params, index, loss, config)
            updates, opt_state = optimizer.update(gradient, opt_state, params)
            return (state.apply(params, updates, trained), opt_state), metrics

        # Adam moves even without a gradient, so an empty minibatch must not count.
        shapes = jax.eval_shape(update, carry)[1]
        no_metrics = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
        is_useful = jnp.any(jnp.take_along_axis(weight[None], index, axis=-1) > 0)
        return jax.lax.cond(is_useful, update, lambda c: (c, no_metrics), carry)

    index = _shuffled(key, weight, config)
    carry = (state_before.params, state_before.opt_state)
    (params, opt_state), metrics = jax.lax.scan(train_minibatch, carry, index)
    new_state = dataclasses.replace(
        state_before, step=state_before.step + 1, params=params, opt_state=opt_state
    )
    return new_state, _mean_by_weight(metrics)


def _shuffled(key: jax.Array, weight: jax.Array, config: OnlineConfig) -> jax.Array:
    """Every epoch's chunks of each shard in random order, those without weight last.

    Args:
      key: consumed.
      weight: [D, L], of the L chunks of each shard.
      config: of stage III.

    Returns:
      int32 [E M, A, D, S/D].
    """
    keys = jax.random.split(key, config.epochs)
    position = jax.vmap(lambda key: jax.random.uniform(key, (weight.size,)))(keys)
    position = position.reshape(-1, *weight.shape) + (weight <= 0)
    order = jnp.argsort(position, axis=-1)  # [E, D, L]
    parts = config.minibatches * config.grad_accum_steps
    order = order.reshape(*order.shape[:2], parts, -1).swapaxes(1, 2)
    return order.reshape(-1, config.grad_accum_steps, *order.shape[2:])


def objective_loss(
    params: PyTree,
    reference: PyTree | None,
    minibatch: RolloutBatch,
    *,
    agent: Agent,
    config: OnlineConfig,
) -> tuple[jax.Array, Metrics]:
    """The objective on S chunks, and metrics with their "weight".

    Scaled by the mean weight: a minibatch with half its chunks masked contributes half
    the gradient.

    Args:
      params: with their adapters, if they have any.
      reference: parameters that the divergence is measured from; None: those that
        sampled the chunks.
      minibatch: S chunks, each with a decision of its own.

    Returns:
      The loss, float32 [], and metrics by name.
    """
    output, advantages = minibatch
    merged, objective = lora.merge(params), config.objective
    value, metrics = objective.loss(
        agent.log_prob(merged, output),
        agent.behavior_log_prob(output),
        advantages,
        values=agent.value(merged, output) if objective.has_critic else None,
        exact_kl=agent.exact_kl,
        reference=None if reference is None else agent.log_prob(reference, output),
    )
    share = jnp.mean(advantages.weight)
    return share * value, metrics | {"weight": share}


def _gradient(
    params: PyTree, index: jax.Array, loss: LossFn, config: OnlineConfig
) -> tuple[PyTree, Metrics]:
    """The gradient on the chunks `index`, and metrics with their weight.

    `index` int32 [A, D, S/D], within each shard.
    The parts' gradients are averaged one by one, so that the memory is that of one.
    """
    part = jax.grad(loss, has_aux=True)

    def add_part(total: PyTree, index: jax.Array) -> tuple[PyTree, Metrics]:
        gradient, metrics = part(params, index)
        return jax.tree.map(jnp.add, total, gradient), metrics

    if config.grad_accum_steps == 1:
        gradient, metrics = part(params, index[0])
    else:
        zeros = jax.tree.map(jnp.zeros_like, params)
        total, parts = jax.lax.scan(add_part, zeros, index)
        gradient = jax.tree.map(lambda leaf: leaf / config.grad_accum_steps, total)
        metrics = _mean_by_weight(parts) | {"weight": jnp.mean(parts["weight"])}
    metrics |= {"grad_norm": optax.tree.norm(gradient)}
    return gradient, metrics | diagnostics.expert_norms(gradient)


def _mean_by_weight(metrics: Metrics) -> Metrics:
    """Means over minibatches or their parts by weight, [E M] -> scalars."""
    weight = metrics["weight"]
    return {
        name: diagnostics.weighted_mean(values, weight)
        for name, values in metrics.items()
        if name != "weight"
    }
