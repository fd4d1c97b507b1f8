"""The critic against numpy, what it ignores, and the gradients of its parameters."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from omnivla_jax.models.heads.value import ValueHead
from omnivla_jax.models.mot import LayerCache
from tests.helpers.random_tree import random_parameters

B, L, S, K, C, D, Q = 3, 2, 5, 1, 4, 8, 2
HEAD = ValueHead(queries=Q, width=16)


def inputs() -> tuple[LayerCache, jax.Array, jax.Array]:
    """A prefix whose samples have 3, 5 and 4 valid tokens, and a state."""
    rng = np.random.default_rng(0)
    keys, values = (
        jnp.asarray(rng.normal(size=(B, L, S, K, C)), jnp.float32) for _ in range(2)
    )
    state = jnp.asarray(rng.normal(size=(B, D)), jnp.float32)
    return LayerCache(keys, values), jnp.arange(S) < jnp.array([[3], [5], [4]]), state


def by_hand(params: Any, cache: LayerCache, valid: jax.Array, state: jax.Array):
    """Loops over samples, layers and queries; one key/value head."""
    keys, values = (np.asarray(leaf, np.float64)[..., 0, :] for leaf in cache)
    rows = []
    for b in range(B):
        seen, row = np.asarray(valid[b]), []
        for layer in range(L):
            for q in range(Q):
                logits = keys[b, layer, seen] @ params["query"][layer, q, 0] / 2.0
                weights = np.exp(logits) / np.exp(logits).sum()
                found = weights @ values[b, layer, seen]
                row.append((found - found.mean()) / np.sqrt(found.var() + 1e-6))
        rows.append(np.concatenate([*row, state[b]]))
    x = np.stack(rows)
    for name in ("from_prefix", "hidden", "out"):
        x = x @ params[name]["kernel"] + params[name]["bias"]
        x = x if name == "out" else np.asarray(nn.gelu(jnp.asarray(x, jnp.float32)))
    return x[:, 0]


def test_matches_loops() -> None:
    given = inputs()
    variables = random_parameters(HEAD, *given)
    found = jax.jit(HEAD.apply)(variables, *given)
    assert found.shape == (B,) and found.dtype == jnp.float32
    expected = by_hand(variables["params"], *given)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    assert np.abs(expected).min() > 1e-2


def test_padding_is_not_read() -> None:
    cache, valid, state = inputs()
    variables = random_parameters(HEAD, cache, valid, state)
    padding = ~valid[:, None, :, None, None]
    other = LayerCache(*(jnp.where(padding, 9.0, leaf) for leaf in cache))
    np.testing.assert_allclose(
        HEAD.apply(variables, cache, valid, state),
        HEAD.apply(variables, other, valid, state),
        atol=1e-6,
    )


def test_a_fresh_critic_says_zero_and_learns() -> None:
    given, target = inputs(), jnp.array([1.0, -1.0, 0.5])
    variables = jax.jit(HEAD.init)(jax.random.key(0), *given)
    params = nn.unbox(variables)["params"]
    np.testing.assert_array_equal(HEAD.apply({"params": params}, *given), 0.0)

    def loss(params: Any) -> jax.Array:
        return jnp.mean((HEAD.apply({"params": params}, *given) - target) ** 2)

    def descend(params: Any, _: None) -> tuple[Any, jax.Array]:
        value, slope = jax.value_and_grad(loss)(params)
        return jax.tree.map(lambda p, g: p - 0.1 * g, params, slope), value

    learned, losses = jax.jit(lambda p: jax.lax.scan(descend, p, length=100))(params)
    assert losses[-1] < 0.1 * losses[0]
    moved = jax.tree.map(lambda p, q: float(jnp.abs(p - q).max()), params, learned)
    assert all(distance > 0 for distance in jax.tree.leaves(moved))
