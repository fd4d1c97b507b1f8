"""Tests of omnivla_jax.train.online on a stand-in simulator."""

import dataclasses
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from omnivla_jax.flow import drifts, schedules
from omnivla_jax.policy import lora, policy
from omnivla_jax.policy.config import preset
from omnivla_jax.policy.heads import action_head
from omnivla_jax.train import loop, online, rng, sft, sft_data, state
from omnivla_jax.train.online import objectives
from omnivla_jax.train.online import rollout as online_rollout
from omnivla_jax.train.online import step as online_step
from omnivla_jax.train.online.config import OnlineConfig
from omnivla_jax.train.state import OptimizerConfig
from omnivla_jax.world.perturbations.training_draws import PerturbConfig
from tests.helpers import reaching

POLICY = preset("debug")
SAMPLER = policy.FlowSampler(
    steps=3,
    schedule=schedules.Schedule(schedules.flow_grpo, scale=0.5),
    drift=drifts.corrected,
    exec_horizon=3,
)
SETTINGS = OnlineConfig(
    optimizer=OptimizerConfig(learning_rate=4e-4),
    objective=objectives.make(
        "gspo", ratio_normalizer=objectives.ratio_normalizers(POLICY, SAMPLER)["HK"]
    ),
    updates=12,
    groups=6,
    group_size=8,
    chunks=3,
    epochs=2,
    minibatches=3,
    reward_weights={"success": 1.0, "alignment": 1.0},
)
# A frozen, untrained prefix hardly tells tasks apart: to see learning, one task.
TASKS = (0,)


def fresh(settings=SETTINGS, network=POLICY):
    """A policy that only knows the units of its actions."""
    episodes = reaching.demonstrations()
    params = sft.fresh_params(rng.named_key(0, "init"), network)
    trained = lora.trainable_mask(params, settings.trainable)
    optimizer = state.make_optimizer(settings.optimizer, trained)
    return state.create(params, sft_data.fit_normalizer(episodes), optimizer, seed=0)


def make_step(settings=SETTINGS, network=POLICY, sampler=SAMPLER):
    """The step of `fresh`'s policy in the stand-in simulator."""
    return online.make_step(
        reaching.make(network),
        TASKS,
        policy_config=network,
        sampler=sampler,
        config=settings,
    )


@pytest.fixture(scope="module")
def step():
    return make_step()


@pytest.mark.slow
def test_severity_follows_success_into_the_starts():
    """The limit of an update's perturbations is its state's, and moves with success."""
    perturb = PerturbConfig(("all",), start=0.2, rate=0.1, target=1.0)
    settings = dataclasses.replace(SETTINGS, perturb=perturb, epochs=1, minibatches=1)
    plain = reaching.make(POLICY)
    seen = []

    def starts(keys, severity):
        jax.debug.callback(lambda value: seen.append(round(float(value), 4)), severity)
        return keys

    step: Any = online.make_step(
        plain._replace(starts=starts),
        TASKS,
        policy_config=POLICY,
        sampler=SAMPLER,
        config=settings,
    )
    before = dataclasses.replace(fresh(settings), severity=jnp.asarray(0.2))
    for wanted in (0.2, 0.1, 0.1):  # never above the target, never below the rate
        before, metrics = step(before, jax.random.key(0))
        assert float(metrics["severity"]) == pytest.approx(wanted)
    jax.effects_barrier()
    assert seen == [0.2, 0.1, 0.1] and step._cache_size() == 1
    assert online.create(fresh(settings), settings, POLICY, num_tasks=1).severity == 0.2


@pytest.fixture(scope="module")
def run(step):
    """Start, end and history of a short run."""
    key = rng.named_key(0, "online")
    before = fresh()
    after, history = loop.run(
        lambda current: step(current, key),
        fresh(),
        steps=SETTINGS.updates,
        save=lambda *_: None,
        save_every=100,
    )
    assert step._cache_size() == 1, "the step was traced again"
    return before, after, history


@pytest.mark.slow
def test_reward_rises(run):
    _, after, history = run
    rewards = [row["reward"] for row in history]
    assert np.mean(rewards[-3:]) > rewards[0] + 0.3, rewards
    assert int(after.step) == SETTINGS.updates


@pytest.mark.slow
def test_only_the_action_expert_moves(run):
    before, after, _ = run
    for expert in ("reasoning", "spatial"):
        chex.assert_trees_all_equal(before.params[expert], after.params[expert])
    moved = jax.tree.map(
        lambda a, b: bool((a != b).any()),
        before.params["action"],
        after.params["action"],
    )
    assert any(jax.tree.leaves(moved))
    sizes = [leaf.size for leaf in jax.tree.leaves(after.opt_state)]
    assert sum(sizes) < 2.1 * sum(
        leaf.size for leaf in jax.tree.leaves(after.params["action"])
    )


@pytest.mark.slow
def test_metrics_are_finite(run):
    _, _, history = run
    assert all(np.isfinite(list(row.values())).all() for row in history)
    wanted = {
        "success",
        "reward",
        "ratio_std",
        "clip_fraction",
        "kl",
        "loss",
        "kl_last_step_share",
        "zero_variance_fraction",
        "grad_norm",
        "diverged",
    }
    assert wanted <= set(history[0])


LEARNED = schedules.Schedule(schedules.learned, scale=1.0)


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {"stochastic_steps": "one"},
        {"stochastic_steps": "none"},
        {"final_exploration": 0.5},
        {"schedule": LEARNED},
        {"head": "l1"},
        {"head": "tokens"},
        {"head": "discrete_diffusion"},
    ],
    ids=[
        "one step",
        "bound",
        "less noise",
        "learned noise",
        "l1 head",
        "tokens head",
        "discrete diffusion",
    ],
)
def test_the_first_ratio_is_one(changes):
    """One minibatch, scored before anything has changed: nothing is far from it."""
    network = dataclasses.replace(POLICY, noise_head="schedule" in changes)
    sampler: Any = SAMPLER
    settings = dataclasses.replace(
        SETTINGS, groups=2, group_size=4, chunks=2, epochs=1, minibatches=1
    )
    if "head" in changes:
        network = dataclasses.replace(network, **changes, action_bins=16)
        sampler = action_head(network).make_sampler(
            {"scale": 1.0, "steps": 2}, exec_horizon=SAMPLER.exec_horizon
        )
    elif "final_exploration" in changes:
        settings = dataclasses.replace(settings, **changes)
    else:
        sampler = dataclasses.replace(SAMPLER, **changes)
    step = make_step(settings, network, sampler)
    after, metrics = step(fresh(settings, network), rng.named_key(0, "online"))
    assert abs(metrics["ratio_mean"] - 1) < 3e-5 and metrics["ratio_std"] < 3e-5
    assert metrics["kl"] < 1e-8 and metrics["grad_norm"] > 0
    assert int(after.step) == 1


@pytest.mark.slow
def test_steps_depend_on_state_and_key(step):
    key = rng.named_key(3, "online")
    chex.assert_trees_all_equal(step(fresh(), key), step(fresh(), key))


def test_exploration_falls_to_its_final_share():
    config = dataclasses.replace(SETTINGS, updates=5, final_exploration=0.4)
    tau, delta = jnp.array([0.0, 0.5]), jnp.full(2, 0.25)
    at_first = SAMPLER.schedule(tau, delta)
    for update, share in enumerate([1, 0.85, 0.7, 0.55, 0.4, 0.4, 0.4]):
        annealed = online_step.anneal(SAMPLER, jnp.asarray(update), config)
        assert isinstance(annealed, policy.FlowSampler)
        np.testing.assert_allclose(
            annealed.schedule(tau, delta), share * at_first, rtol=1e-6
        )
    learned = dataclasses.replace(SAMPLER, schedule=LEARNED)
    assert learned.scaled(jnp.asarray(0.4)) is learned


def test_groups_share_their_start_and_tasks_take_turns():
    key = jax.random.key(1)
    env = online_rollout.reset_groups(reaching.make(POLICY), (0, 1, 2), key, SETTINGS)
    positions = np.asarray(env.position).reshape(6, 8, 2)
    assert (positions == positions[:, :1]).all()
    assert len(np.unique(positions[:, 0], axis=0)) == 6
    tasks = np.asarray(env.task).reshape(6, 8)[:, 0]
    assert sorted(tasks) == [0, 0, 1, 1, 2, 2]


def test_minibatches_must_divide_the_chunks():
    with pytest.raises(ValueError, match="minibatches=5"):
        dataclasses.replace(SETTINGS, minibatches=5)
