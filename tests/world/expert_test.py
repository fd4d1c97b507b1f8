"""The expert solves its tasks through the action interface, and only through it."""

import dataclasses

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from omnivla_jax.core import compile as compilation
from omnivla_jax.sim import env
from omnivla_jax.world import expert

STEPS = 100


@pytest.fixture(scope="module")
def played(scene, settled):
    """Actions [T, B, 7] and success [T, B] of whole episodes."""

    @chex.assert_max_traces(n=1)
    def play(start):
        def control(carry, _):
            state, memory = carry
            action, memory = expert.act(scene, state, memory)
            state, _ = env.step(scene, state, action)
            return (state, memory), (action, state.success)

        first = (start, expert.start(start))
        return jax.lax.scan(control, first, length=STEPS)[1]

    actions, success = compilation.jit(play)(settled)
    return np.asarray(actions), np.asarray(success)


def test_nine_of_ten_episodes_succeed(settled, played):
    success = played[1][-1]
    solved = {
        int(t): success[settled.task == t].mean() for t in np.unique(settled.task)
    }
    assert success.mean() >= 0.9, solved
    assert min(solved.values()) >= 0.5, solved


def test_actions_are_legal_commands(played):
    actions = played[0]
    assert np.isfinite(actions).all()
    assert np.abs(actions).max() <= 1.0
    assert set(np.unique(actions[..., 6])) == {expert.OPEN, expert.CLOSED}


def test_a_translation_keeps_its_direction_when_it_is_capped(scene, settled):
    action, _ = expert.act(scene, settled, expert.start(settled))
    largest = np.abs(np.asarray(action[:, :3])).max(axis=-1)
    np.testing.assert_allclose(largest, 1.0, atol=1e-5)  # far away: full speed


def test_memory_starts_over_with_each_phase(scene, settled):
    first = expert.start(settled)
    late = first._replace(elapsed=jnp.full_like(first.elapsed, 39))
    _, after = expert.act(scene, settled, late)
    np.testing.assert_array_equal(after.phase, 1)  # time is up after 40 steps
    np.testing.assert_array_equal(after.elapsed, 0)


def test_a_task_without_a_script_is_named(scene):
    expert.require_scripts(scene, (1, 7, 8))
    with pytest.raises(ValueError, match="open the middle drawer.*choose among"):
        expert.require_scripts(scene, (0, 7))


def test_without_a_script_the_hand_stands_still(scene, settled):
    idle = dataclasses.replace(settled, task=jnp.zeros_like(settled.task))
    action, _ = expert.act(scene, idle, expert.start(idle))
    np.testing.assert_allclose(action[:, :3], 0.0, atol=1e-6)
