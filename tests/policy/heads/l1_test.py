"""The L1 head against scipy's Laplace law, and what its losses train."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
import scipy.stats

from omnivla_jax.core import compile as compilation
from omnivla_jax.core.types import Score
from omnivla_jax.policy import policy
from omnivla_jax.policy.config import preset
from omnivla_jax.policy.heads import action_head, l1
from tests.helpers.debug_inputs import BATCH, observation

CONFIG = dataclasses.replace(preset("debug").without_spatial(), head="l1")
SAMPLER = l1.LaplaceSampler(scale=0.5, exec_horizon=2)
KEY = jax.random.key(0)


@pytest.fixture(scope="module")
def params():
    return jax.jit(lambda key: policy.init(key, CONFIG))(KEY)


@pytest.fixture(scope="module")
def encoded(params):
    """The prefix and the proprioception of two observations."""
    inputs = observation()
    encode = compilation.jit(lambda p, o: policy.encode_prefix(p, o, config=CONFIG))
    return encode(params, inputs), inputs.proprio


@pytest.fixture(scope="module")
def explored(params, encoded):
    cache, proprio = encoded

    @compilation.jit
    def explore(params):
        return l1.explore(params, cache, proprio, KEY, config=CONFIG, sampler=SAMPLER)

    return explore(params)


def score(params, encoded, trace):
    cache, proprio = encoded
    return l1.score(
        params,
        cache,
        proprio,
        trace,
        config=CONFIG,
        sampler=SAMPLER,
        executed_mask=None,
    )


def test_recorded_likelihood_is_scipys(explored):
    chunk, trace = explored
    lengths = np.array([2, 1, 0, 2])  # executed actions
    mask = jnp.arange(2) < jnp.asarray(lengths)[:, None]
    found = l1.score_recorded(trace, config=CONFIG, sampler=SAMPLER, executed_mask=mask)
    location, log_scale = (np.asarray(part, np.float64) for part in trace.distribution)
    density = scipy.stats.laplace(location, np.exp(log_scale)).logpdf(chunk)
    expected = [row[:length].sum() for row, length in zip(density, lengths)]
    np.testing.assert_allclose(found.log_prob, expected, rtol=1e-5)
    np.testing.assert_array_equal(found.step_log_prob[0], found.log_prob)


def test_parameters_that_sampled_score_as_recorded(params, encoded, explored):
    _, trace = explored
    now = compilation.jit(score)(params, encoded, trace)
    recorded = l1.score_recorded(
        trace, config=CONFIG, sampler=SAMPLER, executed_mask=None
    )
    np.testing.assert_allclose(now.log_prob, recorded.log_prob, rtol=1e-5)
    np.testing.assert_allclose(l1.exact_kl(now, recorded), 0.0, atol=1e-6)


@pytest.mark.slow
def test_reinforcement_moves_the_location_alone(params, encoded, explored):
    def total(params):
        return jnp.sum(score(params, encoded, explored[1]).log_prob)

    slope = compilation.jit(jax.grad(total))(params)["action"]["output"]
    assert float(jnp.abs(slope["action_out_proj"]["kernel"]).max()) > 0
    assert not jnp.any(slope["log_scale"]["bias"])


@pytest.mark.parametrize("mean, scale", [(0.3, 0.5), (0.3, 0.8), (0.0, 0.51)])
def test_the_divergence_is_the_integral(mean, scale):
    """KL of Laplace laws, one way round and not the other."""
    ours, other = scipy.stats.laplace(mean, scale), scipy.stats.laplace(0.0, 0.5)
    expected, _ = scipy.integrate.quad(
        lambda x: ours.pdf(x) * (ours.logpdf(x) - other.logpdf(x)),
        -20,
        20,
        points=[0.0, mean],
        epsabs=1e-12,
    )
    entries, zeros = jnp.ones((1, 2, 3)), jnp.zeros((1, 1))

    def scored(mean, scale):
        law = l1.Laplace(mean * entries, jnp.log(scale * entries))
        return Score(zeros[0], zeros, jnp.ones((1, 1), bool), law)

    found = l1.exact_kl(scored(mean, scale), scored(0.0, 0.5))
    assert float(found[0, 0]) == pytest.approx(6 * expected, rel=1e-4, abs=1e-6)


@pytest.mark.slow
def test_sft_finds_the_chunk_and_narrows_its_law(params, encoded):
    """One constant chunk: the loss falls towards that of the narrowest law."""
    cache, proprio = encoded
    chunk = jnp.broadcast_to(jnp.linspace(-1, 1, 7), (BATCH, CONFIG.horizon, 7))

    def loss(action):
        whole = params | {"action": action}
        return l1.sft_loss(whole, cache, proprio, chunk, KEY, config=CONFIG, draws=1)

    @compilation.jit
    def train(action):
        def step(action, _):
            value, slope = jax.value_and_grad(loss)(action)
            return jax.tree.map(lambda p, g: p - 0.03 * g, action, slope), value

        return jax.lax.scan(step, action, length=150)

    action, values = train(params["action"])
    trained = params | {"action": action}
    predicted = l1.act(trained, cache, proprio, KEY, config=CONFIG, steps=1)
    assert float(jnp.abs(predicted - chunk).mean()) < 0.3
    assert float(values[-1]) < float(values[0]) - 0.3


def test_bad_settings_are_named():
    with pytest.raises(ValueError, match="scale is 0"):
        l1.LaplaceSampler(scale=0.0)
    adaptive = dataclasses.replace(CONFIG, time_conditioning="adaptive")
    with pytest.raises(ValueError, match="no flow time"):
        jax.eval_shape(lambda key: policy.init(key, adaptive), KEY)
    with pytest.raises(ValueError, match="flow, l1"):
        action_head(dataclasses.replace(CONFIG, head="l2"))
