"""Tests of train.online.advantages: by hand, for groups and for a critic."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from omnivla_jax.core.types import Transition
from omnivla_jax.rl import gspo, ppo
from omnivla_jax.train import actor
from omnivla_jax.train.episode_stats import RewardSums
from omnivla_jax.train.online import advantages, objectives
from omnivla_jax.train.online.config import OnlineConfig
from omnivla_jax.train.state import OptimizerConfig
from tests.helpers import chains, reaching

CONFIG = OnlineConfig(
    optimizer=OptimizerConfig(learning_rate=1e-3),
    objective=objectives.flow_gspo(gspo.GspoConfig(length=1)),
    rewards={"success": 1.0},
    updates=1,
    groups=2,
    group_size=2,
    chunks=2,
    minibatches=1,
)
ACTIONS = 3


def finished(success, steps):
    """Episodes [B] that ended so; no episode diverged."""
    done = jnp.array(success)
    batch = len(success)
    env = reaching.Point(
        jnp.zeros((batch, 2)), jnp.zeros(batch, int), done, jnp.zeros(batch, bool)
    )
    sums = {"success": done.astype(jnp.float32)}
    return actor.Progress(
        env, RewardSums(sums, jnp.array(steps, float), jnp.zeros((1, 7)))
    )


def record(reward, ran, value=None):
    """Chunks [T, B]: their rewards, and whether the episode ran when they began."""
    mask = jnp.repeat(jnp.array(ran, jnp.float32)[..., None], ACTIONS, axis=-1)
    decision = chains.decisions(jax.random.key(0), 1)
    if value is not None:
        decision = decision._replace(value=jnp.array(value))
    return Transition(decision, None, jnp.array(reward, jnp.float32), mask)


def test_an_episodes_advantage_is_that_of_all_its_running_chunks():
    """The second group agrees; the first one's success ends after one chunk."""
    progress = finished([True, False, False, False], [3, 6, 6, 6])
    found, metrics = advantages.group_relative(
        progress, record(jnp.zeros((2, 4)), [[1, 1, 1, 1], [0, 1, 1, 1]]), CONFIG
    )
    np.testing.assert_allclose(
        (found.advantage * found.weight).reshape(2, 4), [[1, -1, 0, 0], [0, -1, 0, 0]]
    )
    np.testing.assert_array_equal(
        found.weight.reshape(2, 4), [[1, 1, 0, 0], [0, 1, 0, 0]]
    )
    assert metrics["zero_variance_fraction"] == 0.5
    assert metrics["filtered_fraction"] == 0 and found.value is None


def test_groups_that_are_too_easy_or_too_hard_weigh_nothing():
    progress = finished([True, True, True, False, True, False, False, False], [6] * 8)
    config = dataclasses.replace(CONFIG, group_size=4, keep_between=(0.5, 1.0))
    found, metrics = advantages.group_relative(
        progress, record(jnp.zeros((2, 8)), np.ones((2, 8))), config
    )
    weight = np.asarray(found.weight).reshape(2, 2, 4)
    np.testing.assert_array_equal(weight[:, 0], 1.0)
    np.testing.assert_array_equal(weight[:, 1], 0.0)
    assert metrics["filtered_fraction"] == 0.5
    assert metrics["zero_variance_fraction"] == 0


def test_both_kinds_of_group_together():
    """Only the first branch is part of its episode; the other has its chunk alone."""
    progress = finished([True, False], [6, 6])
    config = dataclasses.replace(
        CONFIG, groups=1, branches=2, chunk_share=0.25, chunks=1
    )
    found, metrics = advantages.group_relative(
        progress, record([[0.0, 1.0, 0.5, 0.5]], np.ones((1, 4))), config
    )
    own, part = 0.75, 0.25
    wanted = [own * 1 - part * 1, part * 1, own * -1, 0]
    np.testing.assert_allclose(found.advantage, wanted, atol=1e-6)
    np.testing.assert_array_equal(found.weight, [1, 1, 1, 0])
    assert metrics["zero_variance_fraction"] == 0
    assert metrics["zero_variance_fraction_chunks"] == 0.5


def test_chunk_groups_alone_have_no_filter():
    config = dataclasses.replace(CONFIG, groups=1, branches=2, chunk_share=1.0)
    progress = finished([False, False], [6, 6])
    _, metrics = advantages.group_relative(
        progress, record(jnp.eye(2, 4), np.ones((2, 4))), config
    )
    assert set(metrics) == {"zero_variance_fraction_chunks"}


GAMMA, LAMBDA = 0.9, 0.5
VALUES = np.array([[0.3, 0.2, 0.1], [0.4, 0.6, 0.5]], np.float32)
LAST = np.array([9.0, 9.0, 0.7], np.float32)  # of ended episodes nobody may ask


@pytest.fixture(scope="module")
def criticised():
    """Success in the first chunk, success in the last one, and out of time."""
    critic = ppo.PpoConfig(gamma=GAMMA, gae_lambda=LAMBDA)
    found, _ = advantages.critic_gae(
        finished([True, True, False], [3, 6, 6]),
        record([[1, 0, 0], [0, 1, 0]], [[1, 1, 1], [0, 1, 1]], VALUES),
        jnp.asarray(LAST),
        dataclasses.replace(CONFIG, objective=objectives.flow_ppo(critic)),
        critic,
    )
    return found


def test_time_is_no_end_for_a_critic_and_success_is_one(criticised):
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
