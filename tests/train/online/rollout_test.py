"""Tests of train.online.rollout: shared starts, branches, and what is taken."""

import dataclasses

import chex
import jax
import jax.numpy as jnp
import numpy as np

from omnivla_jax.train import episode_stats
from omnivla_jax.train.agent import Agent
from omnivla_jax.train.online import objectives
from omnivla_jax.train.online import rollout as online_rollout
from omnivla_jax.train.online.advantages import AdvantageBatch
from omnivla_jax.train.online.config import OnlineConfig
from omnivla_jax.train.sharding import SINGLE_DEVICE
from omnivla_jax.train.state import OptimizerConfig
from tests.helpers import chains, reaching
from tests.train.online.step_test import POLICY

TASKS = (0, 1, 2)
CONFIG = OnlineConfig(
    optimizer=OptimizerConfig(learning_rate=1e-3),
    objective=objectives.make("gspo", ratio_normalizer=1),
    reward_weights={"success": 1.0, "alignment": 0.5},
    updates=1,
    groups=3,
    group_size=1,
    num_branches=4,
    chunk_advantage_weight=1.0,
    chunks=2,
    minibatches=1,
)
ACTIONS = 2


class WalkingAgent(Agent):
    """An agent whose parameters are the directions [C, 2] that it tries everywhere."""

    def __init__(self):
        pass

    def act(self, params, env_state, key, *, num_branches=1):
        assert num_branches == len(params)
        batch = len(env_state.task)
        one = jnp.pad(params, ((0, 0), (0, 5)))[:, None]
        chunks = jnp.tile(jnp.broadcast_to(one, (len(one), ACTIONS, 7)), (batch, 1, 1))
        return chains.outputs(key, batch, num_branches), chunks


def collected(directions, config=CONFIG, task_success=None, **changes):
    run = jax.jit(
        lambda key: online_rollout.collect(
            WalkingAgent(),
            directions,
            key,
            reaching.make(POLICY)._replace(**changes),
            TASKS,
            config=config,
            mesh_sharding=SINGLE_DEVICE,
            task_success=task_success,
        )
    )
    batch, metrics, remembered = run(jax.random.key(0))
    assert (remembered is None) == (task_success is None)
    return (batch, metrics) if remembered is None else (batch, metrics, remembered)


def test_groups_share_their_start_and_tasks_take_turns():
    config = dataclasses.replace(CONFIG, groups=6, group_size=8)
    env = online_rollout.reset_groups(
        reaching.make(POLICY), TASKS, jax.random.key(1), config
    )
    positions = np.asarray(env.position).reshape(6, 8, 2)
    assert (positions == positions[:, :1]).all()
    assert len(np.unique(positions[:, 0], axis=0)) == 6
    tasks = np.asarray(env.task).reshape(6, 8)[:, 0]
    assert sorted(tasks) == [0, 0, 1, 1, 2, 2]


def test_clones_that_act_alike_are_alike():
    """Bit by bit: no clone has an advantage, and no group has a weight."""
    batch, metrics = collected(jnp.tile(jnp.array([[0.3, 0.7]]), (4, 1)))
    np.testing.assert_array_equal(batch.advantages.weight, 0.0)
    assert metrics["zero_variance_fraction_chunks"] == 1.0


def test_the_goalward_branch_has_the_largest_advantage():
    directions = jnp.array([[1.0, 0], [-1.0, 0], [0, 1.0], [0, -1.0]])
    batch, metrics = collected(directions)
    advantage = np.asarray(batch.advantages.advantage).reshape(2, 3, 4)
    best = advantage[0].argmax(axis=-1)  # of the first decision, in every episode
    # Goals are to the right, to the left and up; the tasks' turns start at random.
    assert sorted(best) == [0, 1, 2]
    np.testing.assert_allclose(advantage.sum(axis=-1), 0.0, atol=1e-5)
    assert metrics["zero_variance_fraction_chunks"] == 0.0


def test_uncertain_tasks_are_played_and_remembered():
    """Walking right for two chunks solves task 0, the goal at the right, alone."""
    config = dataclasses.replace(CONFIG, chunks=3, task_memory=0.5, groups=8)
    _, metrics, after = collected(
        jnp.tile(jnp.array([[1.0, 0]]), (4, 1)), config, jnp.array([1.0, 0.5, 0.0])
    )
    solved = np.asarray(metrics["success"]) * 8
    assert 1 <= solved <= 2, "its share is .0475 of .345, that is 1.1 of 8"
    np.testing.assert_allclose(after, [1.0, 0.25, 0.0])
    np.testing.assert_allclose(metrics["remembered_success"], 1.25 / 3, rtol=1e-6)


def test_a_tree_plays_what_its_leaves_share_once():
    """Two groups of 4: 2 first segments, each followed by 2 second ones."""
    config = dataclasses.replace(
        CONFIG,
        groups=2,
        group_size=4,
        num_branches=1,
        chunk_advantage_weight=0.0,
        chunks=2,
        tree=(2, 2),
        minibatches=1,
    )
    batch, metrics = collected(jnp.array([[1.0, 0.0]]), config)
    assert config.total == 2 * (2 + 4) == len(batch.advantages.advantage)
    played = np.asarray(batch.output.executed_mask)
    assert played.shape == (12, ACTIONS) and metrics["simulated_steps"] == played.sum()
    longest = 2 * ACTIONS  # of an episode that shares its first half with another one
    assert metrics["episode_steps"] <= longest
    assert batch.output.proprio.shape[0] == 12


def test_the_first_branch_goes_on():
    """Walking right for two chunks reaches the goal at the right, whatever else."""
    config = dataclasses.replace(CONFIG, chunks=3)
    directions = jnp.array([[1.0, 0], [-1.0, 0], [-1.0, 0], [-1.0, 0]])
    _, metrics = collected(directions, config)
    np.testing.assert_allclose(metrics["success"], 1 / 3, atol=1e-6)


def test_actions_behind_an_episodes_end_are_marked():
    config = dataclasses.replace(CONFIG, chunks=3)
    batch, metrics = collected(jnp.tile(jnp.array([[1.0, 0]]), (4, 1)), config)
    played = np.asarray(batch.output.executed_mask).reshape(3, 3, 4, ACTIONS)
    episodes = played[:, :, 0].swapaxes(0, 1).reshape(3, -1)  # of the first branch
    steps = episodes.sum(axis=-1)
    assert sorted(steps)[0] < 6 and sorted(steps)[1:] == [6, 6], "one reaches its goal"
    np.testing.assert_array_equal(episodes, np.arange(6) < steps[:, None])
    np.testing.assert_allclose(metrics["episode_steps"], steps.mean())
    assert metrics["simulated_steps"] == played.sum() > steps.sum(), "clones count"


def test_simulator_diagnostics_are_metrics():
    _, metrics = collected(
        jnp.tile(jnp.array([[1.0, 0.0]]), (4, 1)),
        diagnostics=lambda env: {"lost": jnp.where(env.position[:, 0] > 0, 2, 0)},
    )
    assert metrics["lost"] == 2 * CONFIG.groups


def test_taking_finds_the_decision_of_every_chunk():
    output = chains.outputs(jax.random.key(0), 3, branches=2)
    number = jnp.arange(6.0)
    critic = (output.value, output.value)
    advantages = AdvantageBatch(number, number, *critic, group=number)
    index = jnp.array([[5, 0, 3]])
    batch = online_rollout.RolloutBatch(output, advantages)
    taken = online_rollout.gather_minibatch(batch, index, num_branches=2)
    np.testing.assert_array_equal(taken.output.observation_ref, [2, 0, 1])
    np.testing.assert_array_equal(taken.advantages.target, [2, 0, 1])
    np.testing.assert_array_equal(taken.advantages.advantage, index[0])
    np.testing.assert_array_equal(taken.advantages.group, index[0])
    whole = jax.tree.map(lambda leaf: leaf[index[0]], output.trace)
    chex.assert_trees_all_equal(taken.output.trace, whole)


def test_a_shard_holds_all_decisions_of_its_episodes():
    number = jnp.arange(12).reshape(3, 4)  # [T, B]
    np.testing.assert_array_equal(
        online_rollout._by_shard([number], 2), [0, 1, 4, 5, 8, 9, 2, 3, 6, 7, 10, 11]
    )
    np.testing.assert_array_equal(online_rollout._by_shard([number], 1), range(12))


def test_chunk_returns_by_hand():
    terms = {"success": jnp.array([[0.0], [1.0]]), "alignment": jnp.full((2, 1), 0.5)}
    weights = {"success": 2.0, "alignment": 0.1}
    environment = reaching.make(POLICY)
    found = episode_stats.chunk_return(environment, terms, weights, discount=0.9)
    np.testing.assert_allclose(found, [2 * 0.9 + 0.1 * (0.5 + 0.9 * 0.5) / 2])
