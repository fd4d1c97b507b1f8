"""A tiny pi0 or pi0.5 for two implementations: sizes, weights by name, inputs.

NumPy alone, so that LeRobot's interpreter, which has no JAX, reads it too. Weights come
from their names, by a generator whose numbers NumPy never changes: a fixture need not
hold them. Axes: B observations, V cameras, S image side, L words, H actions, D action
dimensions, R pairs of a noisy chunk and its time.
"""

import zlib
from typing import Mapping, NamedTuple

import numpy as np

NAMES = ("pi0", "pi05")
# Eight heads and one of keys: LeRobot's joint attention has no other number.
GEMMA = {"depth": 2, "num_heads": 8, "num_kv_heads": 1, "head_dim": 8}
REASONING = {"width": 24, "mlp_dim": 28}
ACTION = {"width": 16, "mlp_dim": 36}
VISION = {
    "hidden_size": 18,
    "intermediate_size": 20,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "patch_size": 4,
}
IMAGE_SIZE, VOCAB, HORIZON, DIMENSIONS, MAX_TOKENS = 12, 50, 5, 32, 7
WORDS = (7, 4)  # of the two prompts, the begin mark included
STEPS = 10
SCALE = 0.2  # of every weight


class Inputs(NamedTuple):
    """What a velocity and a chunk are computed from."""

    images: np.ndarray  # uint8 [B, V, S, S, 3], the two cameras that exist
    tokens: np.ndarray  # int32 [B, L]
    token_mask: np.ndarray  # bool [B, L]
    state: np.ndarray  # float32 [B, D]
    actions: np.ndarray  # float32 [B, H, D]
    noise: np.ndarray  # float32 [B, H, D]
    times: np.ndarray  # float32 [R, B], 1 at the noise as theirs


def make_inputs() -> Inputs:
    """The same for every model."""
    random = np.random.RandomState(0)
    count = len(WORDS)
    chunk = (count, HORIZON, DIMENSIONS)
    return Inputs(
        random.randint(0, 256, (count, 2, IMAGE_SIZE, IMAGE_SIZE, 3)).astype(np.uint8),
        random.randint(3, VOCAB, (count, MAX_TOKENS)).astype(np.int32),
        np.arange(MAX_TOKENS) < np.array(WORDS)[:, None],
        random.standard_normal((count, DIMENSIONS)).astype(np.float32),
        random.standard_normal(chunk).astype(np.float32),
        random.standard_normal(chunk).astype(np.float32),
        # Exact in float32, and so is 1 - t.
        np.array([[1.0, 0.75], [0.25, 0.4375], [0.0625, 0.875]], np.float32),
    )


def make_weight(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """float32, normal; no zero biases, and no norms of scale one."""
    random = np.random.RandomState(zlib.crc32(name.encode()))
    return (SCALE * random.standard_normal(shape)).astype(np.float32)


def make_weights(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """The arrays of a file with these names."""
    return {name: make_weight(name, tuple(shape)) for name, shape in shapes.items()}
