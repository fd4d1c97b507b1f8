"""DINOv2 with registers against transformers, on its own random weights."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
import transformers

from omnivla_jax.models.dinov2 import DinoConfig, Dinov2, resize_positions
from omnivla_jax.models.vit import VitConfig
from tests.models.random_tree import random_parameters

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


def reference() -> torch.nn.Module:
    """A tiny DINOv2 of transformers in which every parameter matters."""
    config = transformers.Dinov2WithRegistersConfig(
        hidden_size=CONFIG.width,
        num_hidden_layers=CONFIG.depth,
        num_attention_heads=CONFIG.heads,
        mlp_ratio=CONFIG.mlp_dim // CONFIG.width,
        image_size=DINO.grid * CONFIG.strides[0],
        patch_size=CONFIG.strides[0],
        num_register_tokens=DINO.registers,
    )
    model = transformers.Dinov2WithRegistersModel(config).eval()
    torch.manual_seed(0)
    for weight in model.parameters():
        weight.data = 0.3 * torch.randn_like(weight)
    return model


def converted(model: torch.nn.Module) -> dict[str, Any]:
    """Our parameter tree of a torch module's weights, asked for by name."""
    state = {name: value.numpy() for name, value in model.state_dict().items()}

    def stack(name: str) -> np.ndarray:
        found = [key for key in state if ".layer" in key and key.endswith("." + name)]
        assert len(found) == CONFIG.depth, (name, found)
        return np.stack([state[key] for key in sorted(found)])

    def dense(*names: str) -> dict[str, np.ndarray]:
        kernels = [stack(f"{name}.weight").swapaxes(1, 2) for name in names]
        biases = [stack(f"{name}.bias") for name in names]
        return {"kernel": np.concatenate(kernels, 2), "bias": np.concatenate(biases, 1)}

    def norm(name: str) -> dict[str, Any]:
        scale, bias = stack(f"{name}.weight"), stack(f"{name}.bias")
        return {"norm": {"scale": scale, "bias": bias}}

    patch = "embeddings.patch_embeddings.projection"
    conv = state[f"{patch}.weight"].transpose(2, 3, 1, 0).reshape(-1, CONFIG.width)
    final = {"scale": state["layernorm.weight"], "bias": state["layernorm.bias"]}
    return {
        "stem": {"conv_0": {"kernel": conv, "bias": state[f"{patch}.bias"]}},
        "class_token": state["embeddings.cls_token"][0],
        "register_tokens": state["embeddings.register_tokens"][0],
        "pos_embedding": state["embeddings.position_embeddings"][0],
        "blocks": {
            "ln_1": norm("norm1"),
            "qkv": dense("q_proj", "k_proj", "v_proj"),
            "out": dense("o_proj"),
            "attention_gain": stack("layer_scale1.lambda1"),
            "ln_2": norm("norm2"),
            "mlp_in": dense("mlp.fc1"),
            "mlp_out": dense("mlp.fc2"),
            "mlp_gain": stack("layer_scale2.lambda1"),
        },
        "encoder_norm": {"norm": final},
    }


@pytest.mark.parametrize("size", [20, 12, 28])
def test_equals_transformers_at_native_and_other_sizes(size):
    model = reference()
    pictures = np.random.default_rng(0).normal(size=(2, size, size, 3))
    pictures = pictures.astype(np.float32)
    with torch.no_grad():
        channels_first = torch.from_numpy(pictures.transpose(0, 3, 1, 2).copy())
        expected = model(channels_first).last_hidden_state.numpy()
    config = dataclasses.replace(CONFIG, image_size=size)
    ours = Dinov2(config, DINO)
    params = jax.tree.map(jnp.asarray, converted(model))
    shapes = jax.tree.map(jnp.shape, random_parameters(ours, pictures)["params"])
    assert jax.tree.map(jnp.shape, params) == shapes
    actual = jax.jit(ours.apply)({"params": params}, pictures)
    assert np.abs(actual - expected).max() < 1e-4


def test_positions_resize_as_torch_does_from_518_to_224_pixels():
    table = np.random.default_rng(1).normal(size=(37 * 37, 8)).astype(np.float32)
    square = torch.from_numpy(table.reshape(1, 37, 37, 8)).permute(0, 3, 1, 2)
    resized = torch.nn.functional.interpolate(
        square, size=(16, 16), mode="bicubic", antialias=True
    )
    expected = resized.permute(0, 2, 3, 1).reshape(256, 8).numpy()
    actual = resize_positions(jnp.asarray(table), 16)
    np.testing.assert_allclose(actual, expected, atol=1e-5)
