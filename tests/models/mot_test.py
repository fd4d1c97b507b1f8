"""Tests of the Mixture of Transformers: who influences whom, caching, absence."""

import dataclasses
import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from omnivla_jax.models import masks
from omnivla_jax.models.mot import (
    EXPERTS,
    ExpertConfig,
    LayerCache,
    MixtureOfTransformers,
    MotConfig,
)
from tests.helpers import unoptimized
from tests.helpers.random_tree import random_parameters

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


def forward(params, tokens, mask, *, config: MotConfig = CONFIG, **named):
    valid = jnp.ones((len(tokens["action"]), len(mask)), bool)
    return MixtureOfTransformers(config).apply(
        params,
        tokens,
        positions=masks.positions(valid),
        mask=masks.hide_padding(mask, valid),
        **named,
    )


@functools.cache
def parameters(config: MotConfig = CONFIG, conditioned: bool = False):
    tokens = streams(config)
    count = sum(x.shape[1] for x in tokens.values())
    return random_parameters(
        MixtureOfTransformers(config),
        tokens,
        positions=np.zeros((2, count), np.int32),
        mask=np.ones((2, count, count), bool),
        conditions={"action": jnp.ones((2, 10))} if conditioned else {},
    )


@functools.cache
def influence(suffix: str) -> np.ndarray:
    """[output token, input token]: whether a gradient leads from one to the other."""
    slopes = jacobian()(streams(), parameters(), joint_mask(streams(), suffix))
    return np.concatenate([np.any(slopes[n][:, 0], axis=-1) for n in EXPERTS], axis=1)


@functools.cache
def jacobian():
    def outputs(tokens, params, mask):  # one number per token, of the first sample
        hidden, _ = forward(params, tokens, mask)
        return jnp.concatenate([jnp.sum(hidden[n][0] ** 3, axis=-1) for n in EXPERTS])

    return unoptimized.jit(jax.jacrev(outputs))


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["causal", "bidirectional"])
def test_gradients_flow_exactly_where_the_mask_allows(suffix):
    # Two layers of these masks compose to the masks themselves.
    reached, prefix = influence(suffix), LENGTHS["reasoning"] + LENGTHS["spatial"]
    np.testing.assert_array_equal(reached, joint_mask(streams(), suffix))
    assert not reached[:prefix, prefix:].any()
    later = reached[prefix + 1 :, prefix + 1 :][np.triu_indices(3, k=1)]
    assert later.all() == later.any() == (suffix == "bidirectional")


@pytest.mark.parametrize("adaptive", [False, True])
def test_cached_equals_uncached(adaptive):
    tokens, mask = streams(), joint_mask(streams(), "causal")
    conditions = {"action": jnp.ones((2, 10))} if adaptive else {}
    params = parameters(conditioned=adaptive)
    whole, _ = unoptimized.jit(forward)(params, tokens, mask, conditions=conditions)
    action = tokens.pop("action")
    valid, prefix = jnp.ones((2, 9), bool), 5
    apply = unoptimized.jit(MixtureOfTransformers(CONFIG).apply)
    prefix_mask = masks.hide_padding(mask[:prefix, :prefix], valid[:, :prefix])
    where = masks.positions(valid)
    _, past = apply(params, tokens, positions=where[:, :prefix], mask=prefix_mask)
    assert past.keys.shape == (2, 2, prefix, 1, 4)
    hidden, _ = apply(
        params,
        {"action": action},
        positions=where[:, prefix:],
        mask=masks.hide_padding(mask[prefix:], valid),
        past=LayerCache(*past),
        conditions=conditions,
    )
    np.testing.assert_allclose(hidden["action"], whole["action"], atol=1e-5)


def test_missing_expert_costs_nothing():
    def flops(config, names):
        tokens = {name: x for name, x in streams().items() if name in names}
        run = functools.partial(forward, config=config)
        lowered = jax.jit(run).lower(parameters(), tokens, joint_mask(tokens, "causal"))
        costs = lowered.cost_analysis()
        assert costs is not None
        return costs["flops"]

    two = ("reasoning", "action")
    config = dataclasses.replace(CONFIG, spatial=None)
    assert set(parameters(config)["params"]["layers"]) == set(two)
    assert flops(config, two) == flops(CONFIG, two) < flops(CONFIG, LENGTHS)


def test_adaptive_layers_start_as_the_identity():
    module, tokens = MixtureOfTransformers(CONFIG), {"action": streams()["action"]}
    named = {"positions": np.zeros((2, 4), np.int32), "mask": np.ones((2, 4, 4), bool)}
    conditions = {"action": jnp.ones((2, 10))}
    init = unoptimized.jit(
        functools.partial(module.init_with_output, conditions=conditions)
    )
    (hidden, _), _ = init(jax.random.key(0), tokens, **named)
    rms = jnp.sqrt(jnp.mean(tokens["action"] ** 2, axis=-1, keepdims=True))
    np.testing.assert_allclose(hidden["action"], tokens["action"] / rms, atol=1e-5)


def test_compilation_choices_change_no_number():
    config = dataclasses.replace(CONFIG, remat="dots", unroll=2)

    def gradient(config):
        loss = functools.partial(_loss, config=config)
        return unoptimized.jit(jax.grad(loss))(parameters(), streams())

    chex.assert_trees_all_close(gradient(config), gradient(CONFIG), atol=1e-4)


def test_no_retrace():
    step = unoptimized.jit(chex.assert_max_traces(forward, n=1))
    for seed in (1, 2):
        step(parameters(), streams(seed=seed), joint_mask(streams(), "causal"))


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
        forward(parameters(), streams(), np.ones((9, 9), bool), config=config)


def _loss(params, tokens, *, config):
    mask = joint_mask(tokens, "causal")
    hidden, _ = forward(params, tokens, mask, config=config)
    return jnp.mean(hidden["action"] ** 3)
