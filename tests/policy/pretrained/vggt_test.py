"""VGGT-1B's names: every array of the published aggregator has its place in ours."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from flax import traverse_util

from omnivla_jax.models.dinov2 import VGGT_DINO, DinoConfig
from omnivla_jax.models.spatial_encoder import SpatialEncoder
from omnivla_jax.models.vggt import VGGT_1B
from omnivla_jax.models.vit import VitConfig
from omnivla_jax.policy import config as configs
from omnivla_jax.policy.pretrained import recipes, vggt
from omnivla_jax.policy.pretrained.archives import Archive
from omnivla_jax.policy.pretrained.load import problems
from omnivla_jax.policy.pretrained.sources import source


def published(width: int, depth: int, patch: int, grid: int, registers: int):
    """name -> shape, written out from the release's modules."""
    top, dino = "aggregator", "aggregator.patch_embed"
    table = {
        f"{top}.camera_token": (1, 2, 1, width),
        f"{top}.register_token": (1, 2, registers, width),
        f"{dino}.cls_token": (1, 1, width),
        f"{dino}.pos_embed": (1, 1 + grid**2, width),
        f"{dino}.register_tokens": (1, registers, width),
        f"{dino}.mask_token": (1, width),
        f"{dino}.patch_embed.proj.weight": (width, 3, patch, patch),
        f"{dino}.patch_embed.proj.bias": (width,),
        f"{dino}.norm.weight": (width,),
        f"{dino}.norm.bias": (width,),
        "camera_head.token_norm.weight": (2 * width,),
    }
    stacks = (f"{dino}.blocks", f"{top}.frame_blocks", f"{top}.global_blocks")
    for stack in stacks:
        for layer in range(depth):
            table |= block(f"{stack}.{layer}", width, normed=stack != stacks[0])
    return table


def block(name: str, width: int, *, normed: bool):
    linears = {"attn.qkv": (3, 1), "attn.proj": (1, 1), "mlp.fc1": (4, 1)}
    linears["mlp.fc2"] = (1, 4)
    table: dict[str, tuple[int, ...]] = {
        f"{name}.{gain}.gamma": (width,) for gain in ("ls1", "ls2")
    }
    for part, (outputs, inputs) in linears.items():
        table[f"{name}.{part}.weight"] = (outputs * width, inputs * width)
        table[f"{name}.{part}.bias"] = (outputs * width,)
    norms = {"norm1": width, "norm2": width}
    if normed:
        norms |= {"attn.q_norm": width // 16, "attn.k_norm": width // 16}
    for part, size in norms.items():
        table |= {f"{name}.{part}.{leaf}": (size,) for leaf in ("weight", "bias")}
    return table


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
    archive = Archive(shapes, read=lambda name: np.zeros(shapes[name]))
    kind = source("hf-vggt")
    assert not problems(archive, kind.recipes(config), like, kind)


def test_values_arrive_where_torch_had_them(full):
    _, config = full
    shapes = published(64, 24, 14, 2, 4)
    rng = np.random.default_rng(0)
    arrays = {name: rng.normal(size=shape) for name, shape in shapes.items()}
    table = vggt.aggregator(config)

    def made(name, *shape):
        like = jax.ShapeDtypeStruct(shape, np.float64)
        recipe = table[f"{vggt.AGGREGATOR}/{name}"]
        return recipes.make(recipe, arrays.__getitem__, like)

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
