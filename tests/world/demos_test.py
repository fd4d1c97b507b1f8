"""Demonstrations end at success and repeat with their key."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from omnivla_jax.world import demos
from omnivla_jax.world.perturbations.training_draws import PerturbConfig

SIZE, STEPS = 8, 100
TASK = jnp.array([7, 8])


@pytest.fixture(scope="module")
def recorder(scene, visuals):
    return demos.make_recorder(
        scene, visuals, steps=STEPS, size=SIZE, action_noise=0.05
    )


@pytest.fixture(scope="module")
def trajectory(recorder):
    return recorder(TASK, jax.random.key(3))


@pytest.mark.slow
def test_episodes_end_with_the_successful_step(scene, trajectory):
    episodes = list(demos.successful_episodes(scene, TASK, trajectory))
    assert len(episodes) == int(trajectory.success[-1].sum()) >= 1
    for episode in episodes:
        column = int(np.flatnonzero(np.asarray(TASK) == episode.task)[0])
        length = episode.action.shape[0]
        reached = np.asarray(trajectory.success)[:, column]
        assert reached[length - 1] and not reached[: length - 1].any()
        assert episode.images.shape == (length, 2, SIZE, SIZE, 3)
        assert episode.state.shape == (length, 8)
        assert episode.joint_state.shape == (length, 7)
        assert episode.instruction == scene.tasks[episode.task].instruction


@pytest.mark.slow
def test_the_same_key_repeats_and_another_differs(recorder, trajectory):
    again = recorder(TASK, jax.random.key(3))
    for name in trajectory._fields:
        same, first = getattr(again, name), getattr(trajectory, name)
        np.testing.assert_array_equal(same, first, err_msg=name)
    other = recorder(TASK, jax.random.key(4))
    assert not np.array_equal(other.action, trajectory.action)


def test_action_noise_stays_legal_without_the_gripper():
    action = jnp.ones((64, 7)).at[:, 6].set(-1.0)
    noisy = demos.add_action_noise(jax.random.key(0), action, 0.5)
    np.testing.assert_array_equal(noisy[:, 6], -1.0)
    assert float(jnp.abs(noisy).max()) <= 1.0
    spread = float(
        jnp.std(demos.add_action_noise(jax.random.key(1), 0 * action, 0.1)[:, :6])
    )
    assert spread == pytest.approx(0.1, rel=0.2)


@pytest.mark.slow
def test_perturbed_episodes_tell_their_own_words(scene, visuals):
    config = PerturbConfig(("language", "background.surface"), share=1.0)
    record = demos.make_recorder(
        scene, visuals, steps=STEPS, size=SIZE, action_noise=0.0, perturb=config
    )
    task = jnp.array([7, 8] * 4)
    trajectory = record(task, jax.random.key(3))
    episodes = list(demos.successful_episodes(scene, task, trajectory))
    assert trajectory.phrase is not None
    own = [e.instruction == scene.tasks[e.task].instruction for e in episodes]
    reworded = np.asarray(trajectory.phrase[0])[np.asarray(trajectory.success)[-1]] > 0
    np.testing.assert_array_equal(own, ~reworded)
    assert 0 < reworded.sum() < len(episodes) > 4
