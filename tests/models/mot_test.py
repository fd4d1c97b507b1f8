"""Tests of the Mixture of Transformers: who influences whom, caching, absence."""

import dataclasses
import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from omnivla_jax.core import compile
from omnivla_jax.models import masks
from omnivla_jax.models.mot import (
    ExpertConfig,
    LayerCache,
    MixtureOfTransformers,
    MotConfig,
)
from tests.models.random_tree import random_parameters

SHARED = {"depth": 2, "heads": 2, "kv_heads": 1, "head_dim": 4}
CONFIG = MotConfig(
    reasoning=ExpertConfig(width=8, mlp_dim=12, **SHARED),
    spatial=ExpertConfig(width=6, mlp_dim=8, **SHARED),
    action=ExpertConfig(width=10, mlp_dim=8, **SHARED),
    remat=None,
    unroll=1,
)
LENGTHS = {"reasoning": 3, "spatial": 2, "action": 4}  # the state is action token 0


def streams(config: MotConfig = CONFIG, seed: int = 0) -> dict[str, jax.Array]:
    keys = jax.random.split(jax.random.key(seed), 3)
    return {
        name: jax.random.normal(key, (2, LENGTHS[name], expert.width))
        for key, (name, expert) in zip(keys, config.experts.items())
    }


def joint_mask(tokens: dict[str, jax.Array], suffix: str) -> np.ndarray:
    lengths = {name: x.shape[1] for name, x in tokens.items()}
    lengths |= {"state": 1, "action": lengths["action"] - 1}
    return masks.block_mask(lengths, suffix_attention=suffix)


def forward(params, tokens, *, config: MotConfig = CONFIG, suffix: str = "causal"):
    mask = joint_mask(tokens, suffix)
    valid = jnp.ones((len(tokens["action"]), len(mask)), bool)
    return MixtureOfTransformers(config).apply(
        params,
        tokens,
        positions=masks.positions(valid),
        mask=masks.hide_padding(mask, valid),
    )


@functools.cache
def parameters(config: MotConfig = CONFIG):
    tokens = streams(config)
    count = sum(x.shape[1] for x in tokens.values())
    return random_parameters(
        MixtureOfTransformers(config),
        tokens,
        positions=np.zeros((2, count), np.int32),
        mask=np.ones((2, count, count), bool),
    )


def influence(suffix: str) -> np.ndarray:
    """[output token, input token] of the whole sequence, by moving one at a time."""
    count = sum(LENGTHS.values())
    # Sample 0 is untouched; in sample i + 1 input token i differs.
    moved = np.eye(count + 1, count, k=-1)[..., None]
    cuts, order = (3, 5), ("reasoning", "spatial", "action")
    shifts = dict(zip(order, np.split(moved, cuts, axis=1)))
    tokens = {name: x[:1] + shifts[name] for name, x in streams().items()}
    hidden, _ = jax.jit(forward, static_argnames="suffix")(
        parameters(), tokens, suffix=suffix
    )
    whole = [jnp.abs(hidden[n][1:] - hidden[n][:1]).max(axis=-1) for n in order]
    return np.asarray(jnp.concatenate(whole, axis=1)).T > 1e-7


@pytest.mark.parametrize("suffix", ["causal", "bidirectional"])
def test_influence_is_exactly_what_the_mask_allows(suffix):
    # Two layers of these masks compose to the masks themselves.
    expected = joint_mask(streams(), suffix)
    np.testing.assert_array_equal(influence(suffix), expected)


def test_cached_equals_uncached():
    tokens, params, mask = streams(), parameters(), joint_mask(streams(), "causal")
    whole, _ = jax.jit(forward)(params, tokens)
    action = tokens.pop("action")
    valid, prefix = jnp.ones((2, 9), bool), 5
    apply = functools.partial(MixtureOfTransformers(CONFIG).apply, params)
    prefix_mask = masks.hide_padding(mask[:prefix, :prefix], valid[:, :prefix])
    where = masks.positions(valid)
    _, past = apply(tokens, positions=where[:, :prefix], mask=prefix_mask)
    assert past.keys.shape == (2, 2, prefix, 1, 4)
    hidden, _ = apply(
        {"action": action},
        positions=where[:, prefix:],
        mask=masks.hide_padding(mask[prefix:], valid),
        past=LayerCache(*past),
    )
    np.testing.assert_allclose(hidden["action"], whole["action"], atol=1e-5)


def test_missing_expert_costs_nothing():
    config = dataclasses.replace(CONFIG, spatial=None)
    params = parameters(config)
    assert set(params["params"]["layers"]) == {"reasoning", "action"}
    hidden, _ = jax.jit(functools.partial(forward, config=config))(
        params, streams(config)
    )
    assert set(hidden) == {"reasoning", "action"}


def test_compilation_choices_change_no_number():
    config = dataclasses.replace(CONFIG, remat="dots", unroll=2)

    def gradient(config):
        loss = functools.partial(_loss, config=config)
        return jax.jit(jax.grad(loss))(parameters(), streams())

    chex.assert_trees_all_close(gradient(config), gradient(CONFIG), atol=1e-4)


def test_no_retrace():
    traced = chex.assert_max_traces(forward, n=1)
    step = compile.jit(traced)
    step(parameters(), streams(seed=1))
    step(parameters(), streams(seed=2))


def test_layers_are_stacked_and_named():
    kernel = parameters()["params"]["layers"]["action"]["attn"]["q_einsum"]
    assert kernel.shape == (2, 2, 10, 4)  # layers, heads, width, head_dim


def test_errors_name_values_and_remedy():
    odd = dataclasses.replace(CONFIG.experts["action"], heads=4)
    with pytest.raises(ValueError, match="one heads for all experts.*'action': 4"):
        dataclasses.replace(CONFIG, action=odd)
    with pytest.raises(ValueError, match="remat is 'all'"):
        dataclasses.replace(CONFIG, remat="all")
    config = dataclasses.replace(CONFIG, spatial=None)
    with pytest.raises(ValueError, match="No expert .'spatial'."):
        forward(parameters(), streams(), config=config)


def _loss(params, tokens, *, config):
    hidden, _ = forward(params, tokens, config=config)
    return jnp.mean(hidden["action"] ** 3)
