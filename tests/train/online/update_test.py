"""Tests of omnivla_jax.train.online.update on a policy of one parameter."""

import dataclasses

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from omnivla_jax.policy import lora, normalize
from omnivla_jax.train import state
from omnivla_jax.train.online import objectives, update
from omnivla_jax.train.online.advantages import AdvantageBatch
from omnivla_jax.train.online.config import OnlineConfig
from omnivla_jax.train.online.rollout import RolloutBatch
from omnivla_jax.train.sharding import SINGLE_DEVICE
from omnivla_jax.train.state import OptimizerConfig
from tests.helpers import chains

CHUNKS = 12
CONFIG = OnlineConfig(
    optimizer=OptimizerConfig(learning_rate=1e-2, weight_decay=0.0),
    objective=objectives.make("gspo", ratio_normalizer=6),
    reward_weights={"success": 1.0},
    updates=1,
    groups=4,
    group_size=1,
    chunks=3,
    minibatches=2,
)
OBJECTIVES = {
    "gspo": CONFIG.objective,
    "grpo": objectives.make("grpo"),
    "nft": objectives.make("nft"),
    "rloo": objectives.make("rloo"),
    "dpo": objectives.make("dpo"),
    "ppo": objectives.make("ppo"),
    "dppo": objectives.make("dppo"),
}


def start(config=CONFIG):
    params = chains.parameters()
    trained = lora.trainable_mask(params, config.trainable)
    units = normalize.identity_normalizer(1, chains.D)
    optimizer = state.make_optimizer(config.optimizer, trained)
    held, averages = config.reference == "sft", config.ema_decay > 0
    return state.create(
        params, units, optimizer, seed=0, keep_ema=averages, keep_reference=held
    )


def batch(weight=None):
    """Chunks whose advantage is the mean of their last state."""
    output = chains.outputs(jax.random.key(1), CHUNKS)
    advantage = jnp.mean(output.trace.states[:, -1], axis=(1, 2))
    weight = jnp.ones(CHUNKS) if weight is None else weight
    target = jnp.full(CHUNKS, 2.0)
    group = jnp.zeros(CHUNKS, jnp.int32)
    advantages = AdvantageBatch(advantage, weight, jnp.zeros(CHUNKS), target, group)
    return RolloutBatch(output, advantages)


def learned(config=CONFIG, given=None, before=None):
    run = jax.jit(
        lambda before, key, given: update.update_epochs(
            before,
            key,
            given,
            agent=chains.ShiftAgent(),
            config=config,
            mesh_sharding=SINGLE_DEVICE,
        )
    )
    return run(before or start(config), jax.random.key(0), given or batch())


@pytest.mark.parametrize("name", OBJECTIVES)
def test_every_objective_moves_towards_higher_advantages(name):
    config = dataclasses.replace(CONFIG, objective=OBJECTIVES[name])
    after, metrics = learned(config)
    assert float(jnp.mean(after.params["action"]["shift"])) > 1e-3
    assert int(after.step) == 1
    wanted = {
        "loss",
        "ratio_mean",
        "clip_fraction",
        "kl",
        "kl_last_step_share",
        "entropy",
        "grad_norm",
        "grad_norm_action",
    }
    assert wanted <= set(metrics)
    assert all(np.isfinite(value) for value in metrics.values())
    criticised = after.params["value"]["bias"] > 0
    has_critic = name in ("ppo", "dppo")
    assert bool(criticised) == has_critic
    assert ("explained_variance" in metrics) == has_critic
    assert set(state.eval_params(after)) == {"action"}, "a critic does not act"


def test_accumulated_gradients_are_those_of_the_whole_minibatch():
    weight = jnp.where(jnp.arange(CHUNKS) % 3 == 0, 0.0, 1.0)
    whole, all_metrics = learned(given=batch(weight))
    config = dataclasses.replace(CONFIG, grad_accum_steps=3)
    parts, metrics = learned(config, batch(weight))
    chex.assert_trees_all_close(whole.params, parts.params, atol=1e-6)
    np.testing.assert_allclose(all_metrics["loss"], metrics["loss"], atol=1e-6)


def test_every_shard_shuffles_its_own_chunks():
    weight = jnp.arange(24.0).reshape(2, 12) % 3  # every third has none
    config = dataclasses.replace(CONFIG, epochs=2, minibatches=3, grad_accum_steps=2)
    index = np.asarray(update._shuffled(jax.random.key(0), weight, config))
    assert index.shape == (6, 2, 2, 2)  # [E M, A, D, S/D]
    epochs = np.moveaxis(index.reshape(2, 6, 2, 2), 2, 1).reshape(2, 2, 12)
    np.testing.assert_array_equal(
        np.sort(epochs), np.broadcast_to(range(12), (2, 2, 12))
    )
    ordered = np.take_along_axis(np.asarray(weight)[None], epochs, axis=-1)
    assert np.all(ordered[..., :8] > 0) and not np.any(ordered[..., 8:])
    assert len(np.unique(epochs.reshape(4, 12), axis=0)) == 4


def test_a_reference_pulls_back():
    """Away from it, the same update has a divergence to pay for."""
    objective = objectives.make("gspo", ratio_normalizer=6, kl_coefficient=10.0)
    config = dataclasses.replace(CONFIG, objective=objective, reference="sft", epochs=4)
    held, metrics = learned(config)
    free, _ = learned(dataclasses.replace(CONFIG, epochs=4))
    shift = "action"
    moved = [float(jnp.abs(s.params[shift]["shift"]).max()) for s in (held, free)]
    assert moved[0] < 0.7 * moved[1]
    assert metrics["kl_penalty"] > 0
    chex.assert_trees_all_equal(held.reference, chains.parameters())


def test_without_any_weight_nothing_changes():
    """Not even Adam's momentum or the weight decay may act."""
    optimizer = OptimizerConfig(learning_rate=1e-2, weight_decay=0.1)
    config = dataclasses.replace(CONFIG, optimizer=optimizer, epochs=2)
    shifted = jax.tree.map(lambda x: x + 1.0, chains.parameters())
    before = dataclasses.replace(start(config), params=shifted)
    after, metrics = learned(config, batch(jnp.zeros(CHUNKS)), before)
    chex.assert_trees_all_equal(after.params, shifted)
    assert metrics["loss"] == 0


def test_a_target_divergence_ends_the_update():
    """The first minibatch's divergence is 0, the second's is not."""
    config = dataclasses.replace(CONFIG, target_kl=1e-9, epochs=4)
    stopped, metrics = learned(config)
    np.testing.assert_allclose(metrics["trained_fraction"], 2 / 8)
    twice, _ = learned(dataclasses.replace(CONFIG, epochs=4, target_kl=1e9))
    free, _ = learned(dataclasses.replace(CONFIG, epochs=4))
    chex.assert_trees_all_equal(free.params, twice.params)
    moved = [float(jnp.abs(s.params["action"]["shift"]).max()) for s in (stopped, free)]
    assert 0 < moved[0] < moved[1]


def test_imitation_pulls_towards_successes_of_any_group():
    """The one success, in a group without weight, is found among twelve chunks."""
    weight = jnp.ones(CHUNKS).at[7].set(0.0)
    given = batch(weight)._replace(succeeded=jnp.arange(CHUNKS) == 7)
    config = dataclasses.replace(
        CONFIG, self_imitation=100.0, imitated_chunks=3, epochs=20
    )
    after, metrics = learned(config, given)
    plain, _ = learned(dataclasses.replace(CONFIG, epochs=20), given)
    distance = [
        float(jnp.linalg.norm(s.params["action"]["shift"] - given.output.chunk[7]))
        for s in (after, plain)
    ]
    assert distance[0] < 0.85 * distance[1], distance
    assert metrics["imitation_loss"] > 0


def test_without_successes_nothing_is_imitated():
    config = dataclasses.replace(CONFIG, self_imitation=1.0, imitated_chunks=3)
    none = batch()._replace(succeeded=jnp.zeros(CHUNKS, bool))
    after, metrics = learned(config, none)
    plain, _ = learned(CONFIG, none)
    chex.assert_trees_all_close(after.params, plain.params, atol=1e-7)
    assert metrics["imitation_loss"] == 0


def test_the_average_follows_the_parameters():
    config = dataclasses.replace(CONFIG, ema_decay=0.5)
    before = dataclasses.replace(start(config), step=jnp.asarray(100, jnp.int32))
    after, _ = learned(config, before=before)
    halfway = jax.tree.map(lambda a, b: (a + b) / 2, before.params, after.params)
    chex.assert_trees_all_close(after.ema_params, halfway, atol=1e-7)
    evaluated = state.eval_params(after)["action"]["shift"]
    chex.assert_trees_all_equal(evaluated, after.ema_params["action"]["shift"])


def test_settings_that_contradict_each_other_are_named():
    for changes, words in (
        ({"minibatches": 5}, "minibatches=5"),
        ({"num_branches": 2}, "chunk_advantage_weight"),
        ({"trainable": "all"}, "images"),
        ({"observation_store": "disk"}, "cache, images, state"),
        ({"reference": "new"}, "old, sft"),
        ({"tree": (2, 2)}, "branches into 4 episodes, but group_size=1"),
        ({"tree": (1, 1)}, "2 segments, which chunks=3"),
        ({"tree": (1,), "objective": OBJECTIVES["ppo"]}, "without a critic"),
        ({"target_kl": 0.0}, "target_kl=0.0"),
        ({"self_imitation": -1.0}, "self_imitation=-1.0"),
        ({"self_imitation": 1.0}, "imitated_chunks=144 are drawn of the 12"),
        ({"ema_decay": 1.0}, "ema_decay=1.0"),
        ({"task_memory": -0.1}, "task_memory=-0.1"),
        ({"success_rate_filter": (0.1, 0.9)}, "keeps no group of group_size=1"),
        ({"final_exploration": 0.0}, "final_exploration=0.0"),
        ({"rollout_policy": "average"}, "ema_decay=0.9"),
        (
            {
                "objective": OBJECTIVES["ppo"],
                "num_branches": 2,
                "chunk_advantage_weight": 0.5,
            },
            "num_branches=1",
        ),
    ):
        with pytest.raises(ValueError, match=words):
            dataclasses.replace(CONFIG, **changes)
