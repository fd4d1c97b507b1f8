"""Chunk groups: clones bit for bit, advantages and their mixture by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from omnivla_jax.core import compile as compilation
from omnivla_jax.rl import chunk_groups, groups

N, G, H, CHUNKS = 3, 4, 2, 5


def start() -> dict[str, jax.Array]:
    """A toy whose state has a key, integers and floats, like a simulator's."""
    keys = jax.random.split(jax.random.key(7), N)
    position = jax.random.normal(jax.random.key(1), (N, 2))
    return {"position": position, "count": jnp.arange(N), "key": keys}


def move(state: dict[str, jax.Array], actions: jax.Array):
    """A damped walk, shaken by the state's own key; the third episode stops at once."""
    running = (state["count"] < 2).astype(jnp.float32)
    shake = jax.vmap(lambda key: jax.random.normal(key, (2,)))(state["key"])
    push = jnp.sin(3.0 * state["position"]) + actions.sum(axis=1) + 0.1 * shake
    position = state["position"] + 0.3 * running[:, None] * push
    following = jax.vmap(lambda key: jax.random.fold_in(key, 1))(state["key"])
    state = {"position": position, "count": state["count"], "key": following}
    return state, -running * jnp.sum(position**2, axis=-1), running


def numbers(tree):
    """The tree on the host, with keys as numbers: {name: array [B, ...]}."""
    return {
        name: np.asarray(jax.random.key_data(leaf) if name == "key" else leaf)
        for name, leaf in tree.items()
    }


def row(host, index: int):
    return {name: leaf[index] for name, leaf in host.items()}


def test_clones_are_bit_identical_until_their_actions_differ() -> None:
    step = compilation.jit(lambda state, actions: move(state, actions)[0])
    clones = groups.repeat(start(), G)
    shared = np.random.default_rng(0).normal(size=(3, N, H, 2)).astype(np.float32)
    actions = np.repeat(shared, G, axis=1)
    for chunk in actions:
        host = numbers(clones)
        for clone in range(N * G):
            np.testing.assert_equal(row(host, clone), row(host, clone // G * G))
        clones = step(clones, chunk)
    nudged = actions[0].copy()
    nudged[1] += 1e-3
    apart, together = (numbers(step(clones, chunk)) for chunk in (nudged, actions[0]))
    assert np.all(apart["position"][1] != apart["position"][0])
    for clone in set(range(N * G)) - {1}:
        np.testing.assert_equal(row(apart, clone), row(together, clone))


def test_advantages_compare_the_clones_of_one_state_only() -> None:
    returns = jnp.array([[0.0, 1.0, 5.0, 5.0], [9.0, 7.0, 1.0, 3.0]])
    mask = jnp.array([[1.0, 1.0, 1.0, 1.0], [1.0, 1.0, 0.0, 0.0]])
    found = chunk_groups.chunk_advantages(returns, mask, group_size=2, adv_std_min=1e-3)
    worked = [[-1.0, 1.0, 0.0, 0.0], [1.0, -1.0, 0.0, 0.0]]
    np.testing.assert_allclose(found.advantages, worked, rtol=1e-6)
    np.testing.assert_array_equal(found.weights, np.abs(worked))
    np.testing.assert_array_equal(found.zero_variance, [[False, True], [False, False]])


def test_the_mixture_by_hand() -> None:
    """Clone 0 was continued; clone 1 belongs to no trajectory; clone 2 to a dead group;
    nothing is said about clone 3.
    """
    whole = (jnp.array([1.0, 5.0, -1.0, 3.0]), jnp.array([1.0, 0.0, 1.0, 0.0]))
    part = (jnp.array([2.0, -1.0, 7.0, 3.0]), jnp.array([1.0, 1.0, 0.0, 0.0]))
    advantages, weights = chunk_groups.mix_advantages(
        whole, part, chunk_advantage_weight=0.25
    )
    np.testing.assert_allclose(advantages, [1.25, -0.25, -0.75, 0.0])
    np.testing.assert_array_equal(weights, [1.0, 1.0, 1.0, 0.0])
    for share, alone in ((0.0, whole), (1.0, part)):
        advantages, weights = chunk_groups.mix_advantages(
            whole, part, chunk_advantage_weight=share
        )
        np.testing.assert_array_equal(weights, alone[1])
        np.testing.assert_array_equal(advantages, alone[0] * alone[1])
    with pytest.raises(ValueError, match="chunk_advantage_weight is 1.5"):
        chunk_groups.mix_advantages(whole, part, chunk_advantage_weight=1.5)
