"""Tests of stage I's decoder: geometry is what its names promise."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

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
MERGED = SpatialDecoder(DecoderConfig(dataclasses.replace(VISION, merge=2), leading=3))
HIDDEN = jax.random.normal(jax.random.key(0), (2, 2 * 7, 12))
IMAGES = jax.random.uniform(jax.random.key(1), (2, 2, 8, 8, 3), minval=-1.0)


@pytest.mark.parametrize("decoder, tokens", [(DECODER, 7), (MERGED, 4)])
def test_geometry_is_normalised_and_in_front(decoder, tokens):
    hidden = HIDDEN[:, : 2 * tokens]
    parameters = random_parameters(decoder, hidden, IMAGES)
    geometry, confidence = unoptimized.jit(decoder.apply)(parameters, hidden, IMAGES)
    assert geometry.points.shape == geometry.normals.shape == (2, 2, 3, 8, 8)
    assert geometry.translation.shape == (2, 2, 3)
    assert confidence.shape == (2, 2, 8, 8)
    assert (geometry.points[:, :, 2] > 0).all()
    lengths = jnp.linalg.norm(geometry.normals, axis=2)
    np.testing.assert_allclose(lengths, 1, atol=1e-5)
    turned = geometry.rotation @ geometry.rotation.swapaxes(-1, -2)
    np.testing.assert_allclose(turned, np.tile(np.eye(3), (2, 2, 1, 1)), atol=1e-5)
    np.testing.assert_allclose(np.linalg.det(geometry.rotation), 1, atol=1e-5)


def test_unproject_by_hand():
    # Two rows and columns: rays start a quarter left or right of the middle.
    raw = jnp.array([3.0, -1.0, jnp.log(2.0)])[:, None, None] * jnp.ones((2, 2))
    points = spatial_decoder.unproject(raw, jnp.zeros(()))
    np.testing.assert_allclose(points[:, 0, 1], [6.5, -2.5, 2], rtol=1e-6)
    # Twice as wide a field: the offsets of rays double.
    wide = spatial_decoder.unproject(raw, jnp.log(jnp.float32(2)))
    np.testing.assert_allclose(wide[:, 0, 1], [7, -3, 2], rtol=1e-6)


def test_a_fresh_decoder_sees_a_wall():
    parameters = DECODER.init(jax.random.key(1), HIDDEN, IMAGES)
    geometry, _ = unoptimized.jit(DECODER.apply)(nn.unbox(parameters), HIDDEN, IMAGES)
    np.testing.assert_allclose(geometry.points[:, :, 2], 1)
    np.testing.assert_allclose(geometry.points[0, 0, 0, 3, :2], [-7 / 16, -5 / 16])
    np.testing.assert_allclose(geometry.normals[:, :, 2], -1, rtol=1e-6)
    identity = np.tile(np.eye(3), (2, 2, 1, 1))
    np.testing.assert_allclose(geometry.rotation, identity, atol=1e-6)


def test_rotation_by_hand():
    identity = spatial_decoder.rotation_matrix(jnp.zeros(6))
    np.testing.assert_allclose(identity, np.eye(3), atol=1e-6)
    # First axis to y, the second, (-1, 1, 0), loses its part along y: a quarter turn.
    quarter = spatial_decoder.rotation_matrix(jnp.array([-1.0, 1, 0, -1, 0, 0]))
    np.testing.assert_allclose(quarter, [[0, -1, 0], [1, 0, 0], [0, 0, 1]], atol=1e-6)


def test_pixels_come_from_their_patch():
    # Four patches of 2 x 2 pixels with 7 channels; the number of a pixel in its patch
    # is added to the number of the patch times ten.
    patches = 10.0 * jnp.arange(4)[:, None, None] + jnp.arange(4) + jnp.zeros((4, 7, 4))
    images = spatial_decoder.to_pixels(patches.reshape(1, 4, 28), 2)
    assert images.shape == (1, 7, 4, 4)
    assert images[0, 6].tolist() == [
        [0, 1, 10, 11],
        [2, 3, 12, 13],
        [20, 21, 30, 31],
        [22, 23, 32, 33],
    ]


def test_gradient_is_finite_where_vectors_vanish():
    slope = jax.grad(lambda x: spatial_decoder.unit(x).sum())(jnp.zeros(3))
    assert np.isfinite(slope).all()


def test_tokens_must_make_whole_views():
    decoder = SpatialDecoder(DecoderConfig(VISION, leading=4))
    with pytest.raises(ValueError, match="14 spatial tokens are not 2 views of 4 "):
        decoder.init(jax.random.key(0), HIDDEN, IMAGES)


def test_a_patch_sees_its_own_pixels_alone():
    """Geometry elsewhere has to come from the hidden states."""
    parameters = random_parameters(MERGED, HIDDEN[:, :8], IMAGES)
    apply = unoptimized.jit(MERGED.apply)
    before, _ = apply(parameters, HIDDEN[:, :8], IMAGES)
    after, _ = apply(parameters, HIDDEN[:, :8], IMAGES.at[:, 0, :4, :4].add(0.5))
    changed = np.asarray((before.points != after.points).any((0, 2)))
    assert changed[0, :4, :4].all()
    assert not changed[0, 4:].any() and not changed[1].any()
    assert (before.rotation == after.rotation).all()
