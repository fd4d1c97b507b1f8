"""Tests of the bound: by hand, and its ratio's gradient against flow matching's."""

import jax
import jax.numpy as jnp
import numpy as np

from omnivla_jax.flow import bound, kl

J, B, H, D = 3, 2, 4, 2


def velocity_under(theta: jax.Array):
    def velocity(x: jax.Array, tau: jax.Array) -> jax.Array:
        return jnp.broadcast_to(theta, x.shape) * x + tau[:, None, None]

    return velocity


def recorded(theta: jax.Array) -> bound.Draws:
    chunk = jax.random.normal(jax.random.key(1), (B, H, D))
    tau = jax.random.uniform(jax.random.key(2), (J, B))
    return bound.record(jax.random.key(0), velocity_under(theta), chunk, tau)


def test_draws_lie_on_the_path_of_their_chunk() -> None:
    draws = recorded(jnp.array(0.5))
    tau = draws.tau[..., None, None]
    chunk = draws.mixed + (1 - tau) * draws.target  # A = A^τ + (1 - τ) (A - ε)
    np.testing.assert_allclose(
        chunk, np.broadcast_to(chunk[:1], chunk.shape), atol=1e-5
    )
    noise = chunk - draws.target
    assert float(jnp.abs(noise[0] - noise[1]).min()) > 0


def test_scores_are_errors_over_the_entries_that_count() -> None:
    draws = recorded(jnp.array(0.5))
    mask = jnp.zeros((B, H, D), bool).at[0, :2, 1].set(True)
    found = bound.score(velocity_under(jnp.array(0.2)), draws, mask=mask)
    error = np.asarray(0.2 * draws.mixed + draws.tau[..., None, None] - draws.target)
    by_hand = -0.5 * (error[:, 0, :2, 1] ** 2).sum(axis=1)
    np.testing.assert_allclose(found.step_log_prob[:, 0], by_hand, rtol=1e-5)
    np.testing.assert_allclose(found.log_prob, [by_hand.sum(), 0.0], rtol=1e-5)
    assert found.has_density.all() and found.has_density.shape == (J, B)


def test_divergence_is_half_the_velocities_squared_distance() -> None:
    draws = recorded(jnp.array(0.5))
    mask = jnp.broadcast_to(jnp.arange(D) < 1, (H, D))
    old = bound.recorded_score(draws, mask=mask)
    new = bound.score(velocity_under(jnp.array(0.2)), draws, mask=mask)
    by_hand = 0.5 * ((0.3 * np.asarray(draws.mixed)[..., 0]) ** 2).sum(axis=2)
    np.testing.assert_allclose(kl.transition_kl(new, old), by_hand, rtol=1e-4)
    same = bound.score(velocity_under(jnp.array(0.5)), draws, mask=mask)
    np.testing.assert_allclose(same.log_prob, old.log_prob, rtol=1e-5)


def test_the_ratio_rises_along_flow_matching() -> None:
    """d log s / d theta is minus the gradient of the flow-matching loss."""
    draws, theta = recorded(jnp.array(0.5)), jnp.array(0.5)

    def log_prob(theta: jax.Array) -> jax.Array:
        return jnp.sum(bound.score(velocity_under(theta), draws).log_prob)

    error = draws.velocity - draws.target
    np.testing.assert_allclose(
        jax.grad(log_prob)(theta), -jnp.sum(error * draws.mixed), rtol=1e-4
    )
