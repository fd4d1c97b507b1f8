"""Tests of stage I's decoder: geometry is what its names promise."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from omnivla_jax.models.encoders import spatial_decoder
from omnivla_jax.models.encoders.spatial_decoder import DecoderConfig, SpatialDecoder
from omnivla_jax.models.encoders.vit import VitConfig
from tests.helpers import unoptimized
from tests.helpers.random_tree import random_parameters

VISION = VitConfig(
    image_size=8,
    strides=(2, 2),
    stem_width=8,
    width=16,
    mlp_dim=16,
    depth=1,
    heads=2,
)
DECODER = SpatialDecoder(DecoderConfig(VISION, leading=3))
HIDDEN = jax.random.normal(jax.random.key(0), (2, 2 * 7, 12))


def test_geometry_is_normalised_and_in_front():
    drawn = unoptimized.jit(DECODER.apply)(random_parameters(DECODER, HIDDEN), HIDDEN)
    assert drawn.points.shape == drawn.normals.shape == (2, 2, 8, 8, 3)
    assert drawn.translations.shape == (2, 2, 3)
    assert (drawn.points[..., 2] > 0).all()
    np.testing.assert_allclose(jnp.linalg.norm(drawn.normals, axis=-1), 1, atol=1e-5)
    turned = drawn.rotations @ drawn.rotations.swapaxes(-1, -2)
    np.testing.assert_allclose(turned, np.tile(np.eye(3), (2, 2, 1, 1)), atol=1e-5)
    np.testing.assert_allclose(np.linalg.det(drawn.rotations), 1, atol=1e-5)


def test_unproject_by_hand():
    raw = jnp.array([3.0, -1.0, jnp.log(2.0)])
    np.testing.assert_allclose(spatial_decoder.unproject(raw), [6, -2, 2], rtol=1e-6)


def test_rotation_by_hand():
    identity = spatial_decoder.rotation_matrix(jnp.zeros(6))
    np.testing.assert_allclose(identity, np.eye(3), atol=1e-6)
    # First axis to y, the second, (-1, 1, 0), loses its part along y: a quarter turn.
    quarter = spatial_decoder.rotation_matrix(jnp.array([-1.0, 1, 0, -1, 0, 0]))
    np.testing.assert_allclose(quarter, [[0, -1, 0], [1, 0, 0], [0, 0, 1]], atol=1e-6)


def test_pixels_come_from_their_patch():
    vectors = jnp.arange(4)[None, :, None] * jnp.ones((1, 4, 24))
    drawn = spatial_decoder.to_pixels(vectors, 2)
    assert drawn[0, :, :, 0].tolist() == [[0, 0, 1, 1]] * 2 + [[2, 2, 3, 3]] * 2


def test_gradient_is_finite_where_vectors_vanish():
    slope = jax.grad(lambda x: spatial_decoder.unit(x).sum())(jnp.zeros(3))
    assert np.isfinite(slope).all()


def test_tokens_must_make_whole_views():
    with pytest.raises(ValueError, match="14 spatial tokens are not whole views of 4"):
        SpatialDecoder(DecoderConfig(VISION, leading=4)).init(jax.random.key(0), HIDDEN)
