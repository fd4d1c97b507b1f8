"""The whole online step, lowered for accelerators: nothing in it needs the host."""

import re

import jax
import jax.export
import pytest

from experiments.configs import quickstart
from experiments.settings import from_config
from omnivla_jax.policy import normalize, policy
from omnivla_jax.sim import scene as scenes
from omnivla_jax.train import action, environment, online, streams


@pytest.fixture(scope="module")
def step_and_arguments():
    """The debug job on MJX, its state as shapes: nothing is run."""
    settings = from_config(quickstart.get_config("debug"))
    scene = scenes.make(settings.suite, tasks=settings.tasks[:1], physics="mjx")
    texts = [task.instruction for task in scene.tasks]
    words = environment.instructions(texts, settings.policy)
    step = online.make_step(
        environment.simulator(scene, words, size=settings.image_size),
        settings.tasks[:1],
        policy_config=settings.policy,
        sampler=settings.sampler,
        config=settings.rl,
    )

    def start():
        key = streams.stream(0, "init")
        units = normalize.Normalizer(normalize.identity(8), normalize.identity(7))
        params = policy.init(key, settings.policy)
        before = action.create(params, units, settings.action, seed=0)
        return online.create(before, settings.rl, settings.policy)

    return step, (jax.eval_shape(start), streams.stream(0, "online"))


def test_the_step_lowers_without_the_host(step_and_arguments):
    step, arguments = step_and_arguments
    platforms = ("tpu", "cuda")
    exported = jax.export.export(step, platforms=platforms)(*arguments)
    assert exported.platforms == platforms
    text = exported.mlir_module()
    assert "while" in text  # the episode is in it
    called = set(re.findall(r"custom_call\s+@([\w.]+)", text))
    assert not {name for name in called if "callback" in name or "host" in name}, called
