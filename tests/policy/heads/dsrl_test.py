"""The noise's law against scipy, and that it is all that online RL trains."""

import dataclasses
from typing import Any

import jax
import numpy as np
import pytest
import scipy.integrate
import scipy.stats

from omnivla_jax.core import compile as compilation
from omnivla_jax.policy import policy
from omnivla_jax.policy.config import preset
from omnivla_jax.policy.heads import dsrl, flow
from tests.helpers.debug_inputs import BATCH, observation

CONFIG = dataclasses.replace(preset("debug").without_spatial(), head="dsrl")
SAMPLER = dsrl.NoiseSampler(steps=2, scale=0.5, exec_horizon=2)
KEY = jax.random.key(0)
SHAPE = (BATCH, CONFIG.horizon, CONFIG.action_dim)


@pytest.fixture(scope="module")
def params():
    return jax.jit(lambda key: policy.init(key, CONFIG))(KEY)


@pytest.fixture(scope="module")
def encoded(params):
    inputs = observation()
    encode = compilation.jit(lambda p, o: policy.encode_prefix(p, o, config=CONFIG))
    return encode(params, inputs), inputs.proprio


def moved(params):
    """With another law than N(0, 1)."""
    steer = jax.tree.map(lambda leaf: leaf + 0.03, params["action"][dsrl.STEER])
    return params | {"action": params["action"] | {dsrl.STEER: steer}}


def laws():
    keys = jax.random.split(KEY, 4)
    return [
        dsrl.NoiseLaw(*(0.3 * jax.random.normal(key, SHAPE) for key in pair))
        for pair in (keys[:2], keys[2:])
    ]


def score_of(law):
    noise = jax.random.normal(KEY, SHAPE)
    trace = dsrl.NoiseTrace(noise, law)
    return dsrl.score_recorded(
        trace, config=CONFIG, sampler=SAMPLER, executed_mask=None
    )


def test_recorded_likelihood_is_scipys():
    law = laws()[0]
    density = scipy.stats.norm(law.mean, np.exp(law.log_std)).logpdf(
        jax.random.normal(KEY, SHAPE)
    )
    found = score_of(law)
    np.testing.assert_allclose(found.log_prob, density.sum(axis=(1, 2)), rtol=1e-5)
    np.testing.assert_array_equal(found.step_log_prob[0], found.log_prob)


def test_divergence_is_the_integral():
    new, other = laws()
    total = 0.0
    entries = [np.asarray(leaf[0], np.float64).ravel() for leaf in (*new, *other)]
    for mean, log_std, other_mean, other_log_std in zip(*entries):
        p = scipy.stats.norm(mean, np.exp(log_std))
        q = scipy.stats.norm(other_mean, np.exp(other_log_std))
        total += scipy.integrate.quad(
            lambda x: p.pdf(x) * (p.logpdf(x) - q.logpdf(x)), -12, 12
        )[0]
    found = dsrl.exact_kl(score_of(new), score_of(other))
    np.testing.assert_allclose(found[0, 0], total, rtol=1e-4)


def test_fresh_head_is_the_flow(params, encoded):
    cache, proprio = encoded

    @compilation.jit
    def both(params):
        arguments = (params, cache, proprio, KEY)
        return (
            dsrl.act(*arguments, config=CONFIG, steps=2),
            flow.sample(*arguments, config=CONFIG, steps=2),
        )

    steered, plain = both(params)
    np.testing.assert_allclose(steered, plain, atol=1e-6)
    assert np.abs(both(moved(params))[0] - plain).max() > 1e-3


def test_only_the_law_is_trained(params, encoded):
    cache, proprio = encoded
    named: dict[str, Any] = {"config": CONFIG, "sampler": SAMPLER}
    now = moved(params)
    chunk, trace = compilation.jit(
        lambda p: dsrl.explore(p, cache, proprio, KEY, **named)
    )(now)
    assert chunk.shape == SHAPE

    def likelihood(p):
        scored = dsrl.score(p, cache, proprio, trace, executed_mask=None, **named)
        return scored.log_prob.sum(), scored

    (_, scored), slope = jax.value_and_grad(likelihood, has_aux=True)(now)
    recorded = dsrl.score_recorded(trace, executed_mask=None, **named)
    np.testing.assert_allclose(scored.log_prob, recorded.log_prob, rtol=1e-5)
    steer = slope["action"].pop(dsrl.STEER)
    assert all(np.abs(leaf).max() > 0 for leaf in jax.tree.leaves(steer))
    assert all(np.abs(leaf).max() == 0 for leaf in jax.tree.leaves(slope))


def test_bad_samplers_are_refused():
    with pytest.raises(ValueError, match="sampler.scale 0.0"):
        dsrl.make_sampler({"steps": 4, "scale": 0.0}, exec_horizon=None)
