"""Tests of omnivla_jax.train.acting, on the toy simulator."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from omnivla_jax.policy import normalize
from omnivla_jax.policy.config import preset
from omnivla_jax.policy.selectors import perceptron
from omnivla_jax.train import evaluate
from omnivla_jax.train.acting import OTHER, ActingConfig
from omnivla_jax.train.candidates import SELECTOR, SelectionConfig
from tests.helpers import reaching
from tests.helpers.debug_inputs import random_params

POLICY = preset("debug").without_spatial()  # chunks of 4 actions
PARAMS = random_params(POLICY)
PLAIN = ActingConfig()
NORMALIZER = normalize.identity_normalizer(8, 7)
SETTINGS = evaluate.EvaluateConfig(
    episodes=6,
    batch_size=6,
    chunks=3,
    exec_horizon=2,
    steps=2,
    recorded=6,
    block_size=6,
)


@functools.cache
def program(acting):
    return evaluate.make_evaluate(reaching.make(POLICY), POLICY, SETTINGS, acting)


def played(acting, params=PARAMS):
    starts = evaluate.eval_initial_states(0, (0, 1, 2), SETTINGS)
    result = program(acting)(params, NORMALIZER, starts)
    assert program(acting)._cache_size() == 1
    return result


@pytest.fixture(scope="module")
def plain():
    return played(PLAIN)


def test_network_selects_by_features(plain):
    """Opposite networks choose opposite candidates; one that is silent the first."""
    width = POLICY.mot.experts["action"].width
    weight = jax.random.normal(jax.random.key(0), (width, 1))
    positions, acting = [], ActingConfig(SelectionConfig(2, "value"))
    for sign in (1.0, -1.0, 0.0):
        network = perceptron.Perceptron(
            jnp.zeros(width), jnp.ones(width), ((sign * weight, jnp.zeros(1)),)
        )
        result = played(acting, PARAMS | {SELECTOR: network})
        positions.append(np.asarray(result.frames.position[2]))  # after one chunk
    first = np.asarray(plain.frames.position[2])
    np.testing.assert_allclose(positions[2], first, atol=1e-5)
    differs = np.abs(positions[0] - positions[1]).max(axis=1) > 1e-5
    assert differs.all()
    one_is_first = [
        np.isclose(position, first, atol=1e-5).all(axis=1) for position in positions[:2]
    ]
    np.testing.assert_array_equal(one_is_first[0], ~one_is_first[1])


def test_delayed_actions_are_the_last_chunks(plain):
    """With delay 1 of E = 2: wait, chunk 0's 1; its 2, chunk 1's 1; and so on."""
    delayed = played(ActingConfig(delay=1))
    start = np.asarray(plain.frames.position[0])
    np.testing.assert_array_equal(delayed.frames.position[0], start)
    # The waiting action does not move the toy's point.
    np.testing.assert_array_equal(delayed.frames.position[1], start)
    moved = np.asarray(delayed.frames.position[2] - delayed.frames.position[1])
    second = np.asarray(plain.frames.position[2] - plain.frames.position[1])
    np.testing.assert_allclose(moved, second, atol=1e-6)
    assert np.abs(moved).max() > 1e-3


def test_guided_chunks_continue_the_last_plan():
    """The jump where two chunks meet is smaller than that of spliced ones."""
    jumps = []
    for chunking in ("splice", "guided"):
        result = played(ActingConfig(delay=1, chunking=chunking))
        moves = np.diff(np.asarray(result.frames.position), axis=0)
        # Steps 2 and 3 are planned by chunk 0 and 1 of the same observation's future.
        jumps.append(np.abs(moves[3] - moves[2]).mean())
    assert jumps[1] < jumps[0]


def test_composition_with_itself_changes_nothing(plain):
    same = played(ActingConfig(compose_weight=0.5), PARAMS | {OTHER: PARAMS})
    np.testing.assert_allclose(same.frames.position, plain.frames.position, atol=1e-5)


def test_guided_chunks_climb_a_reward(plain):
    """Every point is led to the third goal, whatever its task is."""

    def nearness(env_state, actions):
        end = env_state.position + reaching.SPEED * actions[:, :2, :2].sum(axis=1)
        gap = end - jnp.asarray(reaching.GOALS)[2]
        return -jnp.sum(jnp.square(gap), axis=-1)

    led = played(ActingConfig(guide=nearness, guide_strength=20.0))
    ends = np.stack([plain.frames.position[-1], led.frames.position[-1]])
    gaps = np.linalg.norm(ends - reaching.GOALS[2], axis=-1)
    assert (gaps[1] < gaps[0] - 0.05).all()


def test_reused_prefix_sees_the_first_picture(plain):
    """The first chunk is the same, the second is drawn under an old picture."""
    reused = played(ActingConfig(prefix_period=3)).frames.position
    np.testing.assert_allclose(reused[:3], plain.frames.position[:3], atol=1e-6)
    assert not np.allclose(reused[3:], plain.frames.position[3:], atol=1e-6)


def test_features_of_every_chunk_are_kept(plain):
    kept = played(ActingConfig(keep_features=True))
    assert kept.features.shape == (6, 3, POLICY.mot.experts["action"].width)
    assert plain.features is None
    np.testing.assert_array_equal(kept.frames.position, plain.frames.position)


@pytest.mark.parametrize(
    "acting, message",
    [
        (lambda: ActingConfig(delay=3), "delay=3, but chunks of 4 actions leave 2"),
        (lambda: ActingConfig(delay=-1), "delay=-1 must be at least 0"),
        (lambda: ActingConfig(chunking="other"), "splice, guided"),
        (lambda: ActingConfig(compose_weight=2.0), "compose_weight=2.0 is a share"),
    ],
)
def test_settings_that_cannot_be_are_refused(acting, message):
    with pytest.raises(ValueError, match=message):
        played(acting())
