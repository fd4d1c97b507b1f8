"""Generalised advantages worked by hand, against numpy, and at their two limits."""

import chex
import jax.numpy as jnp
import numpy as np
import pytest

from omnivla_jax.core import compile as compilation
from omnivla_jax.rl import gae

T, B = 6, 5
compiled = compilation.jit(
    chex.assert_max_traces(gae.estimate, n=3), static_argnames=("gamma", "gae_lambda")
)


def rolled_out(seed: int = 0):
    """Random episodes of 6, 4, 1, 3 and 2 chunks; the 2nd and 3rd end by success."""
    rng = np.random.default_rng(seed)
    lengths, ended = np.array([6, 4, 1, 3, 2]), np.array([0, 1, 1, 0, 0])
    chunk = np.arange(T)[:, None]
    mask = (chunk < lengths).astype(np.float32)
    # As the simulator says it: the goal holds, or held before.
    terminated = (chunk >= lengths - 1) & (ended == 1)
    reward = rng.normal(size=(T, B)).astype(np.float32) * mask
    values = rng.normal(size=(T + 1, B)).astype(np.float32)
    return reward, values, mask, terminated


def test_by_hand() -> None:
    """gamma = lambda = 1/2; V = 4, 8, 16, and what comes after the last chunk.

    Column 0 terminates in chunk 1: delta = (0 + 4 - 4, 1 + 0 - 8) = (0, -7), and
    A = (0 - 7 / 4, -7). Column 1 is truncated there: delta = (0, 1 + 8 - 8 = 1), and
    A = (1 / 4, 1), without what happens in chunk 2. Column 2 runs on: delta =
    (0, 1 + 8 - 8, 0 + 10 - 16 = -6), and A = (-1 / 8, 1 - 6 / 4, -6).
    """
    reward = jnp.array([[0.0, 0.0, 0.0], [1.0, 1.0, 1.0], [0.0, 0.0, 0.0]])
    values = jnp.broadcast_to(jnp.array([4.0, 8.0, 16.0, 20.0])[:, None], (4, 3))
    mask = jnp.array([[1.0, 1.0, 1.0], [1.0, 1.0, 1.0], [0.0, 0.0, 1.0]])
    terminated = jnp.zeros((3, 3), bool).at[1:, 0].set(True)
    found = compiled(reward, values, mask, terminated, gamma=0.5, gae_lambda=0.5)
    worked = np.array([[-1.75, 0.25, -0.125], [-7.0, 1.0, -0.5], [0.0, 0.0, -6.0]])
    np.testing.assert_array_equal(found.advantages, worked)
    targets = [[2.25, 4.25, 3.875], [1.0, 9.0, 7.5], [0.0, 0.0, 10.0]]
    np.testing.assert_array_equal(found.returns, targets)


def test_matches_a_sum_in_numpy() -> None:
    """A_t = sum_l (gamma lambda)^l delta_{t+l} up to the episode's end, in float64."""
    reward, values, mask, terminated = rolled_out()
    found = compiled(reward, values, mask, terminated, gamma=0.9, gae_lambda=0.8)
    r, v, m, end = (np.asarray(part, np.float64) for part in rolled_out())
    expected = np.zeros((T, B))
    for row in range(B):
        last = int(m[:, row].sum())
        for start in range(last):
            for t in range(start, last):
                delta = r[t, row] + 0.9 * (1 - end[t, row]) * v[t + 1, row] - v[t, row]
                expected[start, row] += (0.9 * 0.8) ** (t - start) * delta
    np.testing.assert_allclose(found.advantages, expected, atol=1e-5)
    np.testing.assert_allclose(found.returns, expected + m * v[:-1], atol=1e-5)


def test_lambda_one_gives_plain_returns() -> None:
    """Of an episode that terminates, the discounted sum of its rewards."""
    reward, values, mask, terminated = rolled_out(1)
    found = compiled(reward, values, mask, terminated, gamma=0.9, gae_lambda=1.0)
    expected = sum(0.9**t * float(reward[t, 1]) for t in range(4))
    assert float(found.returns[0, 1]) == pytest.approx(expected, abs=1e-5)


def test_normalised_advantages_by_weight() -> None:
    advantages = jnp.array([[1.0, 3.0], [100.0, 2.0]])
    weights = jnp.array([[1.0, 1.0], [0.0, 2.0]])
    normalized = compilation.jit(gae.normalized, static_argnames=("adv_std_min",))
    found = normalized(advantages, weights, adv_std_min=1e-6)
    used = np.array([1.0, 3.0, 2.0, 2.0])
    expected = (np.array([1.0, 3.0, 2.0]) - used.mean()) / used.std()
    np.testing.assert_allclose(np.asarray(found)[[0, 0, 1], [0, 1, 1]], expected)
    flat = normalized(jnp.full((3,), 0.1), jnp.ones(3), adv_std_min=0.1)
    np.testing.assert_allclose(flat, 0.0, atol=1e-6)
