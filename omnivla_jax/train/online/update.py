"""How an online step learns: E epochs of M minibatches of the objective.

Axes: T B C chunks in all, E epochs, M minibatches, A parts of a minibatch, S chunks of
a part.
"""

import dataclasses
from typing import Callable, NamedTuple

import jax
import jax.numpy as jnp
import optax

from omnivla_jax.core.types import ChainScore, PyTree
from omnivla_jax.policy import lora
from omnivla_jax.rl import diagnostics, ppo
from omnivla_jax.train import actor, state
from omnivla_jax.train.online import rollout as online_rollout
from omnivla_jax.train.online.advantages import Metrics
from omnivla_jax.train.online.config import OnlineConfig
from omnivla_jax.train.online.rollout import RolloutBatch
from omnivla_jax.train.sharding import MeshSharding
from omnivla_jax.train.state import TrainState


class PolicyFns(NamedTuple):
    """What parameters say of recorded decisions."""

    score: Callable[[PyTree, actor.ActorOutput], ChainScore]  # the likelihood of chunks
    recorded: Callable[
        [actor.ActorOutput], ChainScore
    ]  # the same, as they were sampled
    value: Callable[[PyTree, actor.ActorOutput], jax.Array]  # the critic's, float32 [S]


# loss(params, which chunks int32 [S]) -> the objective on them, metrics
Loss = Callable[[PyTree, jax.Array], tuple[jax.Array, Metrics]]


def learn(
    before: TrainState,
    key: jax.Array,
    experience: RolloutBatch,
    *,
    models: PolicyFns,
    config: OnlineConfig,
    placement: MeshSharding,
) -> tuple[TrainState, Metrics]:
    """E epochs of M minibatches; consumes `key`. Metrics are means by weight.

    Chunks with weight come first in every epoch, and minibatches without any are
    skipped: frozen episodes cost neither gradient nor time.
    """
    trained = lora.trainable_mask(before.params, config.scope)
    optimizer = state.make_optimizer(config.optimizer, trained)
    carry = (before.params, before.opt_state)

    def loss(params: PyTree, index: jax.Array) -> tuple[jax.Array, Metrics]:
        part = online_rollout.take(experience, index, branches=config.branches)
        part = placement.batch(part)
        return _loss(params, before.reference, part, models, config)

    def minibatch(carry: PyTree, index: jax.Array) -> tuple[PyTree, Metrics]:
        def update(carry: PyTree) -> tuple[PyTree, Metrics]:
            params, opt_state = carry
            gradient, metrics = _gradient(params, index, loss, config)
            updates, opt_state = optimizer.update(gradient, opt_state, params)
            return (state.apply(params, updates, trained), opt_state), metrics

        # Adam moves even without a gradient, so an empty minibatch must not count.
        nothing = _zeros(jax.eval_shape(update, carry)[1])
        useful = jnp.any(experience.worth.weight[index] > 0)
        return jax.lax.cond(useful, update, lambda same: (same, nothing), carry)

    index = _minibatches(key, experience.worth.weight, config)
    (params, opt_state), metrics = jax.lax.scan(minibatch, carry, index)
    after = {"step": before.step + 1, "params": params, "opt_state": opt_state}
    return dataclasses.replace(before, **after), _averaged(metrics)


def _gradient(
    params: PyTree, index: jax.Array, loss: Loss, config: OnlineConfig
) -> tuple[PyTree, Metrics]:
    """The gradient on the chunks `index` int32 [A, S], and metrics with their weight.

    The parts' gradients are averaged one by one, so that the memory is that of one.
    """
    part = jax.grad(loss, has_aux=True)

    def add(total: PyTree, index: jax.Array) -> tuple[PyTree, Metrics]:
        gradient, metrics = part(params, index)
        return jax.tree.map(jnp.add, total, gradient), metrics

    if config.accumulation == 1:
        gradient, metrics = part(params, index[0])
    else:
        total, parts = jax.lax.scan(add, jax.tree.map(jnp.zeros_like, params), index)
        gradient = jax.tree.map(lambda leaf: leaf / config.accumulation, total)
        metrics = _averaged(parts) | {"weight": jnp.mean(parts["weight"])}
    metrics |= {"grad_norm": optax.tree.norm(gradient)}
    return gradient, metrics | diagnostics.expert_norms(gradient)


def _loss(
    params: PyTree,
    reference: PyTree | None,
    part: RolloutBatch,
    models: PolicyFns,
    config: OnlineConfig,
) -> tuple[jax.Array, Metrics]:
    """The objective on S chunks; one half without weight pulls half as hard.

    `reference`: the parameters that the divergence is measured from; None: those that
    recorded the chunks.
    """
    decision, worth = part
    merged = lora.merge(params)
    value, metrics = config.objective.loss(
        models.score(merged, decision),
        models.recorded(decision),
        worth.advantage,
        worth.weight,
        reference=None if reference is None else models.score(reference, decision),
    )
    critic = config.objective.critic
    if critic is not None and worth.value is not None and worth.target is not None:
        critical, more = ppo.value_loss(
            models.value(merged, decision),
            worth.value,
            worth.target,
            worth.weight,
            config=critic,
        )
        value, metrics = value + critical, metrics | more
    share = jnp.mean(worth.weight)
    return share * value, metrics | {"weight": share}


def _minibatches(key: jax.Array, weight: jax.Array, config: OnlineConfig) -> jax.Array:
    """Which chunks each minibatch takes, int32 [E M, A, S]; consumes `key`."""
    keys = jax.random.split(key, config.epochs)
    order = jax.vmap(lambda key: _order(key, weight))(keys)
    count = config.epochs * config.minibatches
    return order.reshape(count, config.accumulation, -1)


def _order(key: jax.Array, weight: jax.Array) -> jax.Array:
    """A random order of the chunks in which those without weight end, int32."""
    return jnp.argsort(jax.random.uniform(key, weight.shape) + (weight <= 0))


def _averaged(metrics: Metrics) -> Metrics:
    """Means over minibatches or their parts by weight, [E M] -> scalars."""
    weight = metrics["weight"]
    return {
        name: diagnostics.weighted_mean(values, weight)
        for name, values in metrics.items()
        if name != "weight"
    }


def _zeros(shapes: PyTree) -> PyTree:
    return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
