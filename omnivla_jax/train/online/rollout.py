"""What an online step learns from: episodes played by the SDE, and their worth.

    reset N states -> G copies -> T times: look, try C chunks, go on with one of them

G episodes from one start are a trajectory group: one advantage for all chunks of an
episode. C chunks tried in one state are a chunk group (paper, eq. 16): the simulator's
state is cloned, every clone plays its chunk, and one of them goes on.

Axes: N initial states, G episodes of a group, B = N G episodes, C chunks tried in a
state, T decisions of an episode, S chunks taken.
"""

import functools
from typing import Any, Callable, NamedTuple, Sequence

import jax
import jax.numpy as jnp

from omnivla_jax.core.types import ActionChunk, PyTree
from omnivla_jax.rl import groups, rollout
from omnivla_jax.train import actor, episode_stats
from omnivla_jax.train.environment import Environment, check_tasks
from omnivla_jax.train.online import advantages
from omnivla_jax.train.online.advantages import AdvantageBatch, Metrics
from omnivla_jax.train.online.config import OnlineConfig
from omnivla_jax.train.sharding import MeshSharding

# judge(env) -> the critic's value of the states it holds, float32 [B]
ValueFn = Callable[[Any], jax.Array]


class RolloutBatch(NamedTuple):
    """Recorded chunks and what each is worth; chunk i was tried in decision i // C."""

    decision: actor.ActorOutput  # T B decisions with T B C chains
    worth: AdvantageBatch


def collect(
    act: actor.Act,
    make_value_fn: ValueFn,
    key: jax.Array,
    environment: Environment,
    tasks: Sequence[int],
    *,
    config: OnlineConfig,
    placement: MeshSharding,
) -> tuple[RolloutBatch, Metrics]:
    """Play B episodes and weigh what `act` tried in them; consumes `key`."""
    reset_key, play_key = jax.random.split(key)
    env = placement.batch(start(environment, tasks, reset_key, config))
    progress, record = rollout.rollout(
        act,
        functools.partial(_try, environment, config=config, placement=placement),
        actor.start(environment, env, config.rewards),
        play_key,
        num_chunks=config.chunks,
    )
    critic = config.objective.critic
    if critic is None:
        found, metrics = advantages.group_relative(progress, record, config)
    else:
        last = make_value_fn(progress.env)
        found, metrics = advantages.critic_gae(progress, record, last, config, critic)
    decision = record.observation._replace(played=record.mask > 0)
    experience = RolloutBatch(_flat(decision), found)
    return experience, _episode_metrics(environment, progress, config) | metrics


def take(experience: RolloutBatch, index: jax.Array, *, branches: int) -> RolloutBatch:
    """The chunks `index` int32 [S], each with a decision of its own."""
    (seen, state, chain, value, played), (advantage, weight, *critic) = experience
    own = jax.tree.map(lambda leaf: leaf[index], (chain, played, advantage, weight))
    shared = jax.tree.map(
        lambda leaf: leaf[index // branches], (seen, state, value, critic)
    )
    (chain, played, advantage, weight), (seen, state, value, critic) = own, shared
    decision = actor.ActorOutput(seen, state, chain, value, played)
    return RolloutBatch(decision, AdvantageBatch(advantage, weight, *critic))


def start(
    environment: Environment,
    tasks: Sequence[int],
    key: jax.Array,
    config: OnlineConfig,
) -> Any:
    """N fresh initial states, G copies of each; consumes `key`.

    Tasks take turns, from a random one on, so that each gets its share. Raises
    ValueError on one that the simulator does not hold.
    """
    check_tasks(environment, tasks)
    offset_key, reset_key = jax.random.split(key)
    offset = jax.random.randint(offset_key, (), 0, len(tasks))
    turns = (jnp.arange(config.groups) + offset) % len(tasks)
    task = jnp.asarray(tasks, jnp.int32)[turns]
    env = environment.reset(task, jax.random.split(reset_key, config.groups))
    return groups.repeat(env, config.group_size)


def _try(
    environment: Environment,
    progress: actor.Progress,
    chunks: ActionChunk,
    *,
    config: OnlineConfig,
    placement: MeshSharding,
) -> tuple[actor.Progress, jax.Array, jax.Array]:
    """Play C chunks from clones of every state, [B C, H, D], and keep the first clone.

    Their noise is independent, so that the first is as random a choice as any. Returns
    the progress [B], the chunks' returns float32 [B C] and masks float32 [B C, H].
    """
    clones = placement.batch(groups.repeat(progress, config.branches))
    after, mask, terms = actor.play(environment, clones, chunks)
    reward = actor.chunk_return(terms, config.rewards, discount=config.discount)
    return jax.tree.map(lambda leaf: leaf[:: config.branches], after), reward, mask


def _episode_metrics(
    environment: Environment, progress: actor.Progress, config: OnlineConfig
) -> Metrics:
    env, terms = progress.env, episode_stats.values(progress.tally)
    faults = environment.faults(env)
    return {
        "success": jnp.mean(env.success.astype(jnp.float32)),
        "reward": jnp.mean(episode_stats.worth(terms, config.rewards)),
        "episode_steps": jnp.mean(progress.tally.steps),
        "diverged": jnp.sum(env.diverged.astype(jnp.float32)),
        **{name: jnp.sum(n, dtype=jnp.float32) for name, n in faults.items()},
        **episode_stats.metrics(terms),
    }


def _flat(tree: PyTree) -> PyTree:
    """[T, B, ...] -> [T B, ...]."""

    def joined(leaf: jax.Array) -> jax.Array:
        steps, batch, *rest = leaf.shape
        return leaf.reshape(steps * batch, *rest)  # a leaf may be empty

    return jax.tree.map(joined, tree)
