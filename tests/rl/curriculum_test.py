"""Tests of omnivla_jax.rl.curriculum: shares by hand, and that nothing is forgotten."""

import jax
import jax.numpy as jnp
import numpy as np

from omnivla_jax.rl import curriculum


def shares(success: list[float], count: int = 12) -> np.ndarray:
    drawn = jax.vmap(
        lambda key: curriculum.allocate(key, jnp.array(success), count=count)
    )(jax.random.split(jax.random.key(0), 500))
    assert drawn.shape == (500, count) and drawn.dtype == jnp.int32
    counts = np.stack(
        [(np.asarray(drawn) == task).sum(1) for task in range(len(success))]
    )
    assert (counts.max(axis=1) - counts.min(axis=1) <= 1).all(), "systematic"
    return counts.mean(axis=1)


def test_unknown_tasks_take_equal_shares() -> None:
    np.testing.assert_allclose(shares(list(curriculum.initial_success(3))), [4, 4, 4])


def test_uncertain_tasks_get_more_groups() -> None:
    """Weights .25, .1275 and the least, twice: .0475."""
    found = shares([0.5, 0.85, 1.0, 0.0])
    expected = 12 * np.array([0.25, 0.1275, 0.0475, 0.0475]) / 0.4725
    np.testing.assert_allclose(found, expected, atol=0.1)


def test_memory_moves_by_what_was_played() -> None:
    before = jnp.array([0.5, 0.2, 0.9])
    task, succeeded = jnp.array([0, 0, 1, 0]), jnp.array([True, False, True, True])
    after = curriculum.remember(before, task, succeeded, decay=0.75)
    expected = [0.75 * 0.5 + 0.25 * 2 / 3, 0.75 * 0.2 + 0.25, 0.9]
    np.testing.assert_allclose(after, expected, rtol=1e-6)
