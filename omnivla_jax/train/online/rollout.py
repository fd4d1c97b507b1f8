"""Episodes of an online step, explored by the agent, and their advantages.

    reset N states -> G copies -> T times: observe, try C chunks, go on with one of them

G episodes from one start are a trajectory group: one advantage for all chunks of an
episode. C chunks tried in one state are a chunk group (paper, eq. 16): the simulator's
state is cloned, every clone executes its chunk, and one of them goes on.

Axes: N initial states, G episodes of a group, B = N G episodes, C chunks tried in a
state (branches), T decisions of an episode, S chunks of a minibatch, D shards of a
batch, each on a device of its own.
"""

from typing import Any, NamedTuple, Sequence

import jax
import jax.numpy as jnp

from omnivla_jax.core.types import ActionChunk, PyTree
from omnivla_jax.rl import groups
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
from omnivla_jax.train.online.advantages import AdvantageBatch, Rollout
from omnivla_jax.train.online.config import OnlineConfig
from omnivla_jax.train.online.objectives import Metrics
from omnivla_jax.train.sharding import MeshSharding


class RolloutBatch(NamedTuple):
    """Recorded chunks and their advantages, shard by shard.

    Within a shard chunk i was tried in decision i // C.
    """

    output: ActorOutput  # D T B/D decisions with D T B/D C chunks
    advantages: AdvantageBatch


def collect(
    agent: Agent,
    params: PyTree,
    key: jax.Array,
    environment: Environment,
    tasks: Sequence[int],
    *,
    config: OnlineConfig,
    mesh_sharding: MeshSharding,
    severity: jax.Array | None = None,
) -> tuple[RolloutBatch, Metrics]:
    """Play B episodes and compute the advantages of their chunks; consumes `key`.

    Args:
      agent, params: the policy, with its adapters merged.
      environment, tasks: the simulator, and the task ids that take turns.
      config, mesh_sharding: of stage III.
      severity: float32 [], of an environment that draws perturbations.

    Returns:
      The batch that the update learns from, and scalar metrics of the episodes.
    """
    reset_key, act_key = jax.random.split(key)
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

    env_state = mesh_sharding.constrain_batch(
        reset_groups(environment, tasks, reset_key, config, severity)
    )
    final, transitions = chunk_scan.rollout(
        lambda state, key: agent.act(
            params, state.env_state, key, num_branches=branches
        ),
        step_branches,
        init_rollout(environment, env_state, weights),
        act_key,
        num_chunks=config.chunks,
    )
    terms, env_state = mean_terms(environment, final.sums), final.env_state
    critic = config.objective.has_critic
    rollout = Rollout(
        returns=weighted_reward(terms, weights),
        success=env_state.success,
        is_running=is_running(env_state),
        transitions=transitions,
        last_value=agent.value_of(params, env_state) if critic else None,
    )
    advantages, metrics = config.objective.advantages(rollout, config)
    output = transitions.extras._replace(executed_mask=transitions.mask > 0)
    metrics |= _episode_metrics(environment, final, rollout.returns)
    by_time = jax.tree.map(lambda leaf: leaf.reshape(config.chunks, -1), advantages)
    batch = RolloutBatch(output, by_time)
    return _by_shard(batch, mesh_sharding.num_shards), metrics


def reset_groups(
    environment: Environment,
    tasks: Sequence[int],
    key: jax.Array,
    config: OnlineConfig,
    severity: jax.Array | None = None,
) -> Any:
    """N fresh initial states, G copies of each; consumes `key`.

    Tasks take turns, from a random one on, so that each gets its share.

    Args:
      environment: the simulator.
      tasks: its task ids that episodes are played of.
      key: consumed.
      config: N and G.
      severity: of an environment that draws perturbations; None: the largest.

    Returns:
      N G states, those of a group side by side.

    Raises:
      ValueError: a task that the simulator does not hold.
    """
    check_tasks(environment, tasks)
    offset_key, reset_key = jax.random.split(key)
    offset = jax.random.randint(offset_key, (), 0, len(tasks))
    turns = (jnp.arange(config.groups) + offset) % len(tasks)
    task = jnp.asarray(tasks, jnp.int32)[turns]
    starts = jax.random.split(reset_key, config.groups)
    if environment.starts is not None:
        limit = jnp.ones(()) if severity is None else severity
        starts = environment.starts(starts, limit)
    env_state = environment.reset(task, starts)
    return groups.repeat(env_state, config.group_size)


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
    output, advantages = batch
    of_chunks = (
        output.trace,
        output.executed_mask,
        advantages.advantage,
        advantages.weight,
    )
    of_decisions = (
        output.observation_ref,
        output.proprio,
        output.value,
        (advantages.value, advantages.target),
    )
    trace, mask, advantage, weight = jax.tree.map(lambda leaf: leaf[index], of_chunks)
    observation_ref, proprio, value, critic = jax.tree.map(
        lambda leaf: leaf[index // num_branches], of_decisions
    )
    return RolloutBatch(
        ActorOutput(observation_ref, proprio, trace, value, mask),
        AdvantageBatch(advantage, weight, *critic),
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


def _by_shard(tree: PyTree, num_shards: int) -> PyTree:
    """[T, B, ...] -> [D T B/D, ...], which needs no other device's rows."""

    def flatten(leaf: jax.Array) -> jax.Array:
        steps, batch, *rest = leaf.shape
        shards = leaf.reshape(steps, num_shards, batch // num_shards, *rest)
        return shards.swapaxes(0, 1).reshape(steps * batch, *rest)

    return jax.tree.map(flatten, tree)
