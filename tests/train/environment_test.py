"""Tests of what training tells a policy: its tasks, spelt as the policy spells."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from omnivla_jax.core import compile as compilation
from omnivla_jax.policy import config as configs
from omnivla_jax.policy.tokenizers import hashed_words
from omnivla_jax.policy.tokenizers import paligemma as paligemma_tokenizer
from omnivla_jax.sim import scene as scenes
from omnivla_jax.sim.libero import tasks
from omnivla_jax.train import environment
from omnivla_jax.train.online import rollout as online_rollout

TEXTS = ("turn on", "open")
SPELLINGS = {"words": hashed_words.HASHED_WORDS, "bytes": paligemma_tokenizer.BYTES}


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


def _words():
    config = dataclasses.replace(configs.preset("debug"), max_tokens=10)
    return environment.instructions(TEXTS, config)


@pytest.mark.parametrize("kind", [list, np.array, jnp.array])
def test_instructions_that_do_not_exist_are_refused(kind):
    with pytest.raises(ValueError, match=r"\[2, -1\].*0 to 1"):
        environment.instruction_tokens(_words(), kind([0, 2, -1]))


def test_traced_unknown_instructions_are_empty():
    words = _words()
    run = jax.jit(
        lambda instruction_id: environment.instruction_tokens(words, instruction_id)
    )
    tokens, mask = run(jnp.array([1, 2, -1, 0]))
    for row, instruction_id in ((0, 1), (3, 0)):
        np.testing.assert_array_equal(tokens[row], words.tokens[instruction_id])
        np.testing.assert_array_equal(mask[row], words.mask[instruction_id])
    assert not mask[1:3].any() and (tokens >= 0).all()


@pytest.fixture(scope="module")
def simulator():
    scene = scenes.make("libero_spatial", tasks=(5,), engine="mujoco")
    config = dataclasses.replace(configs.preset("debug"), max_tokens=24)
    return environment.simulator(scene, config, size=8)


def test_unknown_tasks_are_counted_as_a_fault(simulator):
    def run(task, keys):
        state = simulator.reset(task, keys)
        return state.diverged, simulator.diagnostics(state)

    keys = jax.random.split(jax.random.key(0), 3)
    diverged, counts = compilation.jit(run)(jnp.array([5, 4, -5]), keys)
    np.testing.assert_array_equal(counts["unknown_task"], [0, 1, 1])
    assert set(counts) == {"contact_overflow", "placement_failures", "unknown_task"}
    np.testing.assert_array_equal(diverged, [False, True, True])


def test_rollouts_of_missing_tasks_are_refused(simulator):
    environment.check_tasks(simulator, (5,))
    environment.check_tasks(simulator._replace(task_ids=None), (99,))
    unused: Any = None
    with pytest.raises(ValueError, match=r"\[4, -5\].*holds 5"):
        online_rollout.reset_groups(simulator, (5, 4, -5), jax.random.key(0), unused)
