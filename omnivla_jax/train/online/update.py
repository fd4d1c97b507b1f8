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
# train((params, opt_state), which chunks int32 [A, D, S/D], key) -> the same, metrics
TrainFn = Callable[[PyTree, jax.Array, jax.Array], tuple[PyTree, Metrics]]


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
    are skipped: frozen episodes cost neither gradient nor time. So are those that are
    left once the divergence from the policy that explored exceeds `target_kl`.

    Args:
      state_before: the state whose parameters are trained.
      batch: what `rollout.collect` recorded.
      agent: scores the chunks.
      config, mesh_sharding: of stage III.

    Returns:
      The state after all minibatches, and metrics by name.
    """
    weight = batch.advantages.weight.reshape(mesh_sharding.num_shards, -1)  # [D, L]
    train = _train_fn(state_before, batch, agent, config, mesh_sharding)
    order_key, imitation_key = jax.random.split(key)
    index = _shuffled(order_key, weight, config)
    is_weighted = jnp.take_along_axis(weight[None, None], index, axis=-1) > 0
    (params, opt_state), metrics = _train_useful(
        train,
        (state_before.params, state_before.opt_state),
        index,
        jax.random.split(imitation_key, len(index)),
        is_useful=jnp.any(is_weighted, axis=(1, 2, 3)),
        target_kl=config.target_kl,
    )
    new_state = dataclasses.replace(
        state_before,
        step=state_before.step + 1,
        params=params,
        ema_params=_average(state_before, params, config),
        opt_state=opt_state,
    )
    trained_on = jnp.mean(metrics["weight"] > 0, dtype=jnp.float32)
    return new_state, _mean_by_weight(metrics) | {"trained_fraction": trained_on}


def _train_fn(
    state_before: TrainState,
    batch: RolloutBatch,
    agent: Agent,
    config: OnlineConfig,
    mesh_sharding: MeshSharding,
) -> TrainFn:
    """What one minibatch does to parameters and optimizer."""
    trained = lora.trainable_mask(state_before.params, config.trainable)
    optimizer = state.make_optimizer(config.optimizer, trained)
    sharded_gather = mesh_sharding.shard_map_batch(
        functools.partial(gather_minibatch, num_branches=config.num_branches)
    )

    def gather(index: jax.Array) -> RolloutBatch:
        return mesh_sharding.constrain_batch(sharded_gather(batch, index))

    def loss(params: PyTree, index: jax.Array) -> tuple[jax.Array, Metrics]:
        return objective_loss(
            params, state_before.reference, gather(index), agent=agent, config=config
        )

    def train(
        carry: tuple[PyTree, PyTree], index: jax.Array, key: jax.Array
    ) -> tuple[tuple[PyTree, PyTree], Metrics]:
        params, opt_state = carry
        gradient, metrics = _gradient(params, index, loss, config)
        if config.self_imitation:
            chosen = _successes(key, batch, config, mesh_sharding)
            imitation, metrics["imitation_loss"] = _imitation_gradient(
                params, gather(chosen), key, agent, config
            )
            gradient = jax.tree.map(jnp.add, gradient, imitation)
        updates, opt_state = optimizer.update(gradient, opt_state, params)
        return (state.apply(params, updates, trained), opt_state), metrics

    return train


def _train_useful(
    train: TrainFn,
    carry: PyTree,
    index: jax.Array,
    keys: jax.Array,
    *,
    is_useful: jax.Array,
    target_kl: float | None,
) -> tuple[PyTree, Metrics]:
    """`train(carry, index, key)` on the useful minibatches, until one exceeds the KL.

    Adam moves even without a gradient, so a skipped minibatch must not count: its
    metrics are 0, and so is their weight. `is_useful` bool [E M].
    """

    def step(
        carry: tuple[PyTree, jax.Array], inputs: tuple[jax.Array, ...]
    ) -> tuple[tuple[PyTree, jax.Array], Metrics]:
        trained, has_left = carry
        *minibatch, is_useful = inputs
        shapes = jax.eval_shape(train, trained, *minibatch)[1]
        no_metrics = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
        trained, metrics = jax.lax.cond(
            is_useful & ~has_left,
            train,
            lambda c, *_: (c, no_metrics),
            trained,
            *minibatch,
        )
        if target_kl is not None:
            has_left |= metrics["kl"] > target_kl
        return (trained, has_left), metrics

    start = (carry, jnp.asarray(False))
    (carry, _), metrics = jax.lax.scan(step, start, (index, keys, is_useful))
    return carry, metrics


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
    output, advantages, _ = minibatch
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


def _average(before: TrainState, params: PyTree, config: OnlineConfig) -> PyTree | None:
    """The moving average of the parameters after an update; None: none is kept."""
    if before.ema_params is None:
        return None
    return lora.update_ema(
        before.ema_params, params, step=before.step, limit=config.ema_decay
    )


def _successes(
    key: jax.Array,
    batch: RolloutBatch,
    config: OnlineConfig,
    mesh_sharding: MeshSharding,
) -> jax.Array:
    """Draw chunks to imitate, successes first: int32 [D, S/D]; folds `key`.

    Of any group: where all succeed no advantage holds the policy to what it can do.
    """
    assert batch.succeeded is not None, "no finished episodes"
    place = jax.random.uniform(jax.random.fold_in(key, 0), batch.succeeded.shape)
    shards = mesh_sharding.num_shards
    order = jnp.argsort((place + ~batch.succeeded).reshape(shards, -1), axis=-1)
    return order[:, : config.imitated_chunks // shards]


def _imitation_gradient(
    params: PyTree,
    chosen: RolloutBatch,
    key: jax.Array,
    agent: Agent,
    config: OnlineConfig,
) -> tuple[PyTree, jax.Array]:
    """The gradient of the weighted supervised loss of successes, and the loss itself.

    `chosen` are chunks with decisions of their own; `key` is folded.
    """
    shown, key = chosen.succeeded, jax.random.fold_in(key, 1)
    assert shown is not None, "no finished episodes"
    value, gradient = jax.value_and_grad(
        lambda params: agent.imitation_loss(
            lora.merge(params), chosen.output, key, shown
        )
    )(params)
    return jax.tree.map(lambda leaf: config.self_imitation * leaf, gradient), value


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
