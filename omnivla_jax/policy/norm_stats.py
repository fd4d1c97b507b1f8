"""Normalisation statistics of a data set, in openpi's `norm_stats.json`.

    {"norm_stats": {"state": {"mean": [...], "std", "q01", "q99"}, "actions": {...}}}

The formulas are openpi's, too, with nothing clipped:

    mean_std    (x - mean) / (std + 1e-6)                  pi0
    quantiles   2 (x - q01) / (q99 - q01 + 1e-6) - 1       pi0.5, pi0-FAST

Axes: D dimensions of a state or an action.
"""

import json
import os
from pathlib import Path
from typing import Any, Callable, Mapping, NamedTuple, TypeAlias

import jax.numpy as jnp
import numpy as np

from omnivla_jax.core import file_kinds
from omnivla_jax.policy.config import choose
from omnivla_jax.policy.normalize import Affine, Normalizer

FILE = "norm_stats.json"
TINY = 1e-6  # added to what is divided by
Vectors: TypeAlias = tuple[np.ndarray, np.ndarray]  # two statistics, float64 [D]


class VectorStats(NamedTuple):
    """Statistics of all states or actions of a data set."""

    mean: np.ndarray  # float64 [D]
    std: np.ndarray  # float64 [D]
    q01: np.ndarray  # float64 [D]: 1 % are smaller
    q99: np.ndarray  # float64 [D]: 1 % are larger


def read(path: Path, mode: str, *, proprio_dim: int, action_dim: int) -> Normalizer:
    """The maps that a file's statistics give.

    Args:
      path: of the file.
      mode: one of `MODES`.
      proprio_dim: leading dimensions of the state that the robot has; those behind are
        a policy's padding.
      action_dim: likewise of an action.

    Raises:
      ValueError: the file is missing or malformed, has fewer dimensions, numbers that
        are not finite, or a spread below 0.
    """
    path, (names, make) = Path(path), choose("normalization", mode, MODES)
    if not path.is_file():
        raise ValueError(file_kinds.describe(path, f"{path} is no file of statistics."))
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


def write(path: Path, *, state: VectorStats, actions: VectorStats) -> None:
    """Store statistics as openpi does, whole or not at all.

    Raises:
      FileExistsError: there is something at `path`.
    """
    path = Path(path)
    check_absent(path)
    groups = {"state": state, "actions": actions}
    text = json.dumps(
        {
            "norm_stats": {
                name: {key: vector.tolist() for key, vector in stats._asdict().items()}
                for name, stats in groups.items()
            }
        },
        indent=2,
        allow_nan=False,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        unfinished.write_text(text, "utf-8")
        os.link(unfinished, path)  # unlike a renaming, it replaces nothing
    finally:
        unfinished.unlink(missing_ok=True)


def check_absent(path: Path) -> None:
    """Raise a FileExistsError where something lies at `path`."""
    if path.exists():
        raise FileExistsError(f"{path} is there already: choose another name.")


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
    if (std < 0).any():
        raise ValueError(f"std is {std.tolist()}")
    return Affine(*(jnp.asarray(x, jnp.float32) for x in (mean, std + TINY)))


def _quantiles(stats: Vectors) -> Affine:
    q01, q99 = stats
    if (q99 < q01).any():
        raise ValueError(f"q99 is {q99.tolist()}, below q01 {q01.tolist()}")
    half = (q99 - q01 + TINY) / 2
    return Affine(*(jnp.asarray(x, jnp.float32) for x in (q01 + half, half)))


class _Mode(NamedTuple):
    names: tuple[str, str]  # of the statistics that it takes
    make: Callable[[Vectors], Affine]


MODES: Mapping[str, _Mode] = {
    "mean_std": _Mode(("mean", "std"), _mean_std),
    "quantiles": _Mode(("q01", "q99"), _quantiles),
}
