"""Tests of omnivla_jax.train.episode_stats: sums over running steps, worked by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from omnivla_jax.policy.config import preset
from omnivla_jax.train import environment, episode_stats
from tests.helpers import reaching

WEIGHTS = {"success": 1.0, "alignment": 0.1}
ENVIRONMENT = reaching.make(preset("debug"))
CHUNKS = 3


def chunks(key):
    """Two episodes that go right: the first reaches its goal, the second never."""
    noise = 0.1 * jax.random.normal(key, (CHUNKS, 2, 3, 7))
    return noise.at[..., 0].add(1.0)


def episodes():
    return ENVIRONMENT.reset(jnp.array([0, 1]), jax.random.split(jax.random.key(0), 2))


@jax.jit
def play(actions):
    """The states before and after every step and the sums after it, stacked."""

    def control(rollout, action):
        after = episode_stats.step(ENVIRONMENT, rollout, action)
        return after, (rollout.env_state, after.env_state, after.sums)

    start = episode_stats.init_rollout(ENVIRONMENT, episodes(), WEIGHTS)
    steps = jnp.moveaxis(actions, 1, 2).reshape(-1, *actions.shape[1::2])
    return jax.lax.scan(control, start, steps)[1]


def test_returns_add_success_and_weighted_alignment():
    before, after, history = play(chunks(jax.random.key(1)))
    last = jax.tree.map(lambda leaf: leaf[-1], history)
    assert list(after.success[-1]) == [True, False]
    alive = ~np.asarray(before.success)
    aligned = np.asarray(jax.vmap(reaching.alignment)(after))
    expected = [
        success + 0.1 * aligned[alive[:, row], row].mean()
        for row, success in enumerate([1.0, 0.0])
    ]
    assert list(last.steps) == list(alive.sum(axis=0)) and last.steps[0] < 9
    terms = episode_stats.mean_terms(ENVIRONMENT, last)
    found = episode_stats.weighted_reward(terms, WEIGHTS)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_parts_add_up_until_the_end():
    _, _, history = play(chunks(jax.random.key(1)))
    end, middle = (jax.tree.map(lambda leaf: leaf[at], history) for at in (8, 5))
    part = episode_stats.difference(end, middle)
    np.testing.assert_allclose(
        part.terms["alignment"] + middle.terms["alignment"], end.terms["alignment"]
    )
    assert part.steps[0] == part.terms["success"][0] == 0 and part.steps[1] == 3
    assert (
        episode_stats.mean_terms(ENVIRONMENT, part)["alignment"][0] == 0
    ), "no steps, no mean"


def test_values_by_hand_and_a_weight_of_zero():
    totals = {"success": jnp.array([1.0, 0.0]), "smoothness": jnp.array([-2.0, -8.0])}
    steps, actions = jnp.array([4.0, 8.0]), jnp.zeros((2, 7))
    sums = episode_stats.RewardSums(totals, steps, actions)
    found = episode_stats.mean_terms(ENVIRONMENT, sums)
    np.testing.assert_allclose(found["smoothness"], [-0.5, -1.0])
    weights = {"success": 2.0, "smoothness": 0.0}
    reward = episode_stats.weighted_reward(found, weights)
    np.testing.assert_allclose(reward, [2.0, 0.0])


def test_the_first_action_has_a_predecessor():
    rollout = episode_stats.init_rollout(ENVIRONMENT, episodes(), {"smoothness": 1.0})
    action = jnp.tile(jnp.asarray(ENVIRONMENT.first_action), (2, 1)).at[1, 0].set(0.5)
    sums = episode_stats.step(ENVIRONMENT, rollout, action).sums
    np.testing.assert_allclose(sums.terms["smoothness"], [0.0, -0.5])
    np.testing.assert_array_equal(sums.action, action)


def test_a_simulator_without_terms_knows_success_only():
    env, action = episodes(), jnp.zeros((2, 7))
    found = environment.success_only(env, action, action, ("success",))
    np.testing.assert_array_equal(found["success"], [0.0, 0.0])
    with pytest.raises(ValueError, match=r"no reward terms \['alignment'\]"):
        environment.success_only(env, action, action, ("alignment", "success"))
