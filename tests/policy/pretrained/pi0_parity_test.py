"""The whole pi0 and pi0.5 against LeRobot's, through our loader, at a tiny size."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from omnivla_jax.core import sharding
from omnivla_jax.core.types import Observation
from omnivla_jax.flow import ode, path
from omnivla_jax.policy import policy
from omnivla_jax.policy.pretrained.formats import get_format
from omnivla_jax.policy.pretrained.load import load
from tests.helpers import unoptimized
from tests.helpers.pretrained import fakes, lerobot_pi0, pi0_case, tiny

VELOCITY_TOLERANCE, CHUNK_TOLERANCE = 1e-4, 1e-3


@pytest.fixture(scope="module", params=pi0_case.NAMES)
def case(request, tmp_path_factory):
    """A model's name, its config, our parameters of its file, LeRobot's results."""
    model = request.param
    config = get_format(f"{model}-torch").update_config(tiny.PI0_CASE)
    with np.load(lerobot_pi0.FIXTURE) as file:
        parts = {n: file[f"{model}/{n}"] for n in ("velocity", "chunk", "shapes")}
    file_path = tmp_path_factory.mktemp(model) / "model.safetensors"
    fakes.write_safetensors(file_path, lerobot_pi0.read_weights(model))
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
