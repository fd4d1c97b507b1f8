"""Tests of the two image encoders: what they keep apart and what they relate."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from omnivla_jax.models.encoders import vit
from omnivla_jax.models.encoders.siglip import Siglip
from omnivla_jax.models.encoders.spatial_encoder import SpatialEncoder
from tests.helpers import unoptimized
from tests.helpers.random_tree import random_parameters

CONFIG = vit.VitConfig(
    image_size=16,
    strides=(2, 4),
    stem_width=8,
    width=16,
    mlp_dim=16,
    depth=1,
    heads=2,
)


def images(seed: int = 0) -> jax.Array:
    return jax.random.uniform(jax.random.key(seed), (2, 2, 16, 16, 3), minval=-1)


def view_response(encoder, tokens_per_view: int) -> np.ndarray:
    """[output view, input view]: does changing one view change the other's tokens?"""
    params, apply = random_parameters(encoder, images()), unoptimized.jit(encoder.apply)
    before = apply(params, images())
    moved = [
        np.abs(apply(params, images().at[:, v].multiply(0.5)) - before)
        for v in range(2)
    ]
    per_view = [m.reshape(2, 2, tokens_per_view, -1).max(axis=(0, 2, 3)) for m in moved]
    return np.stack(per_view, axis=1) > 1e-6


def test_unshuffle_gathers_neighbours_row_by_row():
    x = jnp.arange(16).reshape(1, 4, 4, 1)
    np.testing.assert_array_equal(vit.unshuffle(x, 2)[0, 0, 1], [2, 3, 6, 7])


def test_stem_equals_a_strided_convolution():
    config = dataclasses.replace(CONFIG, strides=(4,))
    stem, picture = vit.PatchEmbed(config), images()[:, 0]
    weight = jnp.linspace(-1, 1, 48 * 16).reshape(48, 16)
    params = {"params": {"conv_0": {"kernel": weight, "bias": jnp.zeros(16)}}}
    kernel = weight.reshape(4, 4, 3, 16)
    axes = ("NHWC", "HWIO", "NHWC")
    expected = jax.lax.conv_general_dilated(
        picture, kernel, (4, 4), "VALID", dimension_numbers=axes
    )
    np.testing.assert_allclose(stem.apply(params, picture), expected, atol=1e-4)


def test_siglip_sees_one_view_at_a_time():
    encoder = Siglip(CONFIG, features=12)
    tokens = jax.eval_shape(encoder.init_with_output, jax.random.key(0), images())[0]
    assert tokens.shape == (2, 2 * CONFIG.tokens, 12)
    np.testing.assert_array_equal(view_response(encoder, CONFIG.tokens), np.eye(2))


def test_merging_loses_no_token_of_the_patch_grid():
    config = dataclasses.replace(CONFIG, merge=2)
    assert (CONFIG.tokens, config.tokens) == (4, 1)
    encoder = Siglip(config, features=12)
    assert view_response(encoder, 1).tolist() == np.eye(2, dtype=bool).tolist()


def test_spatial_encoder_relates_views():
    encoder = SpatialEncoder(CONFIG, registers=1, features=12, dino=None)
    assert view_response(encoder, 1 + 1 + CONFIG.tokens).all()


def test_spatial_encoder_merges_after_relating_patches():
    config = dataclasses.replace(CONFIG, merge=2)
    encoder = SpatialEncoder(config, registers=1, features=12, dino=None)
    assert view_response(encoder, 1 + 1 + config.tokens).all()


def test_sizes_must_divide():
    with pytest.raises(ValueError, match="16-pixel image does not divide"):
        dataclasses.replace(CONFIG, strides=(3,))
    with pytest.raises(ValueError, match="self.width=16 must be a multiple"):
        dataclasses.replace(CONFIG, heads=3)
