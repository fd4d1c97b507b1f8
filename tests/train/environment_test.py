"""Tests of what training tells a policy: its tasks, spelt as the policy spells."""

import dataclasses
import types

import numpy as np
import pytest

from omnivla_jax.policy import config as configs
from omnivla_jax.policy import paligemma_tokenizer, tokenizer
from omnivla_jax.sim import scene as scenes
from omnivla_jax.sim import tasks
from omnivla_jax.train import environment

TEXTS = ("turn on", "open")
SPELLINGS = {"words": tokenizer.WORDS, "bytes": paligemma_tokenizer.BYTES}


@pytest.mark.parametrize("name", SPELLINGS)
def test_instructions_are_spelt_as_the_policy_says(name):
    sizes = configs.preset("debug")
    config = dataclasses.replace(sizes, tokenizer=name, max_tokens=10)
    words = environment.instructions(TEXTS, config)
    for row, text in enumerate(TEXTS):
        tokens, mask = SPELLINGS[name].encode(text, 10)
        np.testing.assert_array_equal(words.tokens[row], tokens)
        np.testing.assert_array_equal(words.mask[row], mask)


@pytest.mark.parametrize(
    "name", ["libero_spatial", "libero_object", "libero_goal", "libero_10"]
)
def test_full_spells_every_libero_instruction_without_a_download(name):
    config = configs.preset("full")
    texts = [task.instruction for task in tasks.suite(name).tasks]
    words = environment.instructions(texts, config)
    longest = max(map(len, texts)) + 2  # a begin mark, a line break
    assert int(words.mask.sum(axis=1).max()) == longest
    assert longest <= 0.75 * config.max_tokens, "no room for rewording"


def test_the_simulator_reports_what_it_could_not_do():
    scene = scenes.make("libero_object", tasks=(0,), physics="mujoco")
    config = dataclasses.replace(configs.preset("debug"), max_tokens=16)
    simulator = environment.simulator(scene, config, size=16)
    state = types.SimpleNamespace(
        physics=types.SimpleNamespace(overflow=3), placement_failures=2
    )
    faults = {"contact_overflow": 3, "placement_failures": 2}
    assert simulator.faults(state) == faults
