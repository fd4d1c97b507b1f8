"""A tiny DINOv2 of transformers, its weights under the names that VGGT released."""

import re

import numpy as np
import torch
import transformers

from omnivla_jax.models.encoders.dinov2 import DinoConfig
from omnivla_jax.models.encoders.vit import VitConfig

# transformers' levels and the release's, from the outside in.
LEVELS = (
    (r"^embeddings\.patch_embeddings\.projection", "patch_embed.proj"),
    (r"^embeddings\.position_embeddings", "pos_embed"),
    (r"^embeddings\.", ""),
    (r"^encoder\.layer\.", "blocks."),
    (r"^layernorm", "norm"),
    (r"\.layer_scale(\d)\.lambda1", r".ls\1.gamma"),
    (r"\.attention\.o_proj", ".attn.proj"),
)


def reference(vision: VitConfig, dino: DinoConfig) -> torch.nn.Module:
    """Random weights, none of them zero."""
    config = transformers.Dinov2WithRegistersConfig(
        hidden_size=vision.width,
        num_hidden_layers=vision.depth,
        num_attention_heads=vision.heads,
        mlp_ratio=vision.mlp_dim // vision.width,
        image_size=dino.grid * vision.strides[0],
        patch_size=vision.strides[0],
        num_register_tokens=dino.registers,
    )
    model = transformers.Dinov2WithRegistersModel(config).eval()
    generator = torch.Generator().manual_seed(0)
    for weight in model.parameters():
        weight.data = 0.3 * torch.randn(weight.shape, generator=generator)
    return model


def tokens(model: torch.nn.Module, pictures: np.ndarray) -> np.ndarray:
    """What the reference sees in pictures [B, S, S, 3]: [B, 1 + R + P, E]."""
    with torch.no_grad():
        channels_first = torch.from_numpy(pictures.transpose(0, 3, 1, 2).copy())
        return model(channels_first).last_hidden_state.numpy()


def renamed(model: torch.nn.Module, prefix: str) -> dict[str, np.ndarray]:
    """The arrays of the release: queries, keys and values are one layer there."""
    arrays = {}
    for name, weight in model.state_dict().items():
        for pattern, replacement in LEVELS:
            name = re.sub(pattern, replacement, name)
        arrays[f"{prefix}.{name}"] = weight.numpy()
    for name in [name for name in arrays if ".attention.q_proj." in name]:
        parts = [name.replace(".q_proj.", f".{part}_proj.") for part in "qkv"]
        fused = name.replace(".attention.q_proj.", ".attn.qkv.")
        arrays[fused] = np.concatenate([arrays.pop(part) for part in parts])
    return arrays
