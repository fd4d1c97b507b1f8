"""The scanned rollout against a Python loop over the same callables."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from omnivla_jax.core import compile as compilation
from omnivla_jax.core.types import Transition
from omnivla_jax.rl.rollout import rollout

B, H, D, CHUNKS = 3, 2, 2, 5


def act(state: dict[str, jax.Array], key: jax.Array):
    """A noisy pull to the origin; the record is whatever the caller likes."""
    pull = -0.3 * state["position"][:, None]
    actions = pull + 0.1 * jax.random.normal(key, (B, H, D))
    return {"seen": state["position"], "chain": actions**2}, actions


def step(state: dict[str, jax.Array], actions: jax.Array):
    running = (state["count"] < jnp.array([2, 4, 9])).astype(jnp.float32)
    position = state["position"] + running[:, None] * actions.sum(axis=1)
    state = {"position": position, "count": state["count"] + 1}
    reward = -running * jnp.sum(position**2, axis=-1)
    return state, reward, jnp.tile(running[:, None], H)


def start() -> dict[str, jax.Array]:
    return {"position": jnp.ones((B, D)), "count": jnp.zeros(B, jnp.int32)}


def test_matches_a_python_loop() -> None:
    key = jax.random.key(3)
    last, found = rollout(act, step, start(), key, num_chunks=CHUNKS)
    state, rows = start(), []
    for chunk in range(CHUNKS):
        extras, actions = act(state, jax.random.fold_in(key, chunk))
        state, reward, mask = step(state, actions)
        rows.append(Transition(extras, actions, reward, mask))
    expected = jax.tree.map(lambda *leaves: jnp.stack(leaves), *rows)
    chex.assert_trees_all_close(found, expected, atol=1e-6)
    chex.assert_trees_all_close(last, state, atol=1e-6)
    np.testing.assert_array_equal(found.mask.sum(axis=0).T, [[2, 4, 5]] * H)


def test_no_chunks_is_an_error() -> None:
    with pytest.raises(ValueError, match="not 0"):
        rollout(act, step, start(), jax.random.key(0), num_chunks=0)


def test_compiles_once() -> None:
    @chex.assert_max_traces(n=1)
    def run(state: dict[str, jax.Array], key: jax.Array):
        return rollout(act, step, state, key, num_chunks=CHUNKS)

    once = compilation.jit(run)
    for seed in range(2):
        once(start(), jax.random.key(seed))
