"""Where the time of one online update goes, measured piece by piece.

The fused step cannot be timed from within, so its pieces are compiled on their own:
physics, rendering, policy (prefix and chain) and update. Their sum is a little more
than the fused step, which overlaps and fuses across them.
Axes: B environments, T chunks, E executed actions of a chunk, C = T B chunks.
"""

import functools
import time
from typing import Any, Callable, Sequence

import jax
import jax.numpy as jnp

from omnivla_jax.core import compile as compilation
from omnivla_jax.core.types import Observation, PyTree
from omnivla_jax.flow import sde
from omnivla_jax.policy import policy
from omnivla_jax.policy.config import PolicyConfig
from omnivla_jax.policy.policy import Sampler
from omnivla_jax.train import agent, online
from omnivla_jax.train.environment import Environment
from omnivla_jax.train.online import OnlineConfig
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
        lambda key: online.start(environment, tasks, key, config)
    )
    seconds = functools.partial(_fastest, calls=calls)
    env = reset(reset_key)
    settling = seconds(reset, reset_key)
    stepping = seconds(_physics(environment, config, sampler), env, act_key)
    observer = _observer(environment)
    rendering, seen = seconds(observer, env), observer(env)
    act = _policy(policy_config, sampler)
    acting = seconds(act, state.params, seen, act_key)
    decision = act(state.params, seen, act_key)
    learn = _learner(policy_config, sampler, config)
    experience = _experience(decision, config)
    return {
        "physics": settling + stepping,
        "rendering": config.chunks * rendering,
        "policy": config.chunks * acting,
        "update": seconds(learn, state, learn_key, experience),
    }


def _physics(
    environment: Environment, config: OnlineConfig, sampler: Sampler
) -> Callable[[Any, jax.Array], Any]:
    """A whole episode of small random actions."""

    def play(env: Any, key: jax.Array) -> Any:
        batch = config.groups * config.group_size
        steps = config.chunks * (sampler.exec_horizon or 1)

        def control(env: Any, key: jax.Array) -> tuple[Any, None]:
            action = ACTION_SCALE * jax.random.normal(key, (batch, 7))
            return environment.step(env, action)[0], None

        return jax.lax.scan(control, env, jax.random.split(key, steps))[0]

    return compilation.jit(play)


def _observer(environment: Environment) -> Callable[[Any], Observation]:
    return compilation.jit(lambda env: environment.observe(env, env.task))


def _policy(
    policy_config: PolicyConfig, sampler: Sampler
) -> Callable[[PyTree, Observation, jax.Array], agent.Decision]:
    """Prefix and chain of one chunk for every environment."""

    def act(params: PyTree, seen: Observation, key: jax.Array) -> agent.Decision:
        cache = policy.encode_prefix(params, seen, config=policy_config)
        chain = policy.sample_chain(
            params, cache, seen.state, key, config=policy_config, sampler=sampler
        )
        if sampler.stochastic_steps == "one":
            chain = sde.stochastic_only(chain)
        return agent.Decision(cache, seen.state, agent.turned(chain))

    return compilation.jit(act)


def _learner(
    policy_config: PolicyConfig, sampler: Sampler, config: OnlineConfig
) -> Callable[[TrainState, jax.Array, online.Experience], Any]:
    score = functools.partial(agent.score, config=policy_config, sampler=sampler)

    def learn(
        state: TrainState, key: jax.Array, experience: online.Experience
    ) -> Any:
        return online.learn(state, key, experience, score, sampler, config)

    return compilation.jit(learn)


def _experience(decision: agent.Decision, config: OnlineConfig) -> online.Experience:
    """One chunk of every environment, T times over, all of them counting."""
    tiled = jax.tree.map(
        lambda leaf: jnp.tile(leaf, (config.chunks,) + (1,) * (leaf.ndim - 1)), decision
    )
    count = tiled.state.shape[0]
    advantage = jnp.where(jnp.arange(count) % 2 == 0, 1.0, -1.0)
    return online.Experience(tiled, advantage, jnp.ones(count))


def _fastest(function: Callable[..., Any], *arguments: Any, calls: int) -> float:
    jax.block_until_ready(function(*arguments))
    best = float("inf")
    for _ in range(calls):
        start = time.perf_counter()
        jax.block_until_ready(function(*arguments))
        best = min(best, time.perf_counter() - start)
    return best
