"""Tests of scopes, adapters and averages: what trains, and what merging adds."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from omnivla_jax.policy import lora

KEY = jax.random.key(0)


def tree(seed: int = 0):
    """A policy in miniature: two experts with stacked layers."""
    rng = np.random.default_rng(seed)

    def weight(*shape):
        return jnp.asarray(rng.normal(size=shape), jnp.float32)

    layers = {"attn": {"q_einsum": weight(2, 3, 6, 4)}, "norm": {"scale": weight(2, 6)}}
    action = {"layers": layers, "input": {"kernel": weight(7, 6)}, "output": weight(6)}
    mlp = {"linear": weight(2, 8, 5), "gating_einsum": weight(2, 2, 5, 8)}
    encoder = {"linear": weight(3, 3)}
    return {"reasoning": {"layers": {"mlp": mlp}, "encoder": encoder}, "action": action}


def trained(scope: str) -> set[str]:
    """Paths that train, written a/b/c."""
    add = functools.partial(lora.add_adapters, trainable=scope)
    params = jax.eval_shape(add, tree(), KEY)  # names are enough
    mask = lora.trainable_mask(params, scope)
    chex.assert_trees_all_equal_structs(mask, params)
    flat = flatten_dict(mask, sep="/")
    return {path for path, on in flat.items() if on}


def test_scopes_name_what_trains():
    whole = trained("all")
    assert len(whole) == len(jax.tree.leaves(tree()))
    assert trained("experts:action") == {p for p in whole if p.startswith("action/")}
    assert trained("experts:action,reasoning") == whole
    low_rank = trained("lora:r=2")
    assert {p for p in low_rank if not p.startswith("lora/")} == {
        "action/input/kernel",
        "action/output",
    }
    assert {p.rpartition("/")[0] for p in low_rank if p.startswith("lora/")} == {
        "lora/action/layers/attn/q_einsum",
        "lora/reasoning/layers/mlp/gating_einsum",
        "lora/reasoning/layers/mlp/linear",
    }


@pytest.mark.parametrize("scope", ["all", "experts:action"])
def test_an_action_heads_codec_never_trains(scope):
    params = tree()
    params["action"]["codec"] = {"low": jnp.zeros(7)}
    mask = lora.trainable_mask(params, scope)["action"]
    assert mask["input"]["kernel"] and not mask["codec"]["low"]


@pytest.mark.slow
@pytest.mark.parametrize("scope", ["all", "experts:action", "lora:r=2"])
def test_the_critic_trains_under_every_scope(scope):
    critic = {"query": jnp.ones((2, 3)), "out": {"kernel": jnp.ones((4, 1))}}
    params = lora.add_adapters(tree() | {"value": critic}, KEY, trainable=scope)
    mask = lora.trainable_mask(params, scope)
    assert all(jax.tree.leaves(mask["value"]))
    assert "value" not in params.get("lora", {})
    chex.assert_trees_all_equal(lora.merge(params)["value"], critic)
    after = lora.update_ema(params, params, step=jnp.asarray(3), limit=0.9)
    chex.assert_trees_all_close(after["value"], critic)
    alone = lora.trainable_mask(tree(), "experts:action")
    if scope == "experts:action":
        assert {k: v for k, v in mask.items() if k != "value"} == alone
    with pytest.raises(ValueError, match="names among reasoning, action.$"):
        lora.trainable_mask(params, "experts:value")


def test_unknown_scopes_are_refused_with_the_choices():
    for scope in ("experts:hand", "action", "experts:", "lora:r=0", "lora"):
        with pytest.raises(ValueError, match=f"Cannot train '{scope}'.*reasoning, act"):
            lora.trainable_mask(tree(), scope)
    with pytest.raises(ValueError, match="add them by add_adapters"):
        lora.trainable_mask(tree(), "lora:r=2")


def test_fresh_adapters_change_nothing():
    params = lora.add_adapters(tree(), KEY, trainable="lora:r=2")
    pair = params["lora"]["action"]["layers"]["attn"]["q_einsum"]
    chex.assert_shape([pair["a"], pair["b"]], [(2, 3, 6, 2), (2, 3, 2, 4)])
    chex.assert_trees_all_equal(lora.merge(params), tree())


def test_merging_adds_the_product_of_the_pair():
    params = lora.add_adapters(tree(), KEY, trainable="lora:r=2")
    pair = params["lora"]["reasoning"]["layers"]["mlp"]["linear"]
    pair["b"] = jnp.ones_like(pair["b"])
    merged = lora.merge(params)
    change = merged["reasoning"]["layers"]["mlp"]["linear"] - (
        tree()["reasoning"]["layers"]["mlp"]["linear"]
    )
    expected = np.repeat(np.asarray(pair["a"]).sum(-1, keepdims=True), 5, axis=-1)
    np.testing.assert_allclose(change, expected, atol=1e-5)
    assert np.linalg.matrix_rank(change[0], tol=1e-4) == 1  # b repeats one row
    chex.assert_trees_all_equal(merged["action"], tree()["action"])
    again = lora.add_adapters(params, KEY, trainable="all")
    chex.assert_trees_all_equal(again, merged)


def test_the_gradient_reaches_the_adapters():
    params = lora.add_adapters(tree(), KEY, trainable="lora:r=2")

    def loss(params):
        return sum(jnp.sum(x**2) for x in jax.tree.leaves(lora.merge(params)))

    pair = jax.grad(loss)(params)["lora"]["action"]["layers"]["attn"]["q_einsum"]
    weight = tree()["action"]["layers"]["attn"]["q_einsum"]
    a = params["lora"]["action"]["layers"]["attn"]["q_einsum"]["a"]
    expected = 2 * np.swapaxes(a, -1, -2) @ np.asarray(weight)  # a^T dW, with dW = 2 W
    np.testing.assert_allclose(pair["b"], expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(pair["a"], 0)  # as long as b is 0


def test_the_average_is_short_at_first():
    # Step 0 keeps a tenth of the past, a late step what the limit says.
    before, params = {"w": jnp.zeros(1)}, {"w": jnp.ones(1)}
    for step, kept in ((0, 0.1), (8, 0.5), (10**6, 0.99)):
        after = lora.update_ema(before, params, step=jnp.asarray(step), limit=0.99)
        np.testing.assert_allclose(after["w"], 1 - kept, rtol=1e-4)
