"""Tests of omnivla_jax.train.candidates by a point that walks: scores by hand."""

import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from omnivla_jax.policy.config import preset
from omnivla_jax.train.candidates import (
    Scorer,
    SelectionConfig,
    Situation,
    best_of,
    by_clone,
)
from tests.helpers import reaching

POLICY = preset("debug").without_spatial()
SPEEDS = jnp.array([0.2, 1.0, -0.5])  # of the candidates, to the right
UPWARDS = jnp.zeros((2, 2, 7)).at[..., 1].set(1.0)
# The policy goes on upwards; chunks are in the simulator's units already.
AGENT = types.SimpleNamespace(
    config=POLICY,
    to_simulator=lambda chunk, proprio: chunk,
    act_deterministic=lambda params, state, key, *, instruction_id, steps: jnp.tile(
        UPWARDS, (len(instruction_id) // 2, 1, 1)
    ),
)


def situation():
    """Two points at rest: the first is to go to the right, the second to the left."""
    task = jnp.arange(2, dtype=jnp.int32)
    state = reaching.reset(task, jax.random.split(jax.random.key(0), 2))
    state = state.replace(position=jnp.zeros((2, 2)))
    keys = jax.random.split(jax.random.key(1), 2)
    return Situation(state, task, None, jnp.zeros((2, 8)), keys)  # type: ignore


def draw_by_turn():
    """Chunks of two actions, each candidate's with a speed of its own."""
    turn = iter(range(3))
    walk = jnp.zeros((2, 2, 7))
    return lambda key: walk.at[..., 0].set(SPEEDS[next(turn)])


def scorer_by_clone(lookahead):
    config = SelectionConfig(3, "clone", lookahead, reward_weights={"alignment": 1.0})
    return Scorer(reaching.make(POLICY), AGENT, 2, 1, config)  # type: ignore


def test_clones_choose_what_goes_to_each_goal():
    chunks, best = best_of(scorer_by_clone(0), {}, situation(), draw_by_turn())
    np.testing.assert_array_equal(best, [1, 2])
    np.testing.assert_allclose(chunks[:, 0, 0], [1.0, -0.5])


def test_lookahead_counts_what_the_policy_does_behind():
    chunks = jnp.zeros((2, 3, 2, 7)).at[..., 0].set(SPEEDS[:, None])
    for lookahead in (0, 3):
        scores = by_clone(scorer_by_clone(lookahead), {}, situation(), chunks)
        np.testing.assert_allclose(scores, walked(lookahead), rtol=1e-4)


def walked(lookahead):
    """The mean alignment of walks that go on upwards, by hand."""
    scores = np.zeros((2, 3))
    for point in range(2):
        for number, speed in enumerate(np.asarray(SPEEDS)):
            position, values = np.zeros(2), []
            moves = [(speed, 0.0)] * 2 + [(0.0, 1.0)] * (2 * lookahead)
            for move in moves:
                position = position + reaching.SPEED * np.array(move)
                gap = np.linalg.norm(position - reaching.GOALS[point])
                values.append(1 - np.tanh(gap))
            scores[point, number] = np.mean(values)
    return scores


def test_one_candidate_needs_no_score():
    scorer = Scorer(None, AGENT, 2, 1, SelectionConfig())  # type: ignore
    chunks, best = best_of(scorer, {}, situation(), draw_by_turn())
    np.testing.assert_allclose(chunks[:, 0, 0], [0.2, 0.2])
    np.testing.assert_array_equal(best, [0, 0])


def test_network_that_is_missing_is_named():
    scorer = Scorer(None, AGENT, 2, 1, SelectionConfig(2, "count"))  # type: ignore
    with pytest.raises(ValueError, match="'count' scores by a network"):
        best_of(scorer, {}, situation(), draw_by_turn())


@pytest.mark.parametrize(
    "settings, message",
    [
        ((0,), "candidates=0 must be at least 1"),
        ((2, "vote"), "choose one of count, value, clone"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        SelectionConfig(*settings)
