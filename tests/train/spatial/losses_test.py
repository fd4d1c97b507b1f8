"""Pi3's losses against scipy, brute force and numbers worked by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from omnivla_jax.core.types import Geometry
from omnivla_jax.train.spatial import losses
from omnivla_jax.train.spatial.losses import LossWeights

SIDE = 10


def plane(slope=0.3, batch=2, views=2, seed=0):
    """A slanted plane z = 1 + slope x, seen by cameras at random poses."""
    random = np.random.default_rng(seed)
    across = np.linspace(-0.4, 0.4, SIDE)
    x, y = np.meshgrid(across, across)
    z = 1 / (1 - slope * x)  # the ray (x, y, 1) meets the plane there
    points = np.stack([x * z, y * z, z])
    normal = np.array([slope, 0, -1]) / np.hypot(slope, 1)
    turns = Rotation.random(batch * views, rng=random).as_matrix()
    return Geometry(
        points=jnp.asarray(np.tile(points, (batch, views, 1, 1, 1)), jnp.float32),
        normals=jnp.asarray(
            np.broadcast_to(normal[:, None, None], (batch, views, 3, SIDE, SIDE)),
            jnp.float32,
        ),
        rotation=jnp.asarray(turns.reshape(batch, views, 3, 3), jnp.float32),
        translation=jnp.asarray(random.normal(size=(batch, views, 3)), jnp.float32),
    )


VALID = jnp.ones((2, 2, SIDE, SIDE), bool)
LOGITS = jnp.zeros(VALID.shape)


def evaluate(predicted, true, valid=VALID):
    total, terms = losses.loss(predicted, LOGITS, true, valid, weights=LossWeights())
    return float(total), {name: float(value) for name, value in terms.items()}


def moved(geometry, factor):
    """The same geometry at another scale and in another common frame."""
    turn = Rotation.from_euler("xyz", [0.3, -0.7, 1.1]).as_matrix().astype(np.float32)
    return geometry._replace(
        points=factor * geometry.points,
        rotation=turn @ geometry.rotation,
        translation=factor * geometry.translation @ turn.T + jnp.array([1.0, 2, 3]),
    )


def test_truth_at_any_scale_has_no_error():
    true = plane()
    for factor in (1.0, 0.01, 7.0):
        _, terms = evaluate(moved(true, factor), true)
        assert terms["points"] < 1e-4
        assert terms["camera"] < 1e-3
        # Angles are clamped at 1 degree: its loss is left.
        floor = 0.5 * np.deg2rad(1) ** 2 / np.deg2rad(3) * (1 + 1 / SIDE)
        np.testing.assert_allclose(terms["normal"], floor, rtol=1e-3)


def test_gradients_are_finite_at_the_truth():
    true = plane()
    zero = jax.tree.map(jnp.zeros_like, true)
    identity = zero._replace(rotation=jnp.broadcast_to(jnp.eye(3), (2, 2, 3, 3)))
    for predicted in (true, identity):
        gradient = jax.grad(
            lambda g: losses.loss(g, LOGITS, true, VALID, weights=LossWeights())[0]
        )(predicted)
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))


def test_pixels_that_hit_nothing_do_not_count():
    true = plane()
    hole = VALID.at[..., :3].set(False)
    broken = true._replace(points=jnp.where(hole[:, :, None], true.points, 99.0))
    _, terms = evaluate(broken, true, hole)
    assert terms["points"] < 1e-4


def test_normals_of_points_are_those_of_their_plane():
    true = plane(slope=0.5)
    for normals in losses.cross_normals(true.points):
        expected = true.normals[..., 1:8:4, 1:-1]
        np.testing.assert_allclose(losses.angle(normals, expected), 0, atol=2e-3)


def test_depth_edges_are_where_depth_jumps():
    """At 112 pixels a jump of 6 % is an edge, and one of 5 % is not."""
    depth = jnp.ones((2, 1, 112, 112))
    depth = depth.at[0, ..., 50:].set(1.07).at[1, ..., 50:].set(1.05)
    edges = losses.depth_edges(depth, jnp.ones(depth.shape, bool))[:, 0, 60]
    assert np.flatnonzero(edges[0]).tolist() == [49, 50]
    assert not edges[1].any()


def test_clamped_angles_are_the_exact_ones():
    degrees = np.array([0.0, 0.5, 1.0, 3.0, 30.0, 89.0, 90.0, 179.0])
    first = np.array([1.0, 0.0, 0.0])[:, None, None]
    turned = np.stack(
        [np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees)), 0 * degrees]
    )[:, None]
    pair = [jnp.asarray(x, jnp.float32)[None, None] for x in (first, turned)]
    measured = np.rad2deg(losses.clamped_angle(*pair))[0, 0, 0]
    np.testing.assert_allclose(measured, np.clip(degrees, 1, 90), atol=0.02)
    slope = jax.grad(lambda x: losses.clamped_angle(pair[0], x).sum())(pair[1])
    assert np.isfinite(slope).all()


@pytest.mark.parametrize("degrees", [0.0, 0.5, 20.0, 90.0, 179.0])
def test_rotation_angles_are_scipys(degrees):
    first = Rotation.from_euler("xyz", [0.2, 0.5, -1.0])
    second = first * Rotation.from_rotvec([0, np.deg2rad(degrees), 0])
    angle = losses.rotation_angle(
        jnp.asarray(first.as_matrix(), jnp.float32),
        jnp.asarray(second.as_matrix(), jnp.float32),
    )
    np.testing.assert_allclose(np.rad2deg(angle), degrees, atol=0.05)


def test_smooth_angles_by_hand():
    # Quadratic below 3 degrees, linear above.
    degrees = np.array([1.0, 2.0, 10.0, 90.0])
    expected = np.deg2rad([1 / 6, 4 / 6, 8.5, 88.5])
    measured = losses.smooth_angle(jnp.asarray(np.deg2rad(degrees), jnp.float32))
    np.testing.assert_allclose(measured, expected, rtol=1e-5)


def test_camera_loss_by_hand():
    """One camera shifted by 0.3 in a direction and turned by 10 degrees."""
    eye = jnp.broadcast_to(jnp.eye(3), (1, 2, 3, 3))
    true = plane(batch=1)._replace(rotation=eye, translation=jnp.zeros((1, 2, 3)))
    turn = Rotation.from_euler("z", 10, degrees=True).as_matrix()
    predicted = true._replace(
        rotation=eye.at[0, 1].set(jnp.asarray(turn, jnp.float32)),
        translation=true.translation.at[0, 1, 2].set(0.3),
    )
    # Huber of 0.3 with delta 0.1 on one of three axes, in both directions.
    huber = 0.1 * (0.3 - 0.05) / 3
    expected = 100 * huber + np.deg2rad(10)
    np.testing.assert_allclose(losses.camera_loss(predicted, true), expected, rtol=1e-4)


def test_confidence_learns_which_pixels_are_right():
    true = plane()
    half = true._replace(points=true.points.at[..., :5].multiply(2.0))
    gradient = jax.grad(
        lambda c: losses.loss(half, c, true, VALID, weights=LossWeights())[0]
    )(LOGITS)
    signs = np.sign(np.asarray(gradient))
    assert (signs[..., :5] == -signs[..., 5:]).all()
