"""Where the time of one online update goes, measured piece by piece.

The fused step cannot be timed from within, so its pieces are compiled on their own:
physics, rendering, policy (prefix and chain) and update. Their sum is a little more
than the fused step, which overlaps and fuses across them.
Axes: B episodes, C chunks tried in a state, T chunks of an episode.
"""

import functools
import time
from typing import Any, Callable, Sequence

import jax
import jax.numpy as jnp

from omnivla_jax.core import compile as compilation
from omnivla_jax.core.types import Observation, PyTree
from omnivla_jax.policy.config import PolicyConfig
from omnivla_jax.policy.normalize import Normalizer
from omnivla_jax.policy.policy import Sampler
from omnivla_jax.rl import groups
from omnivla_jax.train import actor, online
from omnivla_jax.train.environment import Environment
from omnivla_jax.train.observation_store import ObservationStore
from omnivla_jax.train.online import rollout as online_rollout
from omnivla_jax.train.online import update as learn
from omnivla_jax.train.online.advantages import AdvantageBatch
from omnivla_jax.train.online.config import OnlineConfig
from omnivla_jax.train.online.rollout import RolloutBatch
from omnivla_jax.train.sharding import single_device
from omnivla_jax.train.state import TrainState

ACTION_SCALE = 0.3  # of the random actions: the arm moves, and keeps its distance


def time_split(
    state: TrainState,
    key: jax.Array,
    *,
    environment: Environment,
    tasks: Sequence[int],
    policy_config: PolicyConfig,
    sampler: Sampler,
    config: OnlineConfig,
    calls: int = 2,
) -> dict[str, float]:
    """Seconds per update of "physics", "rendering", "policy" and "update".

    Each piece runs `calls` times after a first call that compiles; the fastest counts.
    The key is consumed.
    """
    reset_key, act_key, learn_key = jax.random.split(key, 3)
    reset = compilation.jit(
        lambda key: online_rollout.start(environment, tasks, key, config),
        fused=environment.fused,
    )
    seconds = functools.partial(_fastest, calls=calls)
    env = reset(reset_key)
    settling = seconds(reset, reset_key)
    stepping = seconds(_physics(environment, config, sampler), env, act_key)
    observer = _observer(environment, state.normalizer, policy_config)
    rendering, seen = seconds(observer, env), observer(env)
    storage = online.storage(environment, state.normalizer, policy_config, config)
    act = _policy(policy_config, sampler, storage, config.branches)
    acting = seconds(act, state.params, env, seen, act_key)
    decision = act(state.params, env, seen, act_key)
    models = online.models(state, environment, policy_config, sampler, config)
    learner = _learner(models, config)
    experience = _experience(decision, config)
    return {
        "physics": settling + stepping,
        "rendering": config.chunks * rendering,
        "policy": config.chunks * acting,
        "update": seconds(learner, state, learn_key, experience),
    }


def _physics(
    environment: Environment, config: OnlineConfig, sampler: Sampler
) -> Callable[[Any, jax.Array], Any]:
    """A whole episode of small random actions, in every branch."""

    def play(env: Any, key: jax.Array) -> Any:
        env = groups.repeat(env, config.branches)
        batch = env.task.shape[0]
        steps = config.chunks * (sampler.exec_horizon or 1)

        def control(env: Any, key: jax.Array) -> tuple[Any, None]:
            action = ACTION_SCALE * jax.random.normal(key, (batch, 7))
            return environment.step(env, action)[0], None

        return jax.lax.scan(control, env, jax.random.split(key, steps))[0]

    return compilation.jit(play, fused=environment.fused)


def _observer(
    environment: Environment, normalizer: Normalizer, config: PolicyConfig
) -> Callable[[Any], Observation]:
    look = functools.partial(actor.look, environment, normalizer, config=config)
    return compilation.jit(look, fused=environment.fused)


def _policy(
    policy_config: PolicyConfig,
    sampler: Sampler,
    storage: ObservationStore,
    branches: int,
) -> Callable[[PyTree, Any, Observation, jax.Array], actor.ActorOutput]:
    """Prefix and chains of one decision of every episode."""
    decide = functools.partial(
        actor.decide,
        config=policy_config,
        sampler=sampler,
        storage=storage,
        branches=branches,
    )
    return compilation.jit(lambda *given: decide(*given)[0], fused=True)


def _learner(
    models: learn.PolicyFns, config: OnlineConfig
) -> Callable[[TrainState, jax.Array, RolloutBatch], Any]:
    update = functools.partial(
        learn.learn,
        models=models,
        config=config,
        placement=single_device(),
    )
    return compilation.jit(update, fused=True)


def _experience(decision: actor.ActorOutput, config: OnlineConfig) -> RolloutBatch:
    """One decision of every episode, T times over, all of them counting."""
    tiled = jax.tree.map(
        lambda leaf: jnp.tile(leaf, (config.chunks,) + (1,) * (leaf.ndim - 1)), decision
    )
    advantage = jnp.where(jnp.arange(config.total) % 2 == 0, 1.0, -1.0)
    worth = AdvantageBatch(advantage, jnp.ones(config.total), tiled.value, tiled.value)
    return RolloutBatch(tiled, worth)


def _fastest(function: Callable[..., Any], *arguments: Any, calls: int) -> float:
    jax.block_until_ready(function(*arguments))
    best = float("inf")
    for _ in range(calls):
        start = time.perf_counter()
        jax.block_until_ready(function(*arguments))
        best = min(best, time.perf_counter() - start)
    return best
