"""Tests of the prefix: with its cache, and in every form of inputs, all is one pass."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from omnivla_jax.models import masks
from omnivla_jax.models.heads.flow_action import TIME_CONDITIONING, ActionOutput
from omnivla_jax.policy import parameters, policy, prefix
from omnivla_jax.policy.modules import build_modules, expert_params
from tests.helpers import unoptimized
from tests.helpers.debug_inputs import (
    BATCH,
    CONFIG,
    chunks,
    observation,
    random_params,
)

PI0 = dataclasses.replace(CONFIG, suffix_attention="bidirectional")
FORMS = {
    "paper": CONFIG,
    "pi0": PI0,
    "pi0.5": dataclasses.replace(
        PI0, time_conditioning="adaptive", proprio_token=False
    ),
    "two experts": CONFIG.without_spatial(),
}


@pytest.mark.parametrize("form", FORMS)
def test_cached_velocity_equals_one_joint_pass(form):
    params, seen, config = random_params(FORMS[form]), observation(), FORMS[form]
    tau = jnp.linspace(0.1, 0.9, BATCH)

    def both(params, seen, chunk):
        cache = policy.encode_prefix(params, seen, config=config)
        cached = policy.velocity(params, cache, seen.proprio, chunk, tau, config=config)
        return cached, _joint_velocity(params, seen, chunk, tau, config)

    cached, joint = unoptimized.jit(both)(params, seen, chunks())
    assert float(jnp.abs(cached).max()) > 0.1
    np.testing.assert_allclose(cached, joint, atol=1e-5)


def _joint_velocity(params, seen, chunk, tau, config):
    """Prefix and suffix through the transformer together, without a cache."""
    parts, own = build_modules(config), params["action"]
    streams, valid = prefix.prefix_streams(params, seen, config)
    lengths = {name: x.shape[1] for name, x in streams.items()} | config.suffix
    width = config.mot.experts["action"].width
    make_input = TIME_CONDITIONING[config.time_conditioning]
    streams["action"], time = make_input(width, config.proprio_token).apply(
        {"params": own["input"]}, seen.proprio, chunk, tau
    )
    mask = masks.block_mask(lengths, suffix_attention=config.suffix_attention)
    own_valid = jnp.ones(streams["action"].shape[:2], bool)
    valid = jnp.concatenate([valid, own_valid], axis=1)
    hidden, _ = parts.mot.apply(
        expert_params(params, streams),
        streams,
        positions=masks.positions(valid),
        mask=masks.hide_padding(mask, valid),
        conditions={} if time is None else {"action": time},
    )
    return ActionOutput(config.action_dim).apply(
        {"params": own["output"]}, hidden["action"][:, -config.horizon :]
    )


@pytest.mark.parametrize(
    "form, earlier_only", [("paper", True), ("pi0", False), ("pi0.5", False)]
)
def test_only_pi0_actions_see_later_ones(form, earlier_only):
    params, seen, config = random_params(FORMS[form]), observation(), FORMS[form]
    tau, count = jnp.linspace(0.1, 0.9, BATCH), config.horizon

    def changes(params, seen, chunk):
        """How far action i [H, H] moves when action j does, the largest of a batch."""
        cache = policy.encode_prefix(params, seen, config=config)

        def velocity(chunk):
            return policy.velocity(
                params, cache, seen.proprio, chunk, tau, config=config
            )

        moved = chunk + jnp.eye(count)[:, None, :, None]  # [j, B, H, D]
        change = jax.vmap(velocity)(moved) - velocity(chunk)
        return jnp.abs(change).max(axis=(1, 3)).T

    found = unoptimized.jit(changes)(params, seen, chunks())
    everything = np.ones((count, count), bool)
    expected = np.tril(everything) if earlier_only else everything
    np.testing.assert_array_equal(found > 1e-4, expected, err_msg=str(found))


def test_each_form_has_its_own_inputs():
    adaptive = dataclasses.replace(CONFIG, time_conditioning="adaptive")
    blind = FORMS["pi0.5"]
    trees = [parameters.shapes(config) for config in (CONFIG, adaptive, blind)]
    inputs = [set(tree["action"]["input"]) for tree in trees]
    assert inputs[0] - inputs[1] == {"action_time_mlp_in", "action_time_mlp_out"}
    assert inputs[1] - inputs[0] == {"time_mlp_in", "time_mlp_out"}
    assert inputs[1] - inputs[2] == {"state_proj"}
