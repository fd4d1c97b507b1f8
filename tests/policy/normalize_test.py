"""Tests of normalisation: round trips, the two conventions, degenerate dimensions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from omnivla_jax.policy import normalize

SAMPLES = np.random.default_rng(0).normal([1.0, -2.0, 0.0], [2.0, 0.1, 1.0], (500, 3))


@pytest.mark.parametrize("fit", [normalize.moments, normalize.quantiles])
def test_round_trip(fit):
    affine, x = fit(SAMPLES), jnp.asarray(SAMPLES, jnp.float32)
    back = normalize.unnormalize(affine, normalize.normalize(affine, x))
    np.testing.assert_allclose(back, x, atol=1e-5)


def test_moments_become_standard():
    x = normalize.normalize(normalize.moments(SAMPLES), jnp.asarray(SAMPLES))
    np.testing.assert_allclose(jnp.mean(x, axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(jnp.std(x, axis=0), 1, atol=1e-4)


def test_quantiles_become_plus_and_minus_one():
    affine = normalize.from_quantiles(jnp.array([0.0, -3.0]), jnp.array([4.0, -1.0]))
    ends = jnp.array([[0.0, -3.0], [4.0, -1.0], [6.0, -2.0]])
    expected = [[-1, -1], [1, 1], [2, 0]]  # nothing is clipped
    np.testing.assert_allclose(normalize.normalize(affine, ends), expected)


@pytest.mark.parametrize("fit", [normalize.moments, normalize.quantiles])
def test_constant_dimension_does_not_explode(fit):
    affine = fit(np.ones((10, 2)))
    x = normalize.normalize(affine, jnp.array([1.0, 1.01]))
    np.testing.assert_allclose(x, [0, 10], atol=1e-3)


@pytest.mark.parametrize("xp", [np, jnp])
def test_deltas_worked_by_hand(xp):
    actions = xp.asarray([[[1.0, 2.0, -1.0], [4.0, 5.0, 1.0]]])  # [1, 2, 3]
    state = xp.asarray([[10.0, 20.0, 30.0, 40.0]])
    delta = normalize.delta_actions(actions, state, (True, True, False))
    expected = [[[-9, -18, -1], [-6, -15, 1]]]
    np.testing.assert_array_equal(delta, expected)
    back = normalize.absolute_actions(delta, state, (True, True, False))
    np.testing.assert_array_equal(back, actions)


@pytest.mark.parametrize("mask", [(), (False, False, False)])
def test_without_deltas_actions_are_untouched(mask):
    actions, state = jnp.ones((2, 4, 3)), jnp.full((2, 8), jnp.nan)
    assert normalize.delta_actions(actions, state, mask) is actions
    assert normalize.absolute_actions(actions, state, mask) is actions


@pytest.mark.parametrize("actions, state", [((4, 7), (5,)), ((4, 6), (8,))])
def test_mask_must_fit_actions_and_state(actions, state):
    mask = (True,) * 6 + (False,)
    with pytest.raises(AssertionError):
        normalize.delta_actions(jnp.ones(actions), jnp.ones(state), mask)


def test_only_masked_dimensions_become_absolute():
    actions, state = jnp.zeros((2, 4, 3)), jnp.array([[1.0, 2, 3, 4], [5, 6, 7, 8]])
    moved = normalize.absolute_actions(actions, state, (True, False, True))
    for row in range(2):
        expected = np.tile([state[row, 0], 0, state[row, 2]], (4, 1))
        np.testing.assert_array_equal(moved[row], expected)


def test_normalizer_is_a_pytree():
    normalizer = normalize.identity_normalizer(8, 7)
    shapes = [leaf.shape for leaf in jax.tree.leaves(normalizer)]
    assert shapes == [(8,), (8,), (7,), (7,)]
    x = jnp.arange(7.0)
    np.testing.assert_array_equal(normalize.normalize(normalizer.action, x), x)


def test_errors_name_shape_and_count():
    with pytest.raises(ValueError, match=r"shape \(3,\)"):
        normalize.moments(np.ones(3))
    with pytest.raises(ValueError, match="1 non-finite"):
        normalize.moments(np.array([[1.0], [np.nan]]))
