"""Normalisation statistics of published checkpoints, in openpi's `norm_stats.json`.

{"norm_stats": {"state": {"mean": [...], "std", "q01", "q99"}, "actions": {...}}}
"""

import json
from pathlib import Path
from typing import Any, Callable, Mapping, NamedTuple, TypeAlias

import jax.numpy as jnp
import numpy as np

from omnivla_jax.policy.config import choose
from omnivla_jax.policy.normalize import Affine, Normalizer
from omnivla_jax.policy.pretrained.readers import require_exists

FILE = "norm_stats.json"
TINY = 1e-6  # openpi's: added to what is divided by
Vectors: TypeAlias = tuple[np.ndarray, np.ndarray]  # two statistics, float64 [D]


def read(path: Path, mode: str, *, proprio_dim: int, action_dim: int) -> Normalizer:
    """The maps that a checkpoint was trained with.

    Args:
      path: of the file.
      mode: "mean_std" (pi0) or "quantiles" (pi0.5).
      proprio_dim: leading dimensions of the state that the robot has.
      action_dim: likewise of an action.

    Raises:
      ValueError: the file is missing or malformed, has fewer dimensions, or numbers
        that are not finite.
    """
    path, (names, make) = require_exists(path), choose("normalisation", mode, MODES)
    try:
        stats = json.loads(path.read_text("utf-8"))["norm_stats"]
        sizes = {"state": proprio_dim, "actions": action_dim}
        state, action = (
            make(_vectors(stats[name], names=names, size=size))
            for name, size in sizes.items()
        )
    except (OSError, KeyError, TypeError, ValueError) as error:
        problem = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
        raise ValueError(
            f"{path} holds no statistics for {mode} of {proprio_dim} state and "
            f"{action_dim} action dimensions: {problem}."
        ) from error
    return Normalizer(state, action)


def _vectors(stats: Mapping[str, Any], *, names: tuple[str, str], size: int) -> Vectors:
    """Two statistics float64 [size]."""
    vectors = []
    for name in names:
        vector = np.asarray(stats[name], np.float64)
        if vector.ndim != 1 or len(vector) < size:
            raise ValueError(f"{name} has shape {vector.shape}")
        if not np.isfinite(vector[:size]).all():
            raise ValueError(f"{name} is {vector[:size].tolist()}")
        vectors.append(vector[:size])
    return vectors[0], vectors[1]


def _mean_std(stats: Vectors) -> Affine:
    mean, std = stats
    return _affine(mean, std + TINY)


def _quantiles(stats: Vectors) -> Affine:
    low, high = stats
    half = (high - low + TINY) / 2
    return _affine(low + half, half)


def _affine(offset: np.ndarray, scale: np.ndarray) -> Affine:
    return Affine(jnp.asarray(offset, jnp.float32), jnp.asarray(scale, jnp.float32))


class _Mode(NamedTuple):
    names: tuple[str, str]  # of the statistics that it takes
    make: Callable[[Vectors], Affine]


MODES: Mapping[str, _Mode] = {
    "mean_std": _Mode(("mean", "std"), _mean_std),
    "quantiles": _Mode(("q01", "q99"), _quantiles),
}
