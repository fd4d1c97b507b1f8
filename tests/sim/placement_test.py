"""Tests of omnivla_jax.sim.placement: LIBERO's ranges, orientations and noise."""

import jax
import numpy as np
import pytest

from omnivla_jax.core import compile as compilation
from omnivla_jax.sim import panda, placement

COUNT = 512
# Centre (x, y), half width and z from LIBERO's bddl files and its sampler's
# arithmetic: |0.01 - radius|, and the table at 0.90 + 0.01 - bottom.
MOVABLES = {
    "akita_black_bowl": ((-0.09, 0.0), 0.015, 0.97),
    "cream_cheese": ((-0.05, 0.13), 0.02, 0.935),
    "wine_bottle": ((-0.20, -0.05), 0.015, 0.97),
    "plate": ((0.05, -0.02), 0.015, 0.97),
}
FIXTURES = {
    "wooden_cabinet": ((0.03, -0.24), 0.905),
    "flat_stove": ((-0.41, 0.21), 0.905),
    "wine_rack": ((-0.26, -0.26), 0.92),
}
SIDEWAYS, BACKWARDS = (0.5**0.5, 0, 0, 0.5**0.5), (0, 0, 0, 1)


@pytest.fixture(scope="module")
def sampled(scene):
    sample = compilation.jit(lambda keys: placement.sample(scene, keys))
    keys = jax.random.split(jax.random.key(7), COUNT)
    return [np.asarray(x) for x in sample(keys)]


def _fills(values, center, half):
    """Uniform in the square: inside it, and close to all of its edges."""
    offset = (values - np.array(center)) / half
    assert np.all(np.abs(offset) <= 1 + 1e-4), np.abs(offset).max()
    assert np.all(offset.min(0) < -0.95) and np.all(offset.max(0) > 0.95)


@pytest.mark.parametrize("name", MOVABLES)
def test_objects_fill_their_squares(scene, sampled, name):
    center, half, z = MOVABLES[name]
    start = scene.joints[f"{name}_joint"][0]
    pose = sampled[0][:, start : start + 7]
    _fills(pose[:, :2], center, half)
    np.testing.assert_allclose(pose[:, 2], z, atol=1e-6)
    turn = SIDEWAYS if name in ("akita_black_bowl", "plate") else BACKWARDS
    np.testing.assert_allclose(pose[:, 3:], np.tile(turn, (COUNT, 1)), atol=1e-6)


@pytest.mark.parametrize("name", FIXTURES)
def test_fixtures_fill_their_squares(scene, sampled, name):
    row = [fixture.name for fixture in scene.suite.fixtures].index(name)
    center, z = FIXTURES[name]
    _fills(sampled[1][:, row, :2], center, 0.01)
    np.testing.assert_allclose(sampled[1][:, row, 2], z, atol=1e-6)
    turn = (1, 0, 0, 0) if name == "flat_stove" else BACKWARDS
    np.testing.assert_allclose(sampled[2][:, row], np.tile(turn, (COUNT, 1)), atol=1e-6)


def test_the_arm_is_noisy_and_all_else_at_rest(scene, sampled):
    qpos = sampled[0]
    noise = qpos[:, :7] - panda.HOME
    np.testing.assert_allclose(noise.std(axis=0), 0.02, rtol=0.15)
    np.testing.assert_allclose(noise.mean(axis=0), 0.0, atol=0.004)
    fingers = np.tile([0.020833, -0.020833], (COUNT, 1))
    np.testing.assert_allclose(qpos[:, 7:9], fingers, atol=1e-6)
    for joint in ("wooden_cabinet/top", "wooden_cabinet/bottom", "flat_stove/knob"):
        np.testing.assert_array_equal(qpos[:, scene.joints[joint][0]], 0.0)


def test_draws_are_independent(scene, sampled):
    starts = [scene.joints[f"{name}_joint"][0] for name in MOVABLES]
    columns = np.concatenate([sampled[0][:, s : s + 2] for s in starts], axis=1)
    columns = np.concatenate([columns, sampled[1][:, :, :2].reshape(COUNT, -1)], axis=1)
    correlation = np.corrcoef(columns.T) - np.eye(columns.shape[1])
    assert np.abs(correlation).max() < 0.2
