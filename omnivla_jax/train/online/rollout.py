"""Episodes of an online step, explored by the agent, and their advantages.

    reset N states -> G copies -> T times: observe, try C chunks, go on with one of them

G episodes from one start are a trajectory group: one advantage for all chunks of an
episode. C chunks tried in one state are a chunk group (paper, eq. 16): the simulator's
state is cloned, every clone executes its chunk, and one of them continues. In a tree,
states are cloned anew at the start of every segment.

Axes: N initial states, G episodes of a group, B = N G episodes, C chunks tried in a
state (branches), T decisions of an episode, S chunks of a minibatch, D shards of a
batch, each on a device of its own.
"""

import math
from typing import Any, NamedTuple, Sequence

import jax
import jax.numpy as jnp

from omnivla_jax.core.types import ActionChunk, PyTree, Transition
from omnivla_jax.rl import curriculum, groups
from omnivla_jax.rl import rollout as chunk_scan
from omnivla_jax.train.agent import ActorOutput, Agent
from omnivla_jax.train.environment import Environment, check_tasks, is_running
from omnivla_jax.train.episode_stats import (
    RolloutState,
    chunk_return,
    execute_chunk,
    init_rollout,
    mean_terms,
    weighted_reward,
)
from omnivla_jax.train.online.advantages import AdvantageBatch, Rollout, succeeded
from omnivla_jax.train.online.config import OnlineConfig
from omnivla_jax.train.online.objectives import Metrics
from omnivla_jax.train.sharding import MeshSharding


class RolloutBatch(NamedTuple):
    """Recorded chunks and their advantages, shard by shard.

    Within a shard chunk i was tried in decision i // C.
    """

    output: ActorOutput  # D T B/D decisions with D T B/D C chunks
    advantages: AdvantageBatch
    succeeded: jax.Array | None = None  # bool, of chunks of successful episodes


def collect(
    agent: Agent,
    params: PyTree,
    key: jax.Array,
    environment: Environment,
    tasks: Sequence[int],
    *,
    config: OnlineConfig,
    mesh_sharding: MeshSharding,
    task_success: jax.Array | None = None,
    severity: jax.Array | None = None,
) -> tuple[RolloutBatch, Metrics, jax.Array | None]:
    """Play B episodes and compute the advantages of their chunks; consumes `key`.

    Args:
      agent, params: the policy, with its adapters merged.
      environment, tasks: the simulator, and the task ids that take turns.
      config, mesh_sharding: of stage III.
      task_success: float32 [M], remembered success of `tasks`; None: none is.
      severity: float32 [], of an environment that draws perturbations.

    Returns:
      The batch that the update learns from, scalar metrics of the episodes, and what is
      remembered after them.
    """
    reset_key, act_key = jax.random.split(key)
    env_state = mesh_sharding.constrain_batch(
        reset_groups(environment, tasks, reset_key, config, task_success, severity)
    )
    final, segments = _roll_out(
        agent, params, act_key, environment, env_state, config, mesh_sharding
    )
    terms, env_state = mean_terms(environment, final.sums), final.env_state
    critic = config.objective.has_critic
    rollout = Rollout(
        returns=weighted_reward(terms, config.reward_weights),
        success=env_state.success,
        is_running=is_running(env_state),
        segments=segments,
        last_value=agent.value_of(params, env_state) if critic else None,
    )
    advantages, metrics = config.objective.advantages(rollout, config)
    metrics |= _episode_metrics(environment, final, rollout.returns)
    # Those of clones, too; what episodes of a tree share counts once.
    steps = [jnp.sum(part.mask) for part in segments]
    metrics["simulated_steps"] = sum(steps[1:], start=steps[0])
    if task_success is not None:
        is_task = env_state.task[:, None] == jnp.asarray(tasks, jnp.int32)  # [B, M]
        task_success = curriculum.remember(
            task_success,
            jnp.argmax(is_task, axis=1),
            env_state.success,
            decay=config.task_memory,
        )
        metrics["remembered_success"] = jnp.mean(task_success)
    imitable = succeeded(rollout, num_branches=config.num_branches)
    batch = _batch(segments, advantages, imitable, mesh_sharding)
    return batch, metrics, task_success


def _roll_out(
    agent: Agent,
    params: PyTree,
    key: jax.Array,
    environment: Environment,
    env_state: Any,
    config: OnlineConfig,
    mesh_sharding: MeshSharding,
) -> tuple[RolloutState, tuple[Transition, ...]]:
    """Finished episodes, and the transitions of each segment; consumes `key`."""
    branches, weights = config.num_branches, config.reward_weights

    def step_branches(
        rollout: RolloutState, actions: ActionChunk
    ) -> tuple[RolloutState, jax.Array, jax.Array]:
        """Execute C chunks from clones of every state and go on with the first.

        Their noise is independent, so that the first is a random choice.
        """
        clones = mesh_sharding.constrain_batch(groups.repeat(rollout, branches))
        clones, mask, terms = execute_chunk(environment, clones, actions)
        reward = chunk_return(environment, terms, weights, discount=config.discount)
        return jax.tree.map(lambda leaf: leaf[::branches], clones), reward, mask

    final = init_rollout(environment, env_state, weights)
    segments, later = [], config.branching[1:]
    keys = jax.random.split(key, len(config.branching)) if later else [key]
    for segment_key, clones in zip(keys, (1, *later)):
        final, transitions = chunk_scan.rollout(
            lambda state, key: agent.act(
                params, state.env_state, key, num_branches=branches
            ),
            step_branches,
            mesh_sharding.constrain_batch(groups.repeat(final, clones)),
            segment_key,
            num_chunks=config.chunks // len(config.branching),
        )
        segments.append(transitions)
    return final, tuple(segments)


def _batch(
    segments: Sequence[Transition],
    advantages: AdvantageBatch,
    imitable: Sequence[jax.Array],
    mesh_sharding: MeshSharding,
) -> RolloutBatch:
    """What all segments recorded, shard by shard.

    `advantages` [T B C], segment by segment; `imitable` bool [T, B C] of each.
    """
    parts, begin = [], 0
    for transitions, is_imitable in zip(segments, imitable):
        shape = transitions.mask.shape[:2]
        end = begin + math.prod(shape)
        part = jax.tree.map(lambda leaf: leaf[begin:end].reshape(shape), advantages)
        output = transitions.extras._replace(executed_mask=transitions.mask > 0)
        parts.append(RolloutBatch(output, part, is_imitable))
        begin = end
    return _by_shard(parts, mesh_sharding.num_shards)


def reset_groups(
    environment: Environment,
    tasks: Sequence[int],
    key: jax.Array,
    config: OnlineConfig,
    task_success: jax.Array | None = None,
    severity: jax.Array | None = None,
) -> Any:
    """N fresh initial states, G copies of each, fewer in a tree; consumes `key`.

    Tasks take turns, from a random one on, so that each gets its share, or are drawn by
    their remembered success.

    Args:
      environment: the simulator.
      tasks: its task ids that episodes are played of.
      key: consumed.
      config: N and G.
      task_success: float32 [M], remembered success of `tasks`; None: they take turns.
      severity: of an environment that draws perturbations; None: the largest.

    Returns:
      N G states, or those that a tree starts with, those of a group side by side.

    Raises:
      ValueError: a task that the simulator does not hold.
    """
    check_tasks(environment, tasks)
    offset_key, reset_key = jax.random.split(key)
    if task_success is None:
        offset = jax.random.randint(offset_key, (), 0, len(tasks))
        turns = (jnp.arange(config.groups) + offset) % len(tasks)
    else:
        turns = curriculum.allocate(offset_key, task_success, count=config.groups)
    task = jnp.asarray(tasks, jnp.int32)[turns]
    starts = jax.random.split(reset_key, config.groups)
    if environment.starts is not None:
        limit = jnp.ones(()) if severity is None else severity
        starts = environment.starts(starts, limit)
    env_state = environment.reset(task, starts)
    return groups.repeat(env_state, config.branching[0])


def gather_minibatch(
    batch: RolloutBatch, index: jax.Array, *, num_branches: int
) -> RolloutBatch:
    """Some chunks of a shard, each with a decision of its own.

    Args:
      batch: decisions, and chunks of them.
      index: int32 [1, S], of the chunks.
      num_branches: chunks of a decision.

    Returns:
      S chunks and S decisions.
    """
    index = index[0]
    output, advantages, succeeded = batch
    of_chunks = (
        output.trace,
        output.executed_mask,
        output.chunk,
        advantages.advantage,
        advantages.weight,
        advantages.group,
        succeeded,
    )
    of_decisions = (
        output.observation_ref,
        output.proprio,
        output.value,
        (advantages.value, advantages.target),
    )
    trace, mask, chunk, advantage, weight, group, succeeded = jax.tree.map(
        lambda leaf: leaf[index], of_chunks
    )
    observation_ref, proprio, value, (old_value, target) = jax.tree.map(
        lambda leaf: leaf[index // num_branches], of_decisions
    )
    return RolloutBatch(
        ActorOutput(observation_ref, proprio, trace, value, mask, chunk),
        AdvantageBatch(advantage, weight, old_value, target, group),
        succeeded,
    )


def _episode_metrics(
    environment: Environment, final: RolloutState, returns: jax.Array
) -> Metrics:
    """Means over the episodes, and counts of what the simulator could not do."""
    env_state, terms = final.env_state, mean_terms(environment, final.sums)
    counts = environment.diagnostics(env_state) | {"diverged": env_state.diverged}
    means = {f"reward_{name}": value for name, value in terms.items()} | {
        "success": env_state.success.astype(jnp.float32),
        "reward": returns,
        "episode_steps": final.sums.steps,
    }
    return {name: jnp.mean(value) for name, value in means.items()} | {
        name: jnp.sum(count, dtype=jnp.float32) for name, count in counts.items()
    }


def _by_shard(parts: Sequence[PyTree], num_shards: int) -> PyTree:
    """Segments [T, B, ...] as one [D T B/D ...], which needs no other device's rows."""

    def shards(leaf: jax.Array) -> jax.Array:
        steps, batch, *rest = leaf.shape
        size = batch // num_shards  # -1 cannot stand for it where a leaf is empty
        split = leaf.reshape(steps, num_shards, size, *rest)
        return split.swapaxes(0, 1).reshape(num_shards, steps * size, *rest)

    def join(*leaves: jax.Array) -> jax.Array:
        joined = jnp.concatenate([shards(leaf) for leaf in leaves], axis=1)
        return joined.reshape(math.prod(joined.shape[:2]), *joined.shape[2:])

    return jax.tree.map(join, *parts)
