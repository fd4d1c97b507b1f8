"""DINOv2 with registers against transformers, whose weights our loader converts."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest
import torch
from flax import traverse_util

from omnivla_jax.models.encoders.dinov2 import DinoConfig, Dinov2, resize_positions
from omnivla_jax.models.encoders.vit import VitConfig
from omnivla_jax.policy.pretrained import param_mapping, vggt
from tests.helpers import unoptimized
from tests.helpers.pretrained import dinov2_release
from tests.helpers.random_tree import random_parameters

DINO = DinoConfig(grid=5, registers=3)
CONFIG = VitConfig(
    image_size=20,
    strides=(4,),
    stem_width=32,
    width=32,
    mlp_dim=64,
    depth=3,
    heads=4,
    remat="full",
)


@pytest.fixture(scope="module")
def model():
    return dinov2_release.reference(CONFIG, DINO)


@pytest.mark.parametrize("size", [20, 12, 28])
def test_equals_transformers_at_native_and_other_sizes(model, size):
    rng = np.random.default_rng(0)
    pictures = rng.normal(size=(2, size, size, 3)).astype(np.float32)
    ours = Dinov2(dataclasses.replace(CONFIG, image_size=size), DINO)
    params = loaded(model, random_parameters(ours, pictures)["params"])
    actual = unoptimized.jit(ours.apply)({"params": params}, pictures)
    expected = dinov2_release.tokens(model, pictures)
    assert np.abs(actual - expected).max() < 1e-4 < np.abs(expected).max()


def loaded(model, like):
    """Our parameters, made by the loader of VGGT's DINOv2; it covers all of `like`."""
    table = vggt.dinov2("ours", "theirs", CONFIG.depth)
    arrays = dinov2_release.renamed(model, "theirs")
    shapes = traverse_util.flatten_dict({"ours": like}, sep="/")
    made = {
        name: param_mapping.build_param(table[name], arrays.__getitem__, leaf)
        for name, leaf in shapes.items()
    }
    return traverse_util.unflatten_dict(made, sep="/")["ours"]


def test_positions_resize_as_torch_does():
    table = np.random.default_rng(1).normal(size=(37 * 37, 8)).astype(np.float32)
    square = torch.from_numpy(table.reshape(1, 37, 37, 8)).permute(0, 3, 1, 2)
    resized = torch.nn.functional.interpolate(
        square, size=(16, 16), mode="bicubic", antialias=True
    )
    expected = resized.permute(0, 2, 3, 1).reshape(256, 8).numpy()
    actual = resize_positions(jnp.asarray(table), 16)
    np.testing.assert_allclose(actual, expected, atol=1e-5)
