"""VGGT-1B's names, and its numbers on small random weights that our loader reads."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from flax import traverse_util

from omnivla_jax.core import sharding
from omnivla_jax.models.encoders.dinov2 import VGGT_DINO, DinoConfig
from omnivla_jax.models.encoders.spatial_encoder import SpatialEncoder
from omnivla_jax.models.encoders.vggt import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    VGGT_1B,
    Aggregator,
)
from omnivla_jax.models.encoders.vit import VitConfig
from omnivla_jax.models.mot import ExpertConfig
from omnivla_jax.policy import config as configs
from omnivla_jax.policy.pretrained import param_mapping, vggt
from omnivla_jax.policy.pretrained.formats import get_format
from omnivla_jax.policy.pretrained.load import find_mismatches, load
from omnivla_jax.policy.pretrained.readers import ArrayReader
from tests.helpers import unoptimized
from tests.helpers.pretrained import dinov2_release, fakes, tiny, vggt_reference
from tests.helpers.pretrained.vggt_release import published


def parameters_of(vision: VitConfig, dino: DinoConfig):
    """Our shapes, by name."""
    encoder = SpatialEncoder(vision, dino.registers, 8, dino)
    size = vision.image_size
    like = jax.eval_shape(
        lambda: encoder.init(jax.random.key(0), jnp.zeros((1, 2, size, size, 3)))
    )
    tree = {"spatial": {"encoder": nn.unbox(like)["params"]}}
    return traverse_util.flatten_dict(tree, sep="/")


@pytest.fixture
def full():
    """Our shapes at full size, and a policy of that size."""
    return parameters_of(VGGT_1B, VGGT_DINO), configs.preset("full")


def test_the_published_aggregator_fills_ours(full):
    like, config = full
    shapes = published(1024, 24, 14, 37, 4)
    reader = ArrayReader(shapes, read=lambda name: np.zeros(shapes[name]))
    kind = get_format("hf-vggt")
    assert not find_mismatches(reader, kind.mappings(config), like, kind)


def test_values_arrive_where_torch_had_them(full):
    _, config = full
    shapes = published(64, 24, 14, 2, 4)
    rng = np.random.default_rng(0)
    arrays = {name: rng.normal(size=shape) for name, shape in shapes.items()}
    table = vggt.aggregator(config)

    def made(name, *shape):
        like = jax.ShapeDtypeStruct(shape, np.float64)
        mapping = table[f"{vggt.AGGREGATOR}/{name}"]
        return param_mapping.build_param(mapping, arrays.__getitem__, like)

    tokens = made("special_tokens", 2, 5, 64)
    np.testing.assert_array_equal(tokens[:, :1], arrays["aggregator.camera_token"][0])
    registers = arrays["aggregator.register_token"]
    np.testing.assert_array_equal(tokens[:, 1:], registers[0])
    kernel = made("rounds/global/qkv/kernel", 24, 64, 192)
    for layer in (0, 23):
        weight = arrays[f"aggregator.global_blocks.{layer}.attn.qkv.weight"]
        np.testing.assert_array_equal(kernel[layer], weight.T)
    stem = made("dino/stem/conv_0/kernel", 588, 64).reshape(14, 14, 3, 64)
    proj = arrays["aggregator.patch_embed.patch_embed.proj.weight"]
    np.testing.assert_array_equal(stem[3, 5, 1], proj[:, 1, 3, 5])


SMALL = VitConfig(
    image_size=12,
    strides=(4,),
    stem_width=16,
    width=16,
    mlp_dim=64,
    depth=2,
    heads=2,
    remat="full",
)
DINO = DinoConfig(grid=4, registers=2)


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    """DINOv2 of transformers, all arrays of the file, and our aggregator's of it."""
    dino = dinov2_release.reference(SMALL, DINO)
    shapes = published(16, 2, 4, DINO.grid, DINO.registers, heads=SMALL.heads)
    rng = np.random.default_rng(1)
    arrays = {
        name: rng.normal(0, 0.3, shape).astype(np.float32)
        for name, shape in shapes.items()
    }
    eyes = dinov2_release.renamed(dino, "aggregator.patch_embed")
    assert {n: a.shape for n, a in eyes.items()}.items() <= shapes.items()
    path = tmp_path_factory.mktemp("vggt") / "model.safetensors"
    fakes.write_safetensors(path, arrays | eyes)
    mesh = sharding.make_mesh()
    files = [(get_format("hf-vggt"), path)]
    params = load(jax.random.key(0), files, config=_policy(), mesh=mesh).params
    return dino, arrays | eyes, params["spatial"]["encoder"]["aggregator"]


def _policy():
    """A policy that sees as the small VGGT does."""
    expert = ExpertConfig(20, 24, depth=2, heads=4, kv_heads=1, head_dim=8)
    mot = dataclasses.replace(tiny.CONFIG.mot, spatial=expert)
    return dataclasses.replace(
        tiny.CONFIG, spatial_vision=SMALL, dino=DINO, registers=DINO.registers, mot=mot
    )


def test_tokens_that_are_joined_are_judged_together():
    like, mappings = parameters_of(SMALL, DINO), vggt.aggregator(_policy())
    shapes = published(16, 2, 4, DINO.grid, DINO.registers, heads=SMALL.heads)

    def found():
        reader = ArrayReader(shapes, read=lambda name: np.zeros(shapes[name]))
        return find_mismatches(reader, mappings, like, get_format("hf-vggt"))

    assert not found()
    shapes["aggregator.camera_token"] = (1, 2, 1, 15)
    text = (
        "aggregator.camera_token (1, 2, 1, 15), aggregator.register_token (1, 2, 2, 16)"
        f" makes no array, but {vggt.AGGREGATOR}/special_tokens is (2, 3, 16)"
    )
    assert found() == [("mis-shaped array", text)]
    del shapes["aggregator.register_token"]
    assert found() == [("missing name", "aggregator.register_token")]


@pytest.mark.slow
def test_the_aggregator_computes_what_the_release_does(release):
    dino, arrays, params = release
    images = np.random.default_rng(0).uniform(-1, 1, (3, 12, 12, 3))
    images = images.astype(np.float32)
    normed = ((images + 1) / 2 - IMAGENET_MEAN) / IMAGENET_STD
    seen = dinov2_release.tokens(dino, normed.astype(np.float32))
    patches = seen[:, 1 + DINO.registers :]
    expected = vggt_reference.aggregate(arrays, patches, SMALL.heads)
    ours = Aggregator(SMALL, DINO.registers, DINO)
    actual = unoptimized.jit(ours.apply)({"params": params}, images[None])[0]
    assert np.abs(expected).max() > 1
    np.testing.assert_allclose(actual, expected, atol=1e-4)
