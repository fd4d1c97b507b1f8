"""Tests of omnivla_jax.rl.trees: by hand, and what averaging leaves of the noise."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from omnivla_jax.rl import groups, trees


def test_nodes_multiply_from_segment_to_segment() -> None:
    assert trees.nodes((2, 3, 1)) == (2, 6, 6)
    assert trees.nodes((8,)) == (8,)


def test_segments_average_their_leaves() -> None:
    leaves = jnp.array([1.0, -1.0, 0.0, 2.0, 5.0, 7.0, 9.0, 3.0])
    np.testing.assert_array_equal(trees.node_means(leaves, count=4), [0, 1, 6, 6])
    np.testing.assert_array_equal(trees.node_means(leaves, count=2), [0.5, 6])
    np.testing.assert_array_equal(trees.node_means(leaves, count=8), leaves)
    with pytest.raises(TypeError):
        trees.node_means(leaves, count=3)


def test_first_segments_are_judged_with_less_noise() -> None:
    """A first segment is good or bad, the second one chance: of G = 8 leaves each.

    The advantage of the first segments in a tree (2, 4) correlates better with what
    they are worth than that of 8 separate episodes.
    """
    key, chance_key = jax.random.split(jax.random.key(0))

    def correlation(branching: tuple[int, ...]) -> float:
        first = trees.nodes(branching)[0]
        good = jax.random.bernoulli(key, 0.5, (2000 * first,)).astype(jnp.float32)
        below = groups.repeat(good, 8 // first)
        success = jax.random.bernoulli(chance_key, 0.3 + 0.4 * below)
        returns = success.astype(jnp.float32)
        found = groups.group_advantages(returns, group_size=8, adv_std_min=0.05)
        judged = trees.node_means(found.advantages, count=2000 * first)
        return float(np.corrcoef(judged, good)[0, 1])

    assert correlation((2, 4)) > correlation((8,)) + 0.04
