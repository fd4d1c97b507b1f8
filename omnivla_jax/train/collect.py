"""What an online step learns from: episodes played by the SDE, and their worth.

    reset N states -> G copies -> T times: look, try C chunks, go on with one of them

G episodes from one start are a trajectory group: one advantage for all chunks of an
episode. C chunks tried in one state are a chunk group (paper, eq. 16): the simulator's
state is cloned, every clone plays its chunk, and one of them goes on. With G = 1 or
C = 1 only the other kind says anything; with both, the advantages are added.

Axes: N initial states, G episodes of a group, B = N G episodes, C chunks tried in a
state, T decisions of an episode, S chunks taken.
"""

import functools
from typing import Any, NamedTuple, Sequence

import jax
import jax.numpy as jnp

from omnivla_jax.core.types import ActionChunk, PyTree
from omnivla_jax.rl import diagnostics, groups, rollout
from omnivla_jax.train import agent, tally
from omnivla_jax.train.environment import Environment
from omnivla_jax.train.online_config import OnlineConfig
from omnivla_jax.train.placement import Placement

Metrics = dict[str, jax.Array]


class Experience(NamedTuple):
    """Recorded chunks and what each is worth; chunk i was tried in decision i // C."""

    decision: agent.Decision  # T B decisions with T B C chains
    advantage: jax.Array  # float32 [T B C]
    weight: jax.Array  # float32 [T B C]: 0 where an episode or its groups say nothing


def collect(
    act: agent.Act,
    key: jax.Array,
    environment: Environment,
    tasks: Sequence[int],
    *,
    config: OnlineConfig,
    placement: Placement,
) -> tuple[Experience, Metrics]:
    """Play B episodes and weigh what `act` tried in them; consumes `key`."""
    reset_key, play_key = jax.random.split(key)
    env = placement.batch(start(environment, tasks, reset_key, config))
    progress, record = rollout.rollout(
        act,
        functools.partial(_try, environment, config=config, placement=placement),
        agent.start(environment, env, config.rewards),
        play_key,
        num_chunks=config.chunks,
    )
    terms = tally.values(progress.tally)
    returns = tally.worth(terms, config.rewards)
    episodes = groups.group_advantages(
        returns, group_size=config.group_size, std_floor=config.std_floor
    )
    chunks = groups.group_advantages(
        record.reward.reshape(-1),
        group_size=config.branches,
        std_floor=config.std_floor,
    )
    advantage, weight = _combined(episodes, chunks, record.mask, config)
    experience = Experience(_flat(record.observation), advantage, weight)
    return experience, {
        **_episode_metrics(progress, returns),
        **tally.metrics(terms),
        **_group_metrics(episodes, chunks, record.mask, config),
    }


def take(experience: Experience, index: jax.Array, *, branches: int) -> Experience:
    """The chunks `index` int32 [S], each with a decision of its own."""
    (seen, state, chain), *worth = experience
    chain, worth = jax.tree.map(lambda leaf: leaf[index], (chain, worth))
    where = index // branches
    seen, state = jax.tree.map(lambda leaf: leaf[where], (seen, state))
    return Experience(agent.Decision(seen, state, chain), *worth)


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


def _try(
    environment: Environment,
    progress: agent.Progress,
    chunks: ActionChunk,
    *,
    config: OnlineConfig,
    placement: Placement,
) -> tuple[agent.Progress, jax.Array, jax.Array]:
    """Play C chunks from clones of every state, [B C, H, D], and keep the first clone.

    Their noise is independent, so that the first is as random a choice as any. Returns
    the progress [B], and the chunks' returns and masks, float32 [B C].
    """
    clones = placement.batch(groups.repeat(progress, config.branches))
    after, mask, terms = agent.play(environment, clones, chunks)
    reward = agent.chunk_return(terms, config.rewards, discount=config.discount)
    return jax.tree.map(lambda leaf: leaf[:: config.branches], after), reward, mask


def _combined(
    episodes: groups.GroupAdvantages,
    chunks: groups.GroupAdvantages,
    mask: jax.Array,
    config: OnlineConfig,
) -> tuple[jax.Array, jax.Array]:
    """Advantage and weight of every chunk, float32 [T B C]; mask [T, B C].

    Only the branch that went on is part of its episode.
    """
    went_on = jnp.arange(config.branches) == 0  # [C]

    def spread(values: jax.Array) -> jax.Array:  # [B] -> [T B C]
        own = jnp.where(went_on, values[:, None], 0.0).reshape(-1)
        return jnp.tile(own, config.chunks)

    advantage = spread(episodes.advantages) + chunks.advantages
    weight = jnp.maximum(spread(episodes.weights), chunks.weights)
    return advantage, mask.reshape(-1) * weight


def _episode_metrics(progress: agent.Progress, returns: jax.Array) -> Metrics:
    env = progress.env
    return {
        "success": jnp.mean(env.success.astype(jnp.float32)),
        "reward": jnp.mean(returns),
        "episode_steps": jnp.mean(progress.tally.steps),
        "diverged": jnp.sum(env.diverged.astype(jnp.float32)),
    }


def _group_metrics(
    episodes: groups.GroupAdvantages,
    chunks: groups.GroupAdvantages,
    mask: jax.Array,
    config: OnlineConfig,
) -> Metrics:
    """Which share of the groups says nothing, for the kinds that were formed."""
    metrics: Metrics = {}
    if config.group_size > 1 or config.branches == 1:
        metrics |= diagnostics.group_metrics(episodes.zero_variance)
    if config.branches > 1:
        ran = mask.reshape(-1, config.branches)[:, 0]
        dead = chunks.zero_variance.astype(jnp.float32)
        metrics["zero_variance_chunks"] = diagnostics.weighted_mean(dead, ran)
    return metrics


def _flat(tree: PyTree) -> PyTree:
    """[T, B, ...] -> [T B, ...]."""
    return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), tree)
