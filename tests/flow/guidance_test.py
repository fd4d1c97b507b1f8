"""Tests of omnivla_jax.flow.guidance and chunking: linear flows, worked by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from omnivla_jax.flow import chunking, guidance, ode

B, H, D = 2, 4, 3
X = jax.random.normal(jax.random.key(0), (B, H, D))
PLAN = jax.random.normal(jax.random.key(1), (B, H, D))


def linear(x, tau):
    """v = a x with a = -0.5: J = 1 + (1 - tau) a."""
    del tau
    return -0.5 * x


def to_data(x, tau):
    """The flow to one chunk: A1 is that chunk, wherever the sample is."""
    return (PLAN - x) / (1.0 - tau)[:, None, None]


def test_guided_velocity_by_hand():
    """v + s J W (Y - J x), for a flow with a constant Jacobian."""
    weights = jnp.array([1.0, 0.5, 0.25, 0.0])
    reward = chunking.continuation_reward(PLAN, weights)
    tau = jnp.array([0.0, 0.6])
    found = guidance.guided(linear, reward, chunking.strength)(X, tau)
    jacobian = (1 - 0.5 * (1 - tau))[:, None, None]
    strength = np.array([5.0, (0.16 + 0.36) / (0.6 * 0.4)])[:, None, None]
    gap = weights[None, :, None] * (PLAN - jacobian * X)
    expected = -0.5 * X + strength * jacobian * gap
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_no_gradient_where_the_chunk_is_certain():
    reward = chunking.continuation_reward(0.0 * PLAN, jnp.ones(H))
    tau = jnp.array([0.2, 0.7])
    found = guidance.guided(to_data, reward, chunking.strength)(X, tau)
    np.testing.assert_allclose(found, to_data(X, tau), atol=1e-4)


def test_guidance_moves_the_sample_to_the_plan():
    """Where the flow is indifferent, weight 1 brings the plan and weight 0 nothing."""
    weights = jnp.array([1.0, 1.0, 0.0, 0.0])
    reward = chunking.continuation_reward(PLAN, weights)
    still = guidance.guided(lambda x, tau: 0.0 * x, reward, chunking.strength)
    chunk = ode.sample(still, X, steps=50)
    np.testing.assert_allclose(chunk[:, :2], PLAN[:, :2], atol=0.1)
    np.testing.assert_array_equal(chunk[:, 2:], X[:, 2:])


def test_overlap_weights_by_hand():
    found = chunking.overlap_weights(6, delay=1, overlap=3)
    shares = np.array([2 / 3, 1 / 3])
    falling = shares * (np.exp(shares) - 1) / (np.e - 1)
    np.testing.assert_allclose(found, [1, *falling, 0, 0, 0], rtol=1e-6)
    with pytest.raises(ValueError, match="delay=4 and overlap=3"):
        chunking.overlap_weights(6, delay=4, overlap=3)


def test_composition_of_equal_velocities_is_the_velocity():
    tau = jnp.array([0.1, 0.9])
    same = guidance.composed((linear, linear), (0.3, 0.7))(X, tau)
    np.testing.assert_allclose(same, linear(X, tau), rtol=1e-6)
    mixed = guidance.composed((linear, to_data), (0.25, 0.75))(X, tau)
    expected = 0.25 * linear(X, tau) + 0.75 * to_data(X, tau)
    np.testing.assert_allclose(mixed, expected, rtol=1e-6)


@pytest.mark.parametrize("weights", [(1.0,), (0.5, 0.6), (1.5, -0.5)])
def test_weights_off_the_simplex_are_refused(weights):
    with pytest.raises(ValueError, match="weights="):
        guidance.composed((linear, linear), weights)
