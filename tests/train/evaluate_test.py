"""Tests of omnivla_jax.train.evaluate: intervals, tasks, swaps, held-out states."""

import dataclasses
import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental import multihost_utils
from scipy import stats

from omnivla_jax.policy import normalize
from omnivla_jax.policy.config import preset
from omnivla_jax.sim import scene as scenes
from omnivla_jax.train import environment as environments
from omnivla_jax.train import evaluate, rng
from tests.helpers import reaching
from tests.helpers.debug_inputs import random_params

POLICY = preset("debug").without_spatial()
SETTINGS = evaluate.EvaluateConfig(
    episodes=12,
    batch_size=6,
    chunks=2,
    exec_horizon=3,
    steps=2,
    recorded=2,
    block_size=6,
)
NORMALIZER = normalize.identity_normalizer(8, 7)


@pytest.mark.parametrize("successes, n", [(0, 10), (10, 10), (63, 210), (1, 1)])
def test_wilson_matches_scipy(successes, n):
    test = stats.binomtest(successes, n)
    expected = test.proportion_ci(confidence_level=0.95, method="wilson")
    np.testing.assert_allclose(
        evaluate.wilson_interval(successes, n), expected, atol=1e-9
    )


@pytest.mark.parametrize("successes, n", [(0, 0), (3, 2), (-1, 2)])
def test_wilson_refuses_the_impossible(successes, n):
    with pytest.raises(ValueError, match="not possible"):
        evaluate.wilson_interval(successes, n)


def test_success_by_task():
    success = np.array([True, False, True, True, False, False])
    task = np.array([5, 7, 5, 7, 5, 7])
    names = [f"task {row}" for row in range(8)]
    found = evaluate.summarise(success, task, names)
    assert found["success"] == 0.5
    assert found["per_task"]["task 5"]["success"] == pytest.approx(2 / 3)
    assert found["per_task"]["task 7"]["success"] == pytest.approx(1 / 3)
    assert found["per_task"]["task 7"]["episodes"] == 3
    low, high = found["interval"]
    assert low < 0.5 < high
    for wrong in (-1, 8):
        with pytest.raises(ValueError, match=rf"Tasks \[{wrong}\] have no name"):
            evaluate.summarise(success, np.where(task == 5, wrong, task), names)


def test_swapping_is_cyclic_and_keeps_goals_and_keys():
    tasks = (5, 7, 8)
    start = evaluate.eval_initial_states(0, tasks, SETTINGS)
    swapped = evaluate.swap_instructions(start, tasks)
    assert list(start.task[:4]) == list(start.instruction_id[:4]) == [5, 7, 8, 5]
    assert list(swapped.instruction_id[:4]) == [7, 8, 5, 7]
    np.testing.assert_array_equal(start.task, swapped.task)
    assert (start.key == swapped.key).all()
    with pytest.raises(ValueError, match="two tasks"):
        evaluate.swap_instructions(start, (5, 5))
    with pytest.raises(ValueError, match=r"tasks \[8\], which are none of \[5, 7\]"):
        evaluate.swap_instructions(start, (5, 7))


@pytest.mark.parametrize("episodes", [1, 4, 7])
def test_processes_take_turns_at_the_blocks(monkeypatch, episodes):
    """Process 1 first; what it hands in is what process 0 gets from it."""
    config = dataclasses.replace(SETTINGS, episodes=episodes, block_size=2)

    def numbered(params, normalizer, batch):
        numbers = batch.task
        return evaluate.EvalResult(
            success=numbers % 3 == 0,
            diverged=numbers % 2 == 0,
            steps=numbers + 0.5,
            frames=numbers[None],
            diagnostics={"overflow": 10 * numbers},
        )

    starts = evaluate.EvalBatch(*[np.arange(episodes)] * 4)
    run = functools.partial(
        evaluate.run, numbered, {}, NORMALIZER, starts, config=config
    )
    whole, handed_in = run(), []

    def exchange(tree):
        handed_in.append(tree)
        first, last = handed_in[-1], handed_in[0]
        return jax.tree.map(lambda *x: np.stack(x), first, last)

    monkeypatch.setattr(jax, "process_count", lambda: 2)
    monkeypatch.setattr(multihost_utils, "process_allgather", exchange)
    for process in (1, 0):
        monkeypatch.setattr(jax, "process_index", lambda: process)
        result = run()
        assert (result.frames is None) == (process == 1)
    chex.assert_trees_all_equal(result, whole)


def test_held_out_keys_are_nobody_elses():
    start = evaluate.eval_initial_states(0, (0,), SETTINGS)
    validation = evaluate.eval_initial_states(0, (0,), SETTINGS, stream="validation")
    ours = jnp.concatenate([start.key, start.noise_key, validation.key])
    theirs = jnp.concatenate(
        [
            jax.random.split(jax.random.fold_in(rng.named_key(0, name), step), 12)
            for name in rng.STREAMS
            for step in range(3)
        ]
    )
    data = np.asarray(jax.random.key_data(jnp.concatenate([ours, theirs])))
    assert len(np.unique(data, axis=0)) == len(data)
    with pytest.raises(ValueError, match="Unknown random stream"):
        rng.named_key(0, "lunch")


@pytest.mark.parametrize("tasks", [(4,), (0, 1, 2)])
def test_fewer_episodes_are_the_first_ones(tasks):
    many = evaluate.eval_initial_states(
        0, tasks, dataclasses.replace(SETTINGS, episodes=48)
    )
    few = evaluate.eval_initial_states(
        0, tasks, dataclasses.replace(SETTINGS, episodes=7)
    )
    for of_few, of_many in zip(few, many):
        assert (of_few == of_many[:7]).all()


def test_program_width_ignores_batches_and_episodes():
    splits = [(24, 24), (24, 12), (24, 6), (48, 24), (7, 5), (1, 1), (600, 600)]
    widths = {
        dataclasses.replace(
            SETTINGS, episodes=episodes, batch_size=batch, block_size=None
        ).width
        for episodes, batch in splits
    }
    assert len(widths) == 1


@pytest.mark.parametrize("name", ["episodes", "batch_size", "block_size"])
def test_sizes_below_one_are_refused(name):
    changes: dict[str, int] = {name: 0}
    with pytest.raises(ValueError, match=f"{name}=0 must be at least 1"):
        dataclasses.replace(SETTINGS, **changes)


def test_too_many_recorded_episodes_are_refused():
    config = dataclasses.replace(SETTINGS, recorded=7)
    with pytest.raises(ValueError, match="recorded=7 episodes, but 6"):
        evaluate.make_evaluate(reaching.make(POLICY), POLICY, config)


def blockwise(program, params, tasks, config):
    """What `run` returns, and every episode's states, from the first on."""
    records = []

    def spying(*arguments):
        outcome = program(*arguments)
        records.append(jax.device_get(outcome.frames))
        return outcome

    start = evaluate.eval_initial_states(0, tasks, config)
    outcome = evaluate.run(spying, params, NORMALIZER, start, config=config)
    states = jax.tree.map(lambda *x: np.concatenate(x, axis=1), *records)
    return outcome, jax.tree.map(lambda x: x[:, : config.episodes], states)


def assert_first_are_same(few, many):
    """Bit for bit: verdicts, and every state on the way."""
    (ours, our_states), (theirs, their_states) = few, many
    count = len(ours.success)
    for name in ("success", "diverged", "steps"):
        mine, other = getattr(ours, name), getattr(theirs, name)
        np.testing.assert_array_equal(mine, other[:count])
    for mine, other in zip(*map(jax.tree.leaves, (our_states, their_states))):
        assert mine.shape[1] == count
        assert mine.tobytes() == other[:, :count].tobytes()


SPLITS = [(10, 5), (10, 3), (10, 1), (10, 64), (9, 9), (3, 2), (1, 1)]


@pytest.mark.slow
def test_every_split_plays_the_same_episodes():
    """On the toy, each split with the program that its own config makes."""
    base = dataclasses.replace(SETTINGS, recorded=4, block_size=4)
    simulator, params = reaching.make(POLICY), random_params(POLICY)

    def played(episodes, batch_size):
        config = dataclasses.replace(base, episodes=episodes, batch_size=batch_size)
        program = evaluate.make_evaluate(simulator, POLICY, config)
        return blockwise(program, params, (0, 1, 2), config)

    whole = played(10, 10)
    last = np.asarray(whole[1].position[-1])
    assert len(np.unique(last, axis=0)) == 10  # no two episodes are the same
    for split in ((10, 3), (9, 9)):
        assert_first_are_same(played(*split), whole)


@pytest.mark.slow
def test_every_split_plays_the_same_episodes_simulated():
    sizes = dataclasses.replace(POLICY, max_tokens=16)
    scene = scenes.make("libero_goal", tasks=(7,), engine="mujoco")
    simulator = environments.simulator(scene, sizes, size=16)
    params = random_params(sizes)
    config = dataclasses.replace(
        SETTINGS, exec_horizon=2, recorded=4, block_size=4, episodes=13
    )
    program = evaluate.compiled(simulator, sizes, config)

    def played(episodes, batch_size):
        split = dataclasses.replace(config, episodes=episodes, batch_size=batch_size)
        return blockwise(program, params, (7,), split)

    whole = played(13, 13)
    first, last = (np.asarray(whole[1].physics.qpos[row]) for row in (0, -1))
    assert len(np.unique(last[:, :7], axis=0)) == 13
    assert np.abs(last - first).max() > 0.01  # they moved
    for split in SPLITS:
        assert_first_are_same(played(*split), whole)


def test_evaluation_is_repeatable_records_and_traces_once():
    environment = reaching.make(POLICY)._replace(
        diagnostics=lambda env: {"lost": env.task}
    )
    params = random_params(POLICY)
    compiled = evaluate.make_evaluate(environment, POLICY, SETTINGS)
    start = evaluate.eval_initial_states(0, (0, 1, 2), SETTINGS)
    seen = []
    outcomes = [
        evaluate.run(
            compiled,
            params,
            NORMALIZER,
            start,
            config=SETTINGS,
            report=lambda episodes, success: seen.append(episodes),
        )
        for _ in range(2)
    ]
    assert seen == [6, 6, 6, 6]
    # Blocks end after 6, 12 and 14 episodes, and at least 7 are reported at a time.
    ragged = dataclasses.replace(SETTINGS, episodes=14, batch_size=7)
    seen.clear()
    evaluate.run(
        compiled,
        params,
        NORMALIZER,
        evaluate.eval_initial_states(0, (0, 1, 2), ragged),
        config=ragged,
        report=lambda episodes, success: seen.append(episodes),
    )
    assert seen == [12, 2]
    assert compiled._cache_size() == 1  # type: ignore[attr-defined]
    np.testing.assert_array_equal(outcomes[0].steps, outcomes[1].steps)
    assert outcomes[0].success.shape == (12,)
    np.testing.assert_array_equal(outcomes[0].diagnostics["lost"], start.task)
    lost = int(np.sum(start.task))
    assert evaluate.failure_counts(outcomes[0]) == {"diverged": 0, "lost": lost}
    # At first, and after 2 chunks of 3 steps.
    assert outcomes[0].frames.position.shape == (7, 2, 2)
    last = np.asarray(outcomes[0].frames.success[-1])
    np.testing.assert_array_equal(last, outcomes[0].success[:2])
