"""Tests of train.online.advantages: by hand, for groups and for a critic."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from omnivla_jax.core.types import Transition
from omnivla_jax.train.online import advantages, objectives
from omnivla_jax.train.online.config import OnlineConfig
from omnivla_jax.train.state import OptimizerConfig
from tests.helpers import chains

CONFIG = OnlineConfig(
    optimizer=OptimizerConfig(learning_rate=1e-3),
    objective=objectives.make("gspo", ratio_normalizer=1),
    reward_weights={"success": 1.0},
    updates=1,
    groups=2,
    group_size=2,
    chunks=2,
    minibatches=1,
)
ACTIONS = 3


def episodes(success, reward, mask, value=None, last_value=None):
    """Episodes [B] that ended so, after chunks [T, B C] of these rewards and masks."""
    done = jnp.array(success)
    mask = jnp.repeat(jnp.array(mask, jnp.float32)[..., None], ACTIONS, axis=-1)
    output = chains.outputs(jax.random.key(0), 1)
    if value is not None:
        output = output._replace(value=jnp.array(value))
    transitions = Transition(output, None, jnp.array(reward, jnp.float32), mask)
    returns = done.astype(jnp.float32)
    return advantages.Rollout(returns, done, ~done, (transitions,), last_value)


def test_running_chunks_share_their_episodes_advantage():
    """The second group agrees; the first one's success ends after one chunk."""
    rollout = episodes(
        [True, False, False, False], jnp.zeros((2, 4)), [[1, 1, 1, 1], [0, 1, 1, 1]]
    )
    found, metrics = CONFIG.objective.advantages(rollout, CONFIG)
    np.testing.assert_allclose(
        (found.advantage * found.weight).reshape(2, 4), [[1, -1, 0, 0], [0, -1, 0, 0]]
    )
    np.testing.assert_array_equal(
        found.weight.reshape(2, 4), [[1, 1, 0, 0], [0, 1, 0, 0]]
    )
    assert metrics["zero_variance_fraction"] == 0.5
    assert metrics["filtered_fraction"] == 0 and found.value is None
    np.testing.assert_array_equal(found.group, [0, 0, 1, 1] * 2)


def test_segments_of_a_tree_share_their_leaves_advantages():
    """Of 4 leaves below 2 nodes the first succeeds; its segment ends early."""
    rollout = episodes([True, False, False, False], jnp.zeros((1, 4)), [[0, 1, 1, 1]])
    first = Transition(None, None, jnp.zeros((1, 2)), jnp.ones((1, 2, ACTIONS)))
    rollout = rollout._replace(segments=(first, *rollout.segments))
    config = dataclasses.replace(CONFIG, groups=1, group_size=4, tree=(2, 2))
    assert config.total == 2 + 4
    found, _ = CONFIG.objective.advantages(rollout, config)
    good, bad = np.sqrt(3), -1 / np.sqrt(3)
    expected = [(good + bad) / 2, bad, 0, bad, bad, bad]
    np.testing.assert_allclose(found.advantage * found.weight, expected, rtol=1e-5)
    np.testing.assert_array_equal(found.weight, [1, 1, 0, 1, 1, 1])


def test_successes_are_those_of_whole_subtrees():
    rollout = episodes([True, True, True, False], jnp.zeros((1, 4)), [[0, 1, 1, 1]])
    first = Transition(None, None, jnp.zeros((1, 2)), jnp.ones((1, 2, ACTIONS)))
    rollout = rollout._replace(segments=(first, *rollout.segments))
    found = advantages.succeeded(rollout, num_branches=1)
    np.testing.assert_array_equal(found[0], [[1, 0]])
    np.testing.assert_array_equal(found[1], [[0, 1, 1, 0]])


def test_too_easy_or_hard_groups_weigh_nothing():
    success = [True, True, True, False, True, False, False, False]
    rollout = episodes(success, jnp.zeros((2, 8)), np.ones((2, 8)))
    config = dataclasses.replace(CONFIG, group_size=4, success_rate_filter=(0.5, 1.0))
    found, metrics = CONFIG.objective.advantages(rollout, config)
    weight = np.asarray(found.weight).reshape(2, 2, 4)
    np.testing.assert_array_equal(weight[:, 0], 1.0)
    np.testing.assert_array_equal(weight[:, 1], 0.0)
    assert metrics["filtered_fraction"] == 0.5
    assert metrics["zero_variance_fraction"] == 0


def test_both_kinds_of_group_together():
    """Only the first branch is part of its episode; the other has its chunk alone."""
    rollout = episodes([True, False], [[0.0, 1.0, 0.5, 0.5]], np.ones((1, 4)))
    config = dataclasses.replace(
        CONFIG, groups=1, num_branches=2, chunk_advantage_weight=0.25, chunks=1
    )
    found, metrics = CONFIG.objective.advantages(rollout, config)
    own, part = 0.75, 0.25
    wanted = [own * 1 - part * 1, part * 1, own * -1, 0]
    np.testing.assert_allclose(found.advantage, wanted, atol=1e-6)
    np.testing.assert_array_equal(found.weight, [1, 1, 1, 0])
    assert metrics["zero_variance_fraction"] == 0
    assert metrics["zero_variance_fraction_chunks"] == 0.5


def test_chunk_groups_alone_have_no_filter():
    config = dataclasses.replace(
        CONFIG, groups=1, num_branches=2, chunk_advantage_weight=1.0
    )
    rollout = episodes([False, False], jnp.eye(2, 4), np.ones((2, 4)))
    _, metrics = CONFIG.objective.advantages(rollout, config)
    assert set(metrics) == {"zero_variance_fraction_chunks"}


GAMMA, LAMBDA = 0.9, 0.5
VALUES = np.array([[0.3, 0.2, 0.1], [0.4, 0.6, 0.5]], np.float32)
LAST = np.array([9.0, 9.0, 0.7], np.float32)  # of ended episodes nobody may ask


@pytest.fixture(scope="module")
def criticised():
    """Success in the first chunk, success in the last one, and out of time."""
    objective = objectives.make("ppo", gamma=GAMMA, gae_lambda=LAMBDA)
    rollout = episodes(
        [True, True, False],
        [[1, 0, 0], [0, 1, 0]],
        [[1, 1, 1], [0, 1, 1]],
        VALUES,
        jnp.asarray(LAST),
    )
    config = dataclasses.replace(CONFIG, objective=objective)
    found, _ = objective.advantages(rollout, config)
    return found


def test_critics_bootstrap_at_timeouts_only(criticised):
    """The last episode's last difference holds gamma V of where it stopped."""
    late = np.array([0.0, 1.0 - 0.6, GAMMA * 0.7 - 0.5])
    early = np.array([1.0 - 0.3, GAMMA * 0.6 - 0.2, GAMMA * 0.5 - 0.1])
    early[1:] += GAMMA * LAMBDA * late[1:]
    wanted = np.stack([early, late]) + VALUES
    wanted[1, 0] = 0.0  # it had ended
    np.testing.assert_allclose(criticised.target.reshape(2, 3), wanted, atol=1e-6)
    np.testing.assert_array_equal(criticised.value.reshape(2, 3), VALUES)


def test_a_critics_advantages_are_normalised_over_what_ran(criticised):
    ran = np.array([1, 1, 1, 0, 1, 1], bool)
    np.testing.assert_array_equal(criticised.weight, ran)
    advantage = np.asarray(criticised.advantage)[ran]
    np.testing.assert_allclose(advantage.mean(), 0.0, atol=1e-6)
    np.testing.assert_allclose(advantage.std(), 1.0, atol=1e-5)


def test_leaving_one_out_by_hand():
    """Of successes 1, 0, 0, 1 each is compared with the mean of the other three."""
    objective = objectives.make("rloo")
    config = dataclasses.replace(CONFIG, groups=1, group_size=4, chunks=1)
    rollout = episodes([True, False, False, True], jnp.zeros((1, 4)), np.ones((1, 4)))
    found, metrics = objective.advantages(rollout, config)
    expected = [2 / 3, -2 / 3, -2 / 3, 2 / 3]
    np.testing.assert_allclose(found.advantage, expected, rtol=1e-6)
    assert metrics["zero_variance_fraction"] == 0


def test_settings_of_another_objective_are_named():
    with pytest.raises(ValueError, match="'gspo' has no settings gae_lambda"):
        objectives.make("gspo", gae_lambda=0.9)
    with pytest.raises(ValueError, match="gspo, grpo, nft, rloo, ppo"):
        objectives.make("sac")
