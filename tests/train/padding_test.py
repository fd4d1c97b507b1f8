"""A policy with more dimensions than the robot: trained, acting and scored."""

import dataclasses
import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from omnivla_jax.flow import log_prob, schedules
from omnivla_jax.policy import policy
from omnivla_jax.policy.config import preset
from omnivla_jax.policy.heads.flow import swap_batch_axis
from omnivla_jax.policy.pretrained import openpi
from omnivla_jax.train import episode_stats, sft, sft_data
from omnivla_jax.train.agent import Agent
from omnivla_jax.train.observation_store import OBSERVATION_STORES
from omnivla_jax.train.online import objectives
from omnivla_jax.train.state import OptimizerConfig
from tests.helpers import reaching, unoptimized

PLAIN = preset("debug").without_spatial()
PADDED = openpi.pi0_config(PLAIN)
EPISODES = reaching.demonstrations()
NORMALIZER = sft_data.fit_normalizer(EPISODES)
ENVIRONMENT = reaching.make(PADDED)
SAMPLER = policy.FlowSampler(
    steps=2,
    schedule=schedules.Schedule(schedules.flow_grpo, scale=0.5),
    exec_horizon=3,
)
KEY = jax.random.key(0)


@pytest.fixture(scope="module")
def params():
    return sft.fresh_params(KEY, PADDED)


def initial_states():
    return ENVIRONMENT.reset(jnp.arange(3), jax.random.split(KEY, 3))


def dataset(config):
    return sft_data.make_dataset(EPISODES, NORMALIZER, config=config)


def test_zeros_follow_the_normalised_numbers_of_the_robot():
    whole, plain = dataset(PADDED), dataset(PLAIN)
    assert whole.state.shape[-1] == whole.chunk.shape[-1] == 32
    assert not whole.state[:, 8:].any() and not whole.chunk[..., 7:].any()
    np.testing.assert_array_equal(whole.state[:, :8], plain.state)
    np.testing.assert_array_equal(whole.chunk[..., :7], plain.chunk)
    with pytest.raises(ValueError, match=r"\(8, 7\) .* but \(8, 32\) in the policy: "):
        dataset(dataclasses.replace(PADDED, real_action_dim=None))


@pytest.mark.slow
def test_sft_learns_on_all_dimensions(params):
    config = sft.SftConfig(
        OptimizerConfig(learning_rate=1e-3), steps=1, batch_size=4, steps_per_call=1
    )
    before = sft.create(params, NORMALIZER, config, seed=0)
    after, metrics = sft.make_step(PADDED, config)(before, dataset(PADDED))
    moved = jax.tree.map(
        lambda a, b: float(jnp.abs(a - b).max()),
        after.params["action"]["output"]["action_out_proj"],
        params["action"]["output"]["action_out_proj"],
    )
    assert np.isfinite(metrics["loss"]) and min(moved.values()) > 0


def test_the_loss_is_the_mean_over_padding_too(params):
    """Of a policy that answers 0, which leaves the target alone."""
    silent = params | {"action": params["action"] | {"output": _zeros(params)}}
    data, key = dataset(PADDED), jax.random.key(1)
    seen, chunk, _ = sft_data.draw(key, data, 4)
    found = unoptimized.jit(
        lambda: sft.loss(silent, key, seen, chunk, draws=2, config=PADDED)
    )()
    noise = jax.random.normal(jax.random.split(key)[0], (2, *chunk.shape))
    np.testing.assert_allclose(found, jnp.mean((chunk - noise) ** 2), rtol=1e-5)


def _zeros(params):
    return jax.tree.map(jnp.zeros_like, params["action"]["output"])


@pytest.mark.slow
def test_the_simulator_sees_the_robots_actions(params):
    agent = Agent(PADDED, ENVIRONMENT.observe, NORMALIZER)
    act = functools.partial(agent.act_deterministic, steps=2)
    before, keys = initial_states(), jax.random.split(KEY, 3)
    chunk = unoptimized.jit(act)(params, before, keys)
    chex.assert_shape(chunk, (3, PADDED.horizon, 7))
    rollout = episode_stats.init_rollout(ENVIRONMENT, before, {"success": 1.0})
    after, mask, _ = episode_stats.execute_chunk(ENVIRONMENT, rollout, chunk)
    moved = jnp.abs(after.env_state.position - before.position)
    assert mask.all() and moved.max() > 0


@pytest.mark.slow
def test_a_likelihood_counts_the_robots_actions(params):
    store = OBSERVATION_STORES["cache"]
    agent = Agent(PADDED, ENVIRONMENT.observe, NORMALIZER, SAMPLER, store)
    output, chunks = unoptimized.jit(agent.act)(params, initial_states(), KEY)
    chex.assert_shape(chunks, (3, 3, 7))
    chex.assert_shape(output.proprio, (3, 32))
    assert not output.proprio[:, 8:].any()
    score = unoptimized.jit(agent.log_prob)(params, output)
    mask = np.zeros((PADDED.horizon, 32), bool)
    mask[:3, :7] = True
    chain = swap_batch_axis(output.trace)
    recorded = log_prob.recorded_log_prob(chain, mask=jnp.asarray(mask))
    np.testing.assert_allclose(score.log_prob, recorded.log_prob, rtol=1e-4)
    assert objectives.ratio_normalizers(PADDED, SAMPLER)["HKD"] == 3 * 2 * 7
