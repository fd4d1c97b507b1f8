"""Stage III: Flow-GSPO, from rollout to optimizer update in one compiled function.

    reset N states -> G copies -> T chunks of episodes -> returns -> advantages
    -> E epochs of M minibatches of the clipped objective -> new parameters

Axes: N initial states, G episodes of a group, B = N G environments, T chunks of an
episode, C = T B chunks in all, S chunks of a minibatch.
"""

import dataclasses
import functools
from dataclasses import dataclass
from typing import Any, Callable, NamedTuple, Sequence

import jax
import jax.numpy as jnp
import optax

from omnivla_jax.core import compile as compilation
from omnivla_jax.core.types import ChainScore, PyTree
from omnivla_jax.flow import log_prob
from omnivla_jax.policy import adaptation
from omnivla_jax.policy.config import PolicyConfig
from omnivla_jax.policy.policy import Sampler
from omnivla_jax.rl import diagnostics, groups, gspo, rollout
from omnivla_jax.train import agent, state, streams
from omnivla_jax.train.environment import Environment
from omnivla_jax.train.state import OptimizerConfig, TrainState

Metrics = dict[str, jax.Array]


@dataclass(frozen=True)
class OnlineConfig:
    """How stage III collects and learns."""

    optimizer: OptimizerConfig
    objective: gspo.GspoConfig
    updates: int
    groups: int  # N, a multiple of the number of tasks for equal shares
    chunks: int  # T
    group_size: int = 8  # G
    epochs: int = 1
    minibatches: int = 4
    alignment_weight: float = 0.1  # of the dense term in an episode's return
    std_floor: float = 0.05  # smallest deviation that advantages are divided by
    scope: str = "experts:action"

    def __post_init__(self) -> None:
        total = self.chunks * self.groups * self.group_size
        if total % self.minibatches:
            raise ValueError(
                f"{self.chunks} chunks of {self.groups} x {self.group_size} episodes "
                f"make {total}, which minibatches={self.minibatches} does not divide."
            )


class Experience(NamedTuple):
    """Recorded chunks and what each is worth."""

    decision: agent.Decision  # [C, ...]
    advantage: jax.Array  # float32 [C]
    weight: jax.Array  # float32 [C]: 0 where the episode or its group says nothing


def objective(
    policy_config: PolicyConfig, sampler: Sampler, **settings: float
) -> gspo.GspoConfig:
    """The objective whose |A| is what `sampler` executes and `policy` counts."""
    horizon = sampler.exec_horizon or policy_config.horizon
    steps = sampler.steps if sampler.stochastic_steps == "all" else 1
    length = gspo.chunk_length(horizon=horizon, steps=steps)
    return gspo.GspoConfig(length=length, **settings)


def create(before: TrainState, config: OnlineConfig) -> TrainState:
    """Stage III at step 0, from what stage II handed on."""
    key = streams.stream(before.seed, "adapters")
    params = adaptation.prepare(state.evaluated(before), key, scope=config.scope)
    optimizer = _optimizer(params, config)
    return state.create(params, before.normalizer, optimizer, seed=before.seed)


def make_step(
    environment: Environment,
    tasks: Sequence[int],
    *,
    policy_config: PolicyConfig,
    sampler: Sampler,
    config: OnlineConfig,
) -> jax.stages.Wrapped:
    """Compiled `step(state, key) -> (state, metrics)`; the state is donated.

    The step's randomness is `fold_in(key, state.step)`: pass the same key every time.
    """
    score = functools.partial(agent.score, config=policy_config, sampler=sampler)

    def step(state: TrainState, key: jax.Array) -> tuple[TrainState, Metrics]:
        play_key, learn_key = jax.random.split(jax.random.fold_in(key, state.step))
        experience, played = collect(
            state, play_key, environment, tasks, policy_config, sampler, config
        )
        after, learned = learn(state, learn_key, experience, score, sampler, config)
        return after, played | learned

    return compilation.jit(step, donate_argnames=("state",))


def collect(
    before: TrainState,
    key: jax.Array,
    environment: Environment,
    tasks: Sequence[int],
    policy_config: PolicyConfig,
    sampler: Sampler,
    config: OnlineConfig,
) -> tuple[Experience, Metrics]:
    """Play B episodes and weigh their chunks; consumes `key`."""
    reset_key, play_key = jax.random.split(key)
    act = agent.explorer(
        adaptation.merge(before.params),
        before.normalizer,
        environment,
        config=policy_config,
        sampler=sampler,
        keep_observation=config.scope != "experts:action",
    )
    progress, record = rollout.rollout(
        act,
        functools.partial(agent.play, environment),
        agent.start(start(environment, tasks, reset_key, config)),
        play_key,
        num_chunks=config.chunks,
    )
    returns = episode_returns(progress, config.alignment_weight)
    worth = groups.group_advantages(
        returns, group_size=config.group_size, std_floor=config.std_floor
    )
    experience = Experience(
        decision=_flat(record.observation),
        advantage=jnp.tile(worth.advantages, config.chunks),
        weight=(record.mask * worth.weights).reshape(-1),
    )
    return experience, _episode_metrics(progress, returns, worth)


def start(
    environment: Environment,
    tasks: Sequence[int],
    key: jax.Array,
    config: OnlineConfig,
) -> Any:
    """N fresh initial states, G copies of each; consumes `key`.

    Tasks take turns, from a random one on, so that each gets its share.
    """
    offset_key, reset_key = jax.random.split(key)
    offset = jax.random.randint(offset_key, (), 0, len(tasks))
    turns = (jnp.arange(config.groups) + offset) % len(tasks)
    task = jnp.asarray(tasks, jnp.int32)[turns]
    env = environment.reset(task, jax.random.split(reset_key, config.groups))
    return groups.repeat(env, config.group_size)


def episode_returns(progress: agent.Progress, alignment_weight: float) -> jax.Array:
    """Success plus the weighted mean alignment over the running steps, float32 [B]."""
    aligned = progress.alignment / jnp.maximum(progress.steps, 1.0)
    return progress.env.success.astype(jnp.float32) + alignment_weight * aligned


def learn(
    before: TrainState,
    key: jax.Array,
    experience: Experience,
    score: Callable[[PyTree, agent.Decision], ChainScore],
    sampler: Sampler,
    config: OnlineConfig,
) -> tuple[TrainState, Metrics]:
    """E epochs of M minibatches; consumes `key`. Metrics are means by weight.

    Chunks with weight come first in every epoch, and minibatches without any are
    skipped: frozen episodes cost neither gradient nor time.
    """
    trained = adaptation.trainable_mask(before.params, config.scope)
    optimizer = state.make_optimizer(config.optimizer, trained)
    carry = (before.params, before.opt_state)

    def minibatch(carry: PyTree, index: jax.Array) -> tuple[PyTree, Metrics]:
        part = jax.tree.map(lambda leaf: leaf[index], experience)

        def update(carry: PyTree) -> tuple[PyTree, Metrics]:
            params, opt_state = carry
            gradient, metrics = _gradient(params, part, score, sampler, config)
            updates, opt_state = optimizer.update(gradient, opt_state, params)
            return (state.apply(params, updates, trained), opt_state), metrics

        # Adam moves even without a gradient, so an empty minibatch must not count.
        nothing = _zeros(jax.eval_shape(update, carry)[1])
        useful = jnp.any(part.weight > 0)
        return jax.lax.cond(useful, update, lambda same: (same, nothing), carry)

    index = _minibatches(key, experience.weight, config)
    (params, opt_state), metrics = jax.lax.scan(minibatch, carry, index)
    after = dataclasses.replace(
        before, step=before.step + 1, params=params, opt_state=opt_state
    )
    return after, _averaged(metrics)


def _gradient(
    params: PyTree,
    part: Experience,
    score: Callable[[PyTree, agent.Decision], ChainScore],
    sampler: Sampler,
    config: OnlineConfig,
) -> tuple[PyTree, Metrics]:
    """The objective's gradient on S chunks, and its metrics with their weight."""
    chain = agent.turned(part.decision.chain)
    old = log_prob.recorded_log_prob(chain, mask=_counted(chain, sampler))
    share = jnp.mean(part.weight)

    def loss(params: PyTree) -> tuple[jax.Array, Metrics]:
        new = score(adaptation.merge(params), part.decision)
        value, metrics = gspo.loss(
            new, old, part.advantage, part.weight, config=config.objective
        )
        return share * value, metrics  # a half-empty minibatch pulls half as hard

    gradient, metrics = jax.grad(loss, has_aux=True)(params)
    return gradient, metrics | {"grad_norm": optax.tree.norm(gradient), "weight": share}


def _counted(chain: Any, sampler: Sampler) -> jax.Array:
    """Which entries of a chunk are executed, bool [H, D]."""
    horizon, dim = chain.means.shape[-2:]
    executed = jnp.arange(horizon) < (sampler.exec_horizon or horizon)
    return jnp.broadcast_to(executed[:, None], (horizon, dim))


def _minibatches(key: jax.Array, weight: jax.Array, config: OnlineConfig) -> jax.Array:
    """Which chunks each minibatch takes, int32 [E M, S]; consumes `key`."""
    keys = jax.random.split(key, config.epochs)
    order = jax.vmap(lambda key: _order(key, weight))(keys)
    return order.reshape(config.epochs * config.minibatches, -1)


def _order(key: jax.Array, weight: jax.Array) -> jax.Array:
    """A random order of the chunks, int32 [C], in which those without weight end."""
    return jnp.argsort(jax.random.uniform(key, weight.shape) + (weight <= 0))


def _averaged(metrics: Metrics) -> Metrics:
    """Means over minibatches by their weight, [E M] -> scalars."""
    weight = metrics["weight"]
    return {
        name: diagnostics.weighted_mean(values, weight)
        for name, values in metrics.items()
        if name != "weight"
    }


def _episode_metrics(
    progress: agent.Progress, returns: jax.Array, worth: groups.GroupAdvantages
) -> Metrics:
    env = progress.env
    return {
        "success": jnp.mean(env.success.astype(jnp.float32)),
        "reward": jnp.mean(returns),
        "episode_steps": jnp.mean(progress.steps),
        "diverged": jnp.sum(env.diverged.astype(jnp.float32)),
        **diagnostics.group_metrics(worth.zero_variance),
    }


def _flat(tree: PyTree) -> PyTree:
    """[T, B, ...] -> [C, ...]."""
    return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), tree)


def _zeros(shapes: PyTree) -> PyTree:
    return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)


def _optimizer(params: PyTree, config: OnlineConfig) -> optax.GradientTransformation:
    trained = adaptation.trainable_mask(params, config.scope)
    return state.make_optimizer(config.optimizer, trained)
