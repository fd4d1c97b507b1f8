"""Tests of contact.geometry: frames, lowest corners and the choice of four points."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from scipy.spatial.transform import Rotation

from omnivla_jax.sim.engines.mjx import lanes
from omnivla_jax.sim.engines.mjx.contact import geometry
from omnivla_jax.sim.engines.mjx.contact.geometry import Boxes

COUNT = 50
select_manifold = jax.jit(
    functools.partial(geometry.select_contact_manifold, lanes.GATHERS)
)
corners_below = jax.jit(geometry.corners_below)


def test_tangents_complete_a_right_handed_frame():
    rng = np.random.default_rng(0)
    normals = np.concatenate([rng.normal(size=(3, COUNT)), np.eye(3), -np.eye(3)], 1)
    normals /= np.linalg.norm(normals, axis=0)
    frames = np.stack([normals, *geometry.tangents(jnp.float32(normals))])
    for frame in frames.transpose(2, 0, 1):
        np.testing.assert_allclose(frame @ frame.T, np.eye(3), atol=1e-6)
        np.testing.assert_allclose(np.linalg.det(frame), 1.0, atol=1e-6)


def test_cross_and_dot():
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(2, 3, COUNT)).astype(np.float32)
    np.testing.assert_allclose(geometry.cross(a, b), np.cross(a, b, axis=0), atol=1e-6)
    np.testing.assert_allclose(geometry.dot(a, b), np.sum(a * b, axis=0), atol=1e-6)


def test_first_max_breaks_ties_and_survives_nan():
    values = jnp.array([[1.0, 0.0, jnp.nan], [3.0, 0.0, 1.0], [3.0, -1.0, 2.0]])
    np.testing.assert_array_equal(geometry.first_max(values), [1, 0, 2])


def test_corners_below_are_the_lowest_face():
    rng = np.random.default_rng(2)
    axes = Rotation.random(COUNT, random_state=3).as_matrix().transpose(1, 2, 0)
    half, center = rng.uniform(0.01, 0.1, (3, COUNT)), rng.normal(size=(3, COUNT))
    boxes = Boxes(*map(jnp.float32, (center, axes, half)))
    up = jnp.broadcast_to(jnp.array([0.0, 0.0, 1.0])[:, None], (3, COUNT))
    heights, corners = corners_below(boxes, jnp.zeros((3, COUNT)), up)
    signs = np.array(np.meshgrid(*[(-1, 1)] * 3)).reshape(3, 8)
    every = center[:, None] + np.einsum("ijn,jn,jk->ikn", axes, half, signs)
    np.testing.assert_allclose(heights.min(axis=0), every[2].min(axis=0), atol=1e-6)
    np.testing.assert_allclose(heights, corners[2], atol=1e-6)
    for i in range(COUNT):  # four different corners of the box
        gaps = np.linalg.norm(every[:, None, :, i] - corners[:, :, None, i], axis=0)
        assert len(set(gaps.argmin(axis=1))) == 4 and gaps.min(axis=1).max() < 1e-6


def choose(u, v, depth):
    columns = (jnp.array(values, jnp.float32)[:, None] for values in (u, v, depth))
    chosen, valid = select_manifold(*columns)
    return [int(i) for i, there in zip(chosen[:, 0], valid[:, 0]) if there]


def test_a_manifold_is_the_corners_of_a_rectangle():
    u, v = [0, 1, 2, 2, 2, 1, 0, 0], [0, 0, 0, 1, 2, 2, 2, 1]
    assert sorted(choose(u, v, [1e-3] * 8)) == [0, 2, 4, 6]


def test_a_manifold_starts_at_the_deepest_contact():
    assert choose([0, 1, 5], [0, 0, 0], [1e-3, 2e-3, 0.0]) == [1, 0]
    assert choose([0, 1], [0, 0], [-1.0, 0.0]) == []


def test_the_manifold_of_a_line_is_its_ends():
    assert sorted(choose([0, 1, 2, 3], [0, 0, 0, 0], [1e-3] * 4)) == [0, 3]


def test_a_sunken_bottle_stands_on_its_foot():
    # A square foot 3 cm below the ground, a wider shoulder 1 cm below it.
    corners = [(x, y) for x in (-1, 1) for y in (-1, 1)]
    foot, shoulder = ([(s * x, s * y) for x, y in corners] for s in (1.7e-2, 2.6e-2))
    u, v = zip(*shoulder, *foot)
    assert sorted(choose(u, v, [1e-2] * 4 + [3e-2] * 4)) == [4, 5, 6, 7]


def test_a_tilted_plank_keeps_both_ends():
    assert choose([0.0, 0.2], [0.0, 0.0], [0.01, 0.001]) == [0, 1]
