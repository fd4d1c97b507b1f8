"""Mixture of horizons: what each sees, its gates, its likelihood, and the consensus."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from omnivla_jax.flow import drifts, schedules
from omnivla_jax.policy import policy
from omnivla_jax.policy.heads import flow_velocity, horizons
from omnivla_jax.policy.heads.flow_sampler import FlowSampler
from tests.helpers.small_heads import KEY, Encoded, small

CONFIG = small("horizons", horizon=4, horizons=(1, 2, 4))
SAMPLER = FlowSampler(
    steps=2,
    schedule=schedules.Schedule(schedules.flow_grpo, scale=0.5),
    drift=drifts.corrected,
    exec_horizon=3,
)
TAU = jnp.array([0.2, 0.7])


@pytest.fixture(scope="module")
def encoded():
    return Encoded(CONFIG, SAMPLER)


@pytest.fixture(scope="module")
def chunk():
    return jax.random.normal(KEY, (2, 4, 4))


@pytest.fixture(scope="module")
def found(encoded, chunk):
    return mixture(encoded, chunk)


def mixture(encoded, chunk, config=CONFIG):
    return horizons.mix_horizons(
        encoded.params, encoded.cache, encoded.proprio, chunk, TAU, config=config
    )


def test_a_horizon_sees_its_beginning_alone(encoded, chunk, found):
    """What lies behind a horizon changes nothing; what lies inside does."""
    late, early = chunk.at[:, 2].add(1.0), chunk.at[:, 1].add(1.0)
    moved = mixture(encoded, late).velocities
    np.testing.assert_allclose(moved[:2], found.velocities[:2], atol=1e-6)
    assert np.abs(moved[2] - found.velocities[2]).min(axis=(1, 2)).max() > 0
    moved = mixture(encoded, early).velocities
    np.testing.assert_allclose(moved[0], found.velocities[0], atol=1e-6)
    assert np.abs(moved[1, :, 0] - found.velocities[1, :, 0]).max() > 1e-4
    np.testing.assert_array_equal(found.velocities[0, :, 1:], 0.0)


def test_the_whole_horizon_is_the_flow_heads_velocity(encoded, chunk, found):
    both_ways = dataclasses.replace(CONFIG, suffix_attention="bidirectional")
    expected = flow_velocity.velocity(
        encoded.params, encoded.cache, encoded.proprio, chunk, TAU, config=both_ways
    )
    np.testing.assert_allclose(found.velocities[2], expected, atol=1e-5)


def test_gates_are_a_softmax_of_what_reaches(found):
    np.testing.assert_allclose(found.gates.sum(0), 1.0, rtol=1e-6)
    np.testing.assert_array_equal(found.gates[:2, :, 2:], 0.0)
    assert 0.01 < float(found.gates[0, 0, 0]) < 0.99
    mixed = np.einsum("gbh,gbhd->bhd", found.gates, found.velocities)
    np.testing.assert_allclose(found.velocity, mixed, atol=1e-6)


@pytest.mark.slow
def test_the_likelihood_is_scipys_of_the_mixed_mean(encoded):
    _, chain = encoded.explore(encoded.params, KEY)
    score = encoded.score(encoded.params, chain)
    means, stds = score.distribution
    density = scipy.stats.norm(means, stds).logpdf(chain.states[:, 1:].swapaxes(0, 1))
    expected = density[:, :, :3, :3].sum((0, 2, 3))
    np.testing.assert_allclose(score.log_prob, expected, rtol=1e-4)
    recorded = encoded.score_recorded(chain)
    np.testing.assert_allclose(score.log_prob, recorded.log_prob, rtol=1e-5)
    slope, difference = encoded.slope_and_difference(chain)
    assert float(slope) == pytest.approx(float(difference), rel=2e-2, abs=1e-2)
    assert encoded.score._cache_size() == encoded.explore._cache_size() == 1


@pytest.mark.slow
def test_training_reaches_the_chunk(encoded):
    target = jnp.broadcast_to(jnp.linspace(-1, 1, 4)[:, None], (2, 4, 4))
    trained, losses = encoded.trained(target, steps=600, rate=0.05)
    assert losses[-10:].mean() < 0.5 * losses[:10].mean()
    real = slice(CONFIG.real_action_dim)  # the fourth dimension is not trained
    found = encoded.act(trained, KEY)[..., real]
    np.testing.assert_allclose(found, target[..., real], atol=0.7)


def test_balance_is_zero_for_equal_gates_alone():
    inside = np.arange(4) < np.array([1, 2, 4])[:, None]
    equal = (inside / inside.sum(0))[:, None]
    assert float(horizons.balance(jnp.asarray(equal), config=CONFIG)) < 1e-6
    weights = np.array([[0.6, 0, 0, 0], [0.3, 0.2, 0, 0], [0.1, 0.8, 1, 1]])
    expected = (np.var([0.6, 0.3, 0.1]) * 9 + np.var([0.2, 0.8]) * 4) / 3
    found = horizons.balance(jnp.asarray(weights)[:, None], config=CONFIG)
    assert float(found) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    "error, length",
    [([1, 1, 1, 1], 2), ([1, 5, 0, 0], 1), ([5, 1, 1, 1], 2), ([1, 0, 9, 9], 2)],
)
def test_consensus_is_the_beginning_that_agrees(error, length):
    """Behind the second action a single horizon is left, so execution ends there."""
    by_horizon = jnp.broadcast_to(jnp.array(error, jnp.float32), (3, 1, 4))
    found = horizons.consensus_length(by_horizon, config=CONFIG, ratio=1.0)
    assert found.tolist() == [length]


def test_acting_by_consensus_acts_as_without(encoded):
    chunk, length = horizons.act_by_consensus(
        encoded.params, encoded.cache, encoded.proprio, KEY, config=CONFIG, steps=3
    )
    np.testing.assert_allclose(chunk, encoded.act(encoded.params, KEY), atol=1e-4)
    assert ((length >= 1) & (length <= 2)).all()


def test_bad_settings_are_named():
    with pytest.raises(ValueError, match="rise from at least 1 to horizon=4"):
        small("horizons", horizon=4, horizons=(2, 1))
    noisy = dataclasses.replace(CONFIG, noise_head=True)
    with pytest.raises(ValueError, match="no noise head"):
        jax.eval_shape(lambda key: policy.init(key, noisy), KEY)
