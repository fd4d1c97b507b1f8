"""Where the time of one online update goes, measured piece by piece.

The fused step cannot be timed from within, so its pieces are compiled on their own:
physics, rendering, policy (prefix and exploration) and update. Their sum is a little
more than the fused step, which overlaps and fuses across them.
Axes: B episodes, C chunks tried in a state, T chunks of an episode.
"""

import functools
import time
from typing import Any, Callable, Sequence

import jax
import jax.numpy as jnp

from omnivla_jax.core import compile as compilation
from omnivla_jax.policy import lora
from omnivla_jax.policy.config import PolicyConfig
from omnivla_jax.policy.heads.base import Sampler
from omnivla_jax.rl import groups
from omnivla_jax.train.agent import ActorOutput
from omnivla_jax.train.environment import Environment
from omnivla_jax.train.online.advantages import AdvantageBatch
from omnivla_jax.train.online.config import OnlineConfig
from omnivla_jax.train.online.rollout import RolloutBatch, reset_groups
from omnivla_jax.train.online.step import make_agent
from omnivla_jax.train.online.update import update_epochs
from omnivla_jax.train.sharding import SINGLE_DEVICE
from omnivla_jax.train.state import TrainState

ACTION_SCALE = 0.3  # of the random actions: the arm moves, and keeps its distance


def profile_update(
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
    """Time the pieces of an update.

    Each piece runs `calls` times after a first call that compiles; the fastest counts.

    Args:
      state: the training state.
      key: consumed.
      environment, tasks, policy_config, sampler, config: as of `step.make_step`.
      calls: of each piece.

    Returns:
      Seconds per update of "physics", "rendering", "policy" and "update".
    """
    reset_key, act_key, update_key = jax.random.split(key, 3)
    agent = make_agent(environment, policy_config, sampler, state.normalizer, config)
    jit = functools.partial(compilation.jit, fused=environment.supports_fusion)
    fastest = functools.partial(_fastest, calls=calls)

    reset = jit(lambda key: reset_groups(environment, tasks, key, config))
    executed = sampler.exec_horizon or policy_config.horizon
    steps = config.decisions * executed
    random_episode = jit(functools.partial(_random_episode, environment, steps=steps))
    observe = jit(agent.observe)
    explore = compilation.jit(
        lambda params, *given: agent.explore(
            lora.merge(params), *given, num_branches=config.num_branches
        )[0],
        fused=True,
    )
    update = compilation.jit(
        functools.partial(
            update_epochs, agent=agent, config=config, mesh_sharding=SINGLE_DEVICE
        ),
        fused=True,
    )
    env_state = reset(reset_key)
    observation = observe(env_state)
    output = explore(state.params, env_state, observation, act_key)
    batch = _whole_batch(output, config, executed)
    exploring = fastest(explore, state.params, env_state, observation, act_key)
    return {
        "physics": fastest(reset, reset_key)
        + fastest(
            random_episode, groups.repeat(env_state, config.num_branches), act_key
        ),
        "rendering": config.decisions * fastest(observe, env_state),
        "policy": config.decisions * exploring,
        "update": fastest(update, state, update_key, batch),
    }


def _whole_batch(
    output: ActorOutput, config: OnlineConfig, executed: int
) -> RolloutBatch:
    """One decision of every episode, T times over, all counting as successes."""
    output = jax.tree.map(
        lambda leaf: jnp.tile(leaf, (config.decisions,) + (1,) * (leaf.ndim - 1)),
        output,
    )
    advantage = jnp.where(jnp.arange(config.total) % 2 == 0, 1.0, -1.0)
    return RolloutBatch(
        output._replace(executed_mask=jnp.ones((config.total, executed), bool)),
        AdvantageBatch(
            advantage,
            jnp.ones(config.total),
            output.value,
            output.value,
            jnp.zeros(config.total, jnp.int32),
        ),
        jnp.ones(config.total, bool),
    )


def _random_episode(
    environment: Environment, env_state: Any, key: jax.Array, *, steps: int
) -> Any:
    """The states after `steps` small random actions; consumes `key`."""
    shape = (env_state.task.shape[0], len(environment.first_action))

    def control_step(env_state: Any, key: jax.Array) -> tuple[Any, None]:
        action = ACTION_SCALE * jax.random.normal(key, shape)
        return environment.step(env_state, action)[0], None

    return jax.lax.scan(control_step, env_state, jax.random.split(key, steps))[0]


def _fastest(function: Callable[..., Any], *arguments: Any, calls: int) -> float:
    jax.block_until_ready(function(*arguments))
    best = float("inf")
    for _ in range(calls):
        begin = time.perf_counter()
        jax.block_until_ready(function(*arguments))
        best = min(best, time.perf_counter() - begin)
    return best
