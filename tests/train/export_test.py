"""The whole online step, lowered for accelerators: nothing in it needs the host."""

import re

import jax
import jax.export
import jax.numpy as jnp
import pytest

from experiments.configs import quickstart
from experiments.configs.schema import from_config
from omnivla_jax.core import precision
from omnivla_jax.policy import normalize, policy
from omnivla_jax.sim import scene as scenes
from omnivla_jax.train import environment, online, rng, sft

pytestmark = pytest.mark.slow

# Clones, both kinds of advantage, and pictures drawn again: whatever the step can do.
CHANGES = {
    "num_branches": 2,
    "chunk_advantage_weight": 0.5,
    "observation_store": "state",
}


@pytest.fixture(scope="module")
def scene():
    """One task on MJX; no goal asks for contacts: that part of its state is empty."""
    config = quickstart.get_config("debug")
    return scenes.make(config.suite, tasks=config.tasks[1:2], engine="mjx")


@pytest.fixture
def on_an_accelerator(monkeypatch):
    """Whatever asks for the device gets the answer that it will get there."""
    monkeypatch.setattr(jax, "default_backend", lambda: "tpu")
    assert precision.compute_dtype() == jnp.bfloat16


def step_and_arguments(scene):
    """The debug job's step, and its state as shapes: nothing is run."""
    config = quickstart.get_config("debug")
    config.rl.update(CHANGES)
    settings = from_config(config)
    step = online.make_step(
        environment.simulator(scene, settings.policy, size=settings.image_size),
        settings.tasks[1:2],
        policy_config=settings.policy,
        sampler=settings.sampler,
        config=settings.rl,
    )

    def start():
        key = rng.named_key(0, "init")
        units = normalize.identity_normalizer(8, 7)
        params = policy.init(key, settings.policy)
        before = sft.create(params, units, settings.sft, seed=0)
        return online.create(before, settings.rl, settings.policy)

    return step, (jax.eval_shape(start), rng.named_key(0, "online"))


@pytest.mark.usefixtures("on_an_accelerator")
@pytest.mark.parametrize("platform", ["tpu", "cuda"])
def test_the_step_lowers_without_the_host(scene, platform):
    step, arguments = step_and_arguments(scene)
    exported = jax.export.export(step, platforms=(platform,))(*arguments)
    assert exported.platforms == (platform,)
    text = exported.mlir_module()
    assert "while" in text  # the episode is in it
    assert "bf16" in text  # and it is the accelerators' program
    called = set(re.findall(r"custom_call\s+@([\w.]+)", text))
    assert not {name for name in called if "callback" in name or "host" in name}, called
