"""Tests of the prefix: with its cache, and in every form of inputs, all is one pass."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from omnivla_jax.models import masks
from omnivla_jax.policy import parameters, policy, prefix
from tests.models import once
from tests.policy.debug_inputs import (
    BATCH,
    CONFIG,
    chunks,
    observation,
    random_params,
)

FORMS = {
    "pi0": CONFIG,
    "pi0.5": dataclasses.replace(
        CONFIG, time_conditioning="adaptive", state_token=False
    ),
    "two experts": CONFIG.without_spatial(),
}


@pytest.mark.parametrize("form", FORMS)
def test_cached_velocity_equals_one_joint_pass(form):
    params, seen, config = random_params(FORMS[form]), observation(), FORMS[form]
    tau = jnp.linspace(0.1, 0.9, BATCH)

    def both(params, seen, chunk):
        cache = policy.encode_prefix(params, seen, config=config)
        cached = policy.velocity(params, cache, seen.state, chunk, tau, config=config)
        return cached, _joint_velocity(params, seen, chunk, tau, config)

    cached, joint = once.jit(both)(params, seen, chunks())
    assert float(jnp.abs(cached).max()) > 0.1
    np.testing.assert_allclose(cached, joint, atol=1e-5)


def _joint_velocity(params, seen, chunk, tau, config):
    """Prefix and suffix through the transformer together, without a cache."""
    parts, own = parameters.modules(config), params["action"]
    streams, valid = prefix.prefix_streams(params, seen, config)
    lengths = {name: x.shape[1] for name, x in streams.items()} | config.suffix
    streams["action"], time = parts.action_input.apply(
        {"params": own["input"]}, seen.state, chunk, tau
    )
    mask = masks.block_mask(lengths, suffix_attention=config.suffix_attention)
    own_valid = jnp.ones(streams["action"].shape[:2], bool)
    valid = jnp.concatenate([valid, own_valid], axis=1)
    hidden, _ = parts.mot.apply(
        parameters.mot_variables(params, streams),
        streams,
        positions=masks.positions(valid),
        mask=masks.hide_padding(mask, valid),
        conditions={} if time is None else {"action": time},
    )
    return parts.action_output.apply(
        {"params": own["output"]}, hidden["action"][:, -config.horizon :]
    )


def test_each_form_has_its_own_inputs():
    adaptive = dataclasses.replace(CONFIG, time_conditioning="adaptive")
    blind = FORMS["pi0.5"]
    trees = [parameters.shapes(config) for config in (CONFIG, adaptive, blind)]
    inputs = [set(tree["action"]["input"]) for tree in trees]
    assert inputs[0] - inputs[1] == {"action_time_mlp_in", "action_time_mlp_out"}
    assert inputs[1] - inputs[0] == {"time_mlp_in", "time_mlp_out"}
    assert inputs[1] - inputs[2] == {"state_proj"}
