"""Tests of omnivla_jax.train.online.update on a policy of one parameter."""

import dataclasses

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from omnivla_jax.policy import lora, normalize
from omnivla_jax.rl import grpo, gspo, ppo
from omnivla_jax.train import state
from omnivla_jax.train.online import objectives
from omnivla_jax.train.online import rollout as online_rollout
from omnivla_jax.train.online import update
from omnivla_jax.train.online.config import OnlineConfig
from omnivla_jax.train.sharding import single_device
from omnivla_jax.train.state import OptimizerConfig
from tests.helpers import chains

CHUNKS = 12
CONFIG = OnlineConfig(
    optimizer=OptimizerConfig(learning_rate=1e-2, weight_decay=0.0),
    objective=objectives.flow_gspo(gspo.GspoConfig(length=6)),
    rewards={"success": 1.0},
    updates=1,
    groups=4,
    group_size=1,
    chunks=3,
    minibatches=2,
)
OBJECTIVES = {
    "gspo": CONFIG.objective,
    "grpo": objectives.flow_grpo(grpo.GrpoConfig()),
    "ppo": objectives.flow_ppo(ppo.PpoConfig()),
}


def start(config=CONFIG):
    params = chains.parameters()
    trained = lora.trainable_mask(params, config.scope)
    units = normalize.Normalizer(normalize.identity(1), normalize.identity(chains.D))
    optimizer = state.make_optimizer(config.optimizer, trained)
    held = config.reference == "sft"
    return state.create(params, units, optimizer, seed=0, held=held)


def experience(weight=None):
    """Chunks that are worth as much as their last state is positive."""
    decision = chains.decisions(jax.random.key(1), CHUNKS)
    advantage = jnp.mean(decision.chain.states[:, -1], axis=(1, 2))
    weight = jnp.ones(CHUNKS) if weight is None else weight
    target = jnp.full(CHUNKS, 2.0)
    worth = online_rollout.AdvantageBatch(advantage, weight, jnp.zeros(CHUNKS), target)
    return online_rollout.RolloutBatch(decision, worth)


def learned(config=CONFIG, given=None):
    run = jax.jit(
        lambda before, key, given: update.learn(
            before,
            key,
            given,
            models=chains.models(),
            config=config,
            placement=single_device(),
        )
    )
    return run(start(config), jax.random.key(0), given or experience())


@pytest.mark.parametrize("name", OBJECTIVES)
def test_every_objective_moves_towards_what_is_worth_more(name):
    config = dataclasses.replace(CONFIG, objective=OBJECTIVES[name])
    after, metrics = learned(config)
    assert float(jnp.mean(after.params["action"]["shift"])) > 1e-3
    assert int(after.step) == 1
    wanted = {"loss", "ratio_mean", "clip_fraction", "kl", "kl_last_step_share",
              "entropy", "grad_norm", "grad_norm_action"}
    assert wanted <= set(metrics)
    assert all(np.isfinite(value) for value in metrics.values())
    criticised = after.params["value"]["bias"] > 0
    assert bool(criticised) == (name == "ppo")
    assert ("explained_variance" in metrics) == (name == "ppo")
    assert set(state.evaluated(after)) == {"action"}, "a critic does not act"


def test_accumulated_gradients_are_those_of_the_whole_minibatch():
    weight = jnp.where(jnp.arange(CHUNKS) % 3 == 0, 0.0, 1.0)
    whole, all_metrics = learned(given=experience(weight))
    config = dataclasses.replace(CONFIG, accumulation=3)
    parts, metrics = learned(config, experience(weight))
    chex.assert_trees_all_close(whole.params, parts.params, atol=1e-6)
    np.testing.assert_allclose(all_metrics["loss"], metrics["loss"], atol=1e-6)


def test_a_reference_pulls_back():
    """Away from it, the same update has a divergence to pay for."""
    objective = objectives.flow_gspo(gspo.GspoConfig(length=6, kl_coefficient=10.0))
    config = dataclasses.replace(CONFIG, objective=objective, reference="sft", epochs=4)
    held, metrics = learned(config)
    free, _ = learned(dataclasses.replace(CONFIG, epochs=4))
    shift = "action"
    moved = [float(jnp.abs(s.params[shift]["shift"]).max()) for s in (held, free)]
    assert moved[0] < 0.7 * moved[1]
    assert metrics["kl_penalty"] > 0
    chex.assert_trees_all_equal(held.reference, chains.parameters())


def test_without_any_weight_nothing_changes():
    after, metrics = learned(given=experience(jnp.zeros(CHUNKS)))
    chex.assert_trees_all_equal(after.params, chains.parameters())
    assert metrics["loss"] == 0


def test_settings_that_contradict_each_other_are_named():
    for changes, words in (
        ({"minibatches": 5}, "minibatches=5"),
        ({"branches": 2}, "chunk_share"),
        ({"scope": "all"}, "images"),
        ({"storage": "disk"}, "cache, images, state"),
        ({"reference": "new"}, "old, sft"),
        ({"rewards": {"beauty": 1.0}}, "beauty"),
        (
            {"objective": OBJECTIVES["ppo"], "branches": 2, "chunk_share": 0.5},
            "branches=1",
        ),
    ):
        with pytest.raises(ValueError, match=words):
            dataclasses.replace(CONFIG, **changes)
