"""VGGT's alternating blocks once more, in float64 NumPy over the release's names.

Written from the paper (Wang et al. 2025, section 3.1) and the release's layout, with
nothing of our modules: 2-D RoPE is a product of complex numbers here, and attention a
softmax over all pairs. Axes: B pictures, V views, T tokens of a view, E width, N heads,
C channels of a head.
"""

import numpy as np
from scipy import special

EPSILON = 1e-5  # of torch's LayerNorm
BASE = 100.0  # of the frequencies

Weights = dict[str, np.ndarray]


def aggregate(weights: Weights, patches: np.ndarray, heads: int) -> np.ndarray:
    """Patches [V, P, E] of one scene -> features of the last round [V, T, 2 E]."""
    views, count, width = patches.shape
    special_tokens = [
        weights[f"aggregator.{name}_token"][0] for name in ("camera", "register")
    ]
    leading = np.concatenate(special_tokens, axis=1).astype(np.float64)
    own = leading[[0] + [1] * (views - 1)]  # the first view's, then the others'
    x = np.concatenate([own, patches.astype(np.float64)], axis=1)
    side = round(count**0.5)
    grid = [(1 + row, 1 + column) for row in range(side) for column in range(side)]
    places = np.array([(0, 0)] * leading.shape[1] + grid, np.float64)
    everywhere = np.tile(places, (views, 1))
    blocks = {name.split(".")[2] for name in weights if ".global_blocks." in name}
    for layer in sorted(blocks, key=int):
        x = block(weights, f"aggregator.frame_blocks.{layer}", x, places, heads)
        frame, joint = x, x.reshape(1, -1, width)
        name = f"aggregator.global_blocks.{layer}"
        x = block(weights, name, joint, everywhere, heads).reshape(x.shape)
    return np.concatenate([frame, x], axis=-1)


def block(
    weights: Weights, name: str, x: np.ndarray, places: np.ndarray, heads: int
) -> np.ndarray:
    """Attention and MLP, each normed before and scaled after: [B, T, E]."""
    mixed = attention(
        weights, f"{name}.attn", norm(weights, f"{name}.norm1", x), places, heads
    )
    x = x + weights[f"{name}.ls1.gamma"] * mixed
    hidden = linear(weights, f"{name}.mlp.fc1", norm(weights, f"{name}.norm2", x))
    hidden = hidden * (1 + special.erf(hidden / np.sqrt(2))) / 2
    mixed = linear(weights, f"{name}.mlp.fc2", hidden)
    return x + weights[f"{name}.ls2.gamma"] * mixed


def attention(
    weights: Weights, name: str, x: np.ndarray, places: np.ndarray, heads: int
) -> np.ndarray:
    """Every token to every token of its row, places in queries and keys."""
    query, key, value = (
        part.reshape(*x.shape[:2], heads, -1)
        for part in np.split(linear(weights, f"{name}.qkv", x), 3, axis=-1)
    )
    query = rotated(norm(weights, f"{name}.q_norm", query), places)
    key = rotated(norm(weights, f"{name}.k_norm", key), places)
    logits = np.einsum("btnc,bsnc->bnts", query, key) / np.sqrt(query.shape[-1])
    chances = special.softmax(logits, axis=-1)
    mixed = np.einsum("bnts,bsnc->btnc", chances, value).reshape(x.shape)
    return linear(weights, f"{name}.proj", mixed)


def rotated(x: np.ndarray, places: np.ndarray) -> np.ndarray:
    """x [B, T, N, C]: rows turn the first half of C, columns the second."""
    halves = []
    for half, place in zip(np.split(x, 2, axis=-1), places.T):
        real, imaginary = np.split(half, 2, axis=-1)
        pairs = real.shape[-1]
        angle = place[:, None] * BASE ** (-np.arange(pairs) / pairs)
        turned = (real + 1j * imaginary) * np.exp(1j * angle)[None, :, None]
        halves += [turned.real, turned.imag]
    return np.concatenate(halves, axis=-1)


def linear(weights: Weights, name: str, x: np.ndarray) -> np.ndarray:
    return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]


def norm(weights: Weights, name: str, x: np.ndarray) -> np.ndarray:
    centred = x - x.mean(axis=-1, keepdims=True)
    scale = np.sqrt(np.mean(centred**2, axis=-1, keepdims=True) + EPSILON)
    return centred / scale * weights[f"{name}.weight"] + weights[f"{name}.bias"]
