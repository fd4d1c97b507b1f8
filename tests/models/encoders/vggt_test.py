"""Properties of VGGT's aggregator, its size, and 2-D RoPE worked by hand."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
import transformers
from flax import linen as nn

from omnivla_jax.models.encoders.dinov2 import VGGT_DINO, DinoConfig
from omnivla_jax.models.encoders.rope2d import planar_rotation, rope2d
from omnivla_jax.models.encoders.spatial_encoder import SpatialEncoder
from omnivla_jax.models.encoders.vggt import VGGT_1B, Aggregator
from omnivla_jax.models.encoders.vit import VitConfig
from tests.helpers import unoptimized
from tests.helpers.random_tree import random_parameters

CONFIG = VitConfig(
    image_size=8,
    strides=(4,),
    stem_width=16,
    width=16,
    mlp_dim=32,
    depth=2,
    heads=2,
    remat="dots",
)
REGISTERS = 2
TINY = Aggregator(CONFIG, REGISTERS, DinoConfig(grid=3, registers=2))


def images(views: int = 3) -> jax.Array:
    return jax.random.uniform(jax.random.key(0), (1, views, 8, 8, 3), minval=-1)


def test_views_after_the_first_may_change_places():
    params, order = random_parameters(TINY, images()), jnp.array([0, 2, 1])
    apply = unoptimized.jit(TINY.apply)
    straight, swapped = apply(params, images()), apply(params, images()[:, order])
    assert straight.shape == (1, 3, 1 + REGISTERS + 4, 2 * CONFIG.width)
    np.testing.assert_allclose(straight[:, order], swapped, atol=1e-4)
    moved = apply(params, images()[:, jnp.array([1, 0, 2])])
    assert np.abs(straight[:, jnp.array([1, 0, 2])] - moved).max() > 1e-2


def test_first_view_has_special_tokens_of_its_own():
    params = random_parameters(TINY, images())

    def alone(table):
        changed = {"params": {**params["params"], "special_tokens": table}}
        return jnp.sum(jnp.square(TINY.apply(changed, images(1))))

    table = params["params"]["special_tokens"]
    assert table.shape == (2, 1 + REGISTERS, CONFIG.width)
    slope = jnp.abs(unoptimized.jit(jax.grad(alone))(table)).sum((1, 2))
    assert slope[0] > 0 and slope[1] == 0


def test_first_round_features_stay_inside_their_view():
    shallow = dataclasses.replace(CONFIG, depth=1)
    aggregator = dataclasses.replace(TINY, config=shallow)
    params = random_parameters(aggregator, images())
    apply = unoptimized.jit(aggregator.apply)
    before = apply(params, images())
    after = apply(params, images().at[:, 2].multiply(0.5))
    moved = np.abs(after - before).max(axis=(0, 2))
    frame, joint = moved[0, : CONFIG.width], moved[0, CONFIG.width :]
    assert frame.max() < 1e-6 < joint.max()


def test_rope2d_by_hand():
    # C = 8, patch (0, 1) of a 2 x 2 grid lies at (1, 2). Rows turn channel pairs (0, 2)
    # and (1, 3) by 1 and 1 / 10, columns (4, 6) and (5, 7) by 2 and 2 / 10.
    turn = planar_rotation(2, 8, special=1)
    x = jnp.tile(jnp.array([1.0, 1, 0, 0, 1, 1, 0, 0]), (1, 5, 1, 1))
    turned = rope2d(x, turn)[0, :, 0]
    angles = np.array([1, 0.1, 2, 0.2])
    cosine, sine = np.cos(angles), np.sin(angles)
    expected = [*cosine[:2], *sine[:2], *cosine[2:], *sine[2:]]
    np.testing.assert_array_equal(turned[0], x[0, 0, 0])
    np.testing.assert_allclose(turned[2], expected, atol=1e-6)
    with pytest.raises(ValueError, match="channels=6 must be a multiple of 4"):
        planar_rotation(2, 6, special=1)


def test_vggt_1b_has_the_size_of_its_parts():
    """DINOv2-L/14-reg as transformers builds it, and 48 blocks of a ViT-L by hand.

    No count of the aggregator alone is published that we know of; VGGT's paper gives
    about 1.2 billion with all heads. DINOv2's mask token is left out.
    """
    encoder = SpatialEncoder(VGGT_1B, 4, 1024, VGGT_DINO)
    pictures = jax.ShapeDtypeStruct((1, 2, 224, 224, 3), jnp.float32)
    params = jax.eval_shape(encoder.init, jax.random.key(0), pictures)["params"]

    def count(tree) -> int:
        return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(nn.unbox(tree)))

    large = transformers.Dinov2WithRegistersConfig(
        hidden_size=1024,
        num_hidden_layers=24,
        num_attention_heads=16,
        image_size=518,
        patch_size=14,
    )
    with torch.device("meta"):
        model = transformers.Dinov2WithRegistersModel(large)
    reference = sum(weight.numel() for weight in model.parameters())
    aggregator = params["aggregator"]
    mask_token = 1024
    assert count(aggregator["dino"]) == reference - mask_token
    # A block: qkv and out 4 E^2 + 4 E, MLP 8 E^2 + 5 E, norms 4 E, gains 2 E, qk 4 C.
    width, channels = 1024, 64
    block = 12 * width**2 + 15 * width + 4 * channels
    assert count(aggregator["rounds"]) == 48 * block
    assert count(aggregator["special_tokens"]) == 2 * 5 * width
