"""Tests of omnivla_jax.train.evaluate: intervals, tasks, swaps, held-out states."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from omnivla_jax.policy import normalize, policy
from omnivla_jax.policy.config import preset
from omnivla_jax.train import evaluate, streams
from tests.train import reaching

POLICY = preset("debug")
SETTINGS = evaluate.EvaluateConfig(
    episodes=12, batch_size=6, chunks=2, exec_horizon=3, steps=2, recorded=2
)


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
    start = evaluate.held_out(0, tasks, SETTINGS)
    swapped = evaluate.swap_instructions(start, tasks)
    assert list(start.task[:4]) == list(start.told[:4]) == [5, 7, 8, 5]
    assert list(swapped.told[:4]) == [7, 8, 5, 7]
    np.testing.assert_array_equal(start.task, swapped.task)
    assert (start.key == swapped.key).all()
    with pytest.raises(ValueError, match="two tasks"):
        evaluate.swap_instructions(start, (5, 5))
    with pytest.raises(ValueError, match=r"tasks \[8\], which are none of \[5, 7\]"):
        evaluate.swap_instructions(start, (5, 7))


def test_held_out_keys_are_nobody_elses():
    ours = evaluate.held_out(0, (0,), SETTINGS).key
    theirs = jnp.concatenate(
        [
            jax.random.split(jax.random.fold_in(streams.stream(0, name), step), 12)
            for name in streams.STREAMS
            for step in range(3)
        ]
    )
    data = np.asarray(jax.random.key_data(jnp.concatenate([ours, theirs])))
    assert len(np.unique(data, axis=0)) == len(data)
    with pytest.raises(ValueError, match="Unknown random stream"):
        streams.stream(0, "lunch")


def test_evaluation_is_repeatable_records_and_traces_once():
    environment = reaching.make(POLICY)
    params = policy.init(jax.random.key(0), POLICY)
    normalizer = normalize.Normalizer(normalize.identity(8), normalize.identity(7))
    compiled = evaluate.make_evaluate(environment, POLICY, SETTINGS)
    start = evaluate.held_out(0, (0, 1, 2), SETTINGS)
    seen = []
    outcomes = [
        evaluate.run(
            compiled, params, normalizer, start, seed=0, config=SETTINGS,
            report=lambda episodes, success: seen.append(episodes),
        )
        for _ in range(2)
    ]
    assert compiled._cache_size() == 1  # type: ignore[attr-defined]
    assert seen == [6, 6, 6, 6]
    np.testing.assert_array_equal(outcomes[0].steps, outcomes[1].steps)
    assert outcomes[0].success.shape == (12,)
    assert outcomes[0].record.position.shape == (6, 2, 2)  # 2 chunks x 3 steps
    last = np.asarray(outcomes[0].record.success[-1])
    np.testing.assert_array_equal(last, outcomes[0].success[:2])
