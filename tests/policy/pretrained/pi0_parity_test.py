"""The whole pi0 and pi0.5 against LeRobot's, through our loader, at a tiny size."""

import functools
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from omnivla_jax.core import sharding
from omnivla_jax.core.types import Observation
from omnivla_jax.flow import ode, path
from omnivla_jax.models.encoders.vit import VitConfig
from omnivla_jax.models.mot import ExpertConfig, MotConfig
from omnivla_jax.policy import policy
from omnivla_jax.policy.config import PolicyConfig
from omnivla_jax.policy.pretrained.formats import get_format
from omnivla_jax.policy.pretrained.load import load
from tests.helpers import unoptimized
from tests.helpers.pretrained import fakes, lerobot_pi0, pi0_case

FIXTURE = Path(lerobot_pi0.__file__).parent / "fixtures" / "lerobot_pi0.npz"
VELOCITY_TOLERANCE, CHUNK_TOLERANCE = 1e-4, 1e-3


def tiny_config(model: str) -> PolicyConfig:
    """The sizes of the case, with the model's ends."""
    shared = {
        "depth": pi0_case.GEMMA["depth"],
        "heads": pi0_case.GEMMA["num_heads"],
        "kv_heads": pi0_case.GEMMA["num_kv_heads"],
        "head_dim": pi0_case.GEMMA["head_dim"],
    }
    vision = pi0_case.VISION
    base = PolicyConfig(
        vision=VitConfig(
            image_size=pi0_case.IMAGE_SIZE,
            strides=(vision["patch_size"],),
            stem_width=0,
            width=vision["hidden_size"],
            mlp_dim=vision["intermediate_size"],
            depth=vision["num_hidden_layers"],
            heads=vision["num_attention_heads"],
        ),
        spatial_vision=None,
        mot=MotConfig(
            reasoning=ExpertConfig(**pi0_case.REASONING, **shared),
            spatial=None,
            action=ExpertConfig(**pi0_case.ACTION, **shared),
            remat=None,
            unroll=1,
        ),
        horizon=pi0_case.HORIZON,
        max_tokens=pi0_case.MAX_TOKENS,
        vocab=pi0_case.VOCAB,
    )
    return get_format(f"{model}-torch").update_config(base)


@pytest.fixture(scope="module", params=pi0_case.NAMES)
def case(request, tmp_path_factory):
    """A model's name, its config, our parameters of its file, LeRobot's results."""
    model, config = request.param, tiny_config(request.param)
    with np.load(FIXTURE) as file:
        parts = {n: file[f"{model}/{n}"] for n in ("velocity", "chunk", "shapes")}
    file_path = tmp_path_factory.mktemp(model) / "model.safetensors"
    weights = pi0_case.make_weights(json.loads(str(parts["shapes"])))
    fakes.write_safetensors(file_path, weights)
    files = [(get_format(f"{model}-torch"), file_path)]
    mesh = sharding.make_mesh()
    found = load(jax.random.key(0), files, config=config, mesh=mesh)
    assert not found.missing_initialized
    return model, config, found.params, parts


@pytest.fixture(scope="module")
def prefix(case):
    _, config, params, _ = case
    inputs = pi0_case.make_inputs()
    observation = Observation(
        jnp.asarray(inputs.images),
        jnp.asarray(inputs.tokens),
        jnp.asarray(inputs.token_mask),
        jnp.asarray(inputs.state),
    )
    encode = unoptimized.jit(functools.partial(policy.encode_prefix, config=config))
    return encode(params, observation), inputs


def test_velocity(case, prefix):
    _, config, params, theirs = case
    cache, inputs = prefix
    velocity = unoptimized.jit(functools.partial(policy.velocity, config=config))
    for time, expected in zip(inputs.times, theirs["velocity"], strict=True):
        tau = jnp.asarray(1 - time)
        mixed = path.interpolate(inputs.noise, inputs.actions, tau)
        actual = velocity(params, cache, jnp.asarray(inputs.state), mixed, tau)
        assert np.abs(expected).max() > 0.5
        np.testing.assert_allclose(actual, -expected, atol=VELOCITY_TOLERANCE)


def test_chunk(case, prefix):
    _, config, params, theirs = case
    cache, inputs = prefix

    def sample(params, cache, state, noise):
        velocity = functools.partial(
            policy.velocity, params, cache, state, config=config
        )
        return ode.sample(velocity, noise, steps=pi0_case.STEPS)

    state = jnp.asarray(inputs.state)
    actual = unoptimized.jit(sample)(params, cache, state, jnp.asarray(inputs.noise))
    np.testing.assert_allclose(actual, theirs["chunk"], atol=CHUNK_TOLERANCE)
    moved = np.abs(np.asarray(theirs["chunk"]) - inputs.noise)
    assert moved.max() > 0.5


def test_the_fixture_is_what_lerobot_computes(case):
    model, _, _, theirs = case
    pytest.importorskip("lerobot.policies.pi0.modeling_pi0")
    live = lerobot_pi0.compute(model)
    assert str(live[f"{model}/shapes"]) == str(theirs["shapes"])
    for name in ("velocity", "chunk"):
        np.testing.assert_allclose(live[f"{model}/{name}"], theirs[name], atol=1e-5)
