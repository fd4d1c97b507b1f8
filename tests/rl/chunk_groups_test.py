"""Chunk groups: returns by hand, clones bit for bit, and the branch that goes on."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from omnivla_jax.core import compile as compilation
from omnivla_jax.rl import chunk_groups, groups
from omnivla_jax.rl.rollout import rollout

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


def act(state: dict[str, jax.Array], key: jax.Array):
    """G chunks at every state; the record is what the states were."""
    actions = jax.random.normal(key, (N * G, H, 2))
    return groups.repeat(state["position"], G), actions


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


@functools.cache
def branched():
    @compilation.jit
    @chex.assert_max_traces(n=1)
    def run(state, key):
        last, seen, branch = chunk_groups.rollout(
            act, move, state, key, num_chunks=CHUNKS, group_size=G
        )
        return last, seen, branch, jax.vmap(chunk_groups.select)(seen, branch)

    found = run(start(), jax.random.key(5))
    again = run(start(), jax.random.key(5))
    chex.assert_trees_all_equal(found[1:], again[1:])
    return found


def test_the_rollout_is_that_of_the_branches_it_continued() -> None:
    """Replaying the chosen actions on N plain episodes gives the same."""
    last, _, branch, chosen = branched()
    assert set(np.unique(branch)) == set(range(G))

    def replay(state, key):
        del key
        return state["position"], chosen.action[state["chunk"]]

    def play(state, actions):
        after, reward, mask = move({name: state[name] for name in last}, actions)
        return after | {"chunk": state["chunk"] + 1}, reward, mask

    @compilation.jit
    def run(state, key):
        return rollout(replay, play, state, key, num_chunks=CHUNKS)

    beginning = start() | {"chunk": jnp.zeros((), jnp.int32)}
    plain, expected = run(beginning, jax.random.key(0))
    for name, leaf in numbers(last).items():
        np.testing.assert_allclose(numbers(plain)[name], leaf, atol=1e-5)
    chex.assert_trees_all_close(chosen, expected, atol=1e-5)


def test_clones_of_one_chunk_begin_alike_and_end_apart() -> None:
    _, seen, _, _ = branched()
    began = np.asarray(seen.observation).reshape(CHUNKS, N, G, 2)
    np.testing.assert_array_equal(began, np.broadcast_to(began[:, :, :1], began.shape))
    reward = np.asarray(seen.reward).reshape(CHUNKS, N, G)
    assert np.all(reward[:, :2].std(axis=-1) > 0.01)
    np.testing.assert_array_equal(reward[:, 2], 0.0)  # the episode that had ended


def test_select_takes_one_clone_of_every_leaf() -> None:
    clones = groups.repeat(start(), G)
    branch = jnp.array([2, 0, 3], jnp.int32)
    marked = clones | {"clone": jnp.arange(N * G) % G}
    found = chunk_groups.select(marked, branch)
    np.testing.assert_array_equal(found["clone"], branch)
    for name, leaf in numbers(start()).items():
        np.testing.assert_array_equal(numbers(found)[name], leaf)
    flags = chunk_groups.chosen(branch, group_size=G)
    np.testing.assert_array_equal(np.flatnonzero(flags), [2, 4, 11])
    with pytest.raises(ValueError, match="12 rows .* 5 groups"):
        chunk_groups.select(marked, jnp.zeros(5, jnp.int32))


def test_branches_are_uniform() -> None:
    draws = chunk_groups.choose(jax.random.key(0), num_groups=8000, group_size=G)
    counts = np.bincount(draws, minlength=G)
    assert counts.sum() == 8000 and np.all(abs(counts - 2000) < 5 * np.sqrt(1500))


def test_returns_by_hand() -> None:
    reward = jnp.array([[1.0, 2.0, 4.0], [1.0, 2.0, 4.0]])
    mask = jnp.array([[1.0, 1.0, 1.0], [1.0, 1.0, 0.0]])
    found = chunk_groups.chunk_returns(reward, mask, gamma=0.5)
    np.testing.assert_allclose(found, [3.0, 2.0])


def test_advantages_compare_the_clones_of_one_state_only() -> None:
    returns = jnp.array([[0.0, 1.0, 5.0, 5.0], [9.0, 7.0, 1.0, 3.0]])
    mask = jnp.array([[1.0, 1.0, 1.0, 1.0], [1.0, 1.0, 0.0, 0.0]])
    found = chunk_groups.chunk_advantages(returns, mask, group_size=2, std_floor=1e-3)
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
    advantages, weights = chunk_groups.mixture(whole, part, share=0.25)
    np.testing.assert_allclose(advantages, [1.25, -0.25, -0.75, 0.0])
    np.testing.assert_array_equal(weights, [1.0, 1.0, 1.0, 0.0])
    for share, alone in ((0.0, whole), (1.0, part)):
        advantages, weights = chunk_groups.mixture(whole, part, share=share)
        np.testing.assert_array_equal(weights, alone[1])
        np.testing.assert_array_equal(advantages, alone[0] * alone[1])
    with pytest.raises(ValueError, match="share is 1.5"):
        chunk_groups.mixture(whole, part, share=1.5)
