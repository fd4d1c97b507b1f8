"""Tests of train.online.rollout: shared starts, branches, and what is taken."""

import dataclasses

import chex
import jax
import jax.numpy as jnp
import numpy as np

from omnivla_jax.rl import gspo
from omnivla_jax.train import actor
from omnivla_jax.train.online import objectives
from omnivla_jax.train.online import rollout as online_rollout
from omnivla_jax.train.online.config import OnlineConfig
from omnivla_jax.train.sharding import single_device
from omnivla_jax.train.state import OptimizerConfig
from tests.helpers import chains, reaching
from tests.train.online.step_test import POLICY

TASKS = (0, 1, 2)
CONFIG = OnlineConfig(
    optimizer=OptimizerConfig(learning_rate=1e-3),
    objective=objectives.flow_gspo(gspo.GspoConfig(length=1)),
    rewards={"success": 1.0, "alignment": 0.5},
    updates=1,
    groups=3,
    group_size=1,
    branches=4,
    chunk_share=1.0,
    chunks=2,
    minibatches=1,
)
ACTIONS = 2


def walking(directions):
    """An agent that tries these directions [C, 2] in every state."""

    def act(progress, key):
        batch = len(progress.env.task)
        one = jnp.pad(directions, ((0, 0), (0, 5)))[:, None]
        chunks = jnp.tile(jnp.broadcast_to(one, (len(one), ACTIONS, 7)), (batch, 1, 1))
        return chains.decisions(key, batch, len(directions)), chunks

    return act


def collected(directions, config=CONFIG, **changes):
    run = jax.jit(
        lambda key: online_rollout.collect(
            walking(directions),
            lambda env: jnp.zeros(len(env.task)),
            key,
            reaching.make(POLICY)._replace(**changes),
            TASKS,
            config=config,
            placement=single_device(),
        )
    )
    return run(jax.random.key(0))


def test_groups_share_their_start_and_tasks_take_turns():
    config = dataclasses.replace(CONFIG, groups=6, group_size=8)
    env = online_rollout.start(reaching.make(POLICY), TASKS, jax.random.key(1), config)
    positions = np.asarray(env.position).reshape(6, 8, 2)
    assert (positions == positions[:, :1]).all()
    assert len(np.unique(positions[:, 0], axis=0)) == 6
    tasks = np.asarray(env.task).reshape(6, 8)[:, 0]
    assert sorted(tasks) == [0, 0, 1, 1, 2, 2]


def test_clones_that_act_alike_are_alike():
    """Bit by bit: no clone is worth more than another, and no group says anything."""
    experience, metrics = collected(jnp.tile(jnp.array([[0.3, 0.7]]), (4, 1)))
    np.testing.assert_array_equal(experience.worth.weight, 0.0)
    assert metrics["zero_variance_fraction_chunks"] == 1.0


def test_the_branch_towards_the_goal_is_worth_most():
    directions = jnp.array([[1.0, 0], [-1.0, 0], [0, 1.0], [0, -1.0]])
    experience, metrics = collected(directions)
    advantage = np.asarray(experience.worth.advantage).reshape(2, 3, 4)
    best = advantage[0].argmax(axis=-1)  # of the first decision, in every episode
    # Goals are to the right, to the left and up; the tasks' turns start at random.
    assert sorted(best) == [0, 1, 2]
    np.testing.assert_allclose(advantage.sum(axis=-1), 0.0, atol=1e-5)
    assert metrics["zero_variance_fraction_chunks"] == 0.0


def test_the_first_branch_goes_on():
    """Walking right for two chunks reaches the goal at the right, whatever else."""
    config = dataclasses.replace(CONFIG, chunks=3)
    directions = jnp.array([[1.0, 0], [-1.0, 0], [-1.0, 0], [-1.0, 0]])
    _, metrics = collected(directions, config)
    np.testing.assert_allclose(metrics["success"], 1 / 3, atol=1e-6)


def test_actions_behind_an_episodes_end_are_marked():
    config = dataclasses.replace(CONFIG, chunks=3)
    experience, metrics = collected(jnp.tile(jnp.array([[1.0, 0]]), (4, 1)), config)
    played = np.asarray(experience.decision.played).reshape(3, 3, 4, ACTIONS)
    episodes = played[:, :, 0].swapaxes(0, 1).reshape(3, -1)  # of the first branch
    steps = episodes.sum(axis=-1)
    assert sorted(steps)[0] < 6 and sorted(steps)[1:] == [6, 6], "one reaches its goal"
    np.testing.assert_array_equal(episodes, np.arange(6) < steps[:, None])
    np.testing.assert_allclose(metrics["episode_steps"], steps.mean())


def test_what_the_simulator_could_not_do_is_a_metric():
    _, metrics = collected(
        jnp.tile(jnp.array([[1.0, 0.0]]), (4, 1)),
        faults=lambda env: {"lost": jnp.where(env.position[:, 0] > 0, 2, 0)},
    )
    assert metrics["lost"] == 2 * CONFIG.groups


def test_taking_finds_the_decision_of_every_chunk():
    decision = chains.decisions(jax.random.key(0), 3, branches=2)
    number = jnp.arange(6.0)
    worth = online_rollout.AdvantageBatch(
        number, number, decision.value, decision.value
    )
    index = jnp.array([5, 0, 3])
    experience = online_rollout.RolloutBatch(decision, worth)
    taken = online_rollout.take(experience, index, branches=2)
    np.testing.assert_array_equal(taken.decision.seen, [2, 0, 1])
    np.testing.assert_array_equal(taken.worth.target, [2, 0, 1])
    np.testing.assert_array_equal(taken.worth.advantage, index)
    whole = jax.tree.map(lambda leaf: leaf[index], decision.chain)
    chex.assert_trees_all_equal(taken.decision.chain, whole)


def test_chunk_returns_by_hand():
    terms = {"success": jnp.array([[0.0], [1.0]]), "alignment": jnp.full((2, 1), 0.5)}
    scales = {"success": 2.0, "alignment": 0.1}
    found = actor.chunk_return(terms, scales, discount=0.9)
    np.testing.assert_allclose(found, [2 * 0.9 + 0.1 * (0.5 + 0.9 * 0.5) / 2])
