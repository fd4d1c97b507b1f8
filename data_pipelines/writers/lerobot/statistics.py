"""The statistics that LeRobot keeps of every episode and of a whole dataset.

Axes: T frames, S image side, C channels, D numbers of a vector; E episodes.
"""

from typing import Mapping, Sequence, TypeAlias

import numpy as np

# By feature, then by name: min, max, mean, std, quantiles [D] or [C, 1, 1], count [1].
Statistics: TypeAlias = dict[str, dict[str, np.ndarray]]
# Those that LeRobot writes since v3.0; pi0.5 is normalised by the outer ones.
QUANTILES = {"q01": 0.01, "q10": 0.1, "q50": 0.5, "q90": 0.9, "q99": 0.99}


def of_episode(columns: Mapping[str, np.ndarray]) -> Statistics:
    """The statistics of all frames of an episode; pictures count from 0 to 1."""
    return {
        name: _of_pictures(array) if array.dtype == np.uint8 else _of_numbers(array)
        for name, array in columns.items()
    }


def of_dataset(episodes: Sequence[Statistics]) -> Statistics:
    """The statistics of all episodes together, E >= 1.

    Quantiles are averaged over the frames of the episodes, as LeRobot does it.
    """
    merged = {}
    for name in episodes[0]:
        stacked = {
            key: np.stack([episode[name][key] for episode in episodes])
            for key in episodes[0][name]
        }
        count = stacked["count"].reshape(-1, *[1] * (stacked["mean"].ndim - 1))
        total = count.sum()
        mean = (stacked["mean"] * count).sum(axis=0) / total
        square = stacked["std"] ** 2 + (stacked["mean"] - mean) ** 2
        merged[name] = {
            "min": stacked["min"].min(axis=0),
            "max": stacked["max"].max(axis=0),
            "mean": mean,
            "std": np.sqrt((square * count).sum(axis=0) / total),
            "count": np.array([total]),
            **{q: (stacked[q] * count).sum(axis=0) / total for q in QUANTILES},
        }
    return merged


def as_lists(statistics: Statistics) -> dict[str, dict[str, list]]:
    """The same as JSON takes it."""
    return {
        name: {key: value.tolist() for key, value in values.items()}
        for name, values in statistics.items()
    }


def _of_numbers(array: np.ndarray) -> dict[str, np.ndarray]:
    """Of [T] or [T, D]."""
    values = array.reshape(len(array), -1).astype(np.float64)
    return {
        "min": values.min(axis=0),
        "max": values.max(axis=0),
        "mean": values.mean(axis=0),
        "std": values.std(axis=0),
        "count": np.array([len(values)]),
        **dict(zip(QUANTILES, np.quantile(values, [*QUANTILES.values()], axis=0))),
    }


def _of_pictures(array: np.ndarray) -> dict[str, np.ndarray]:
    """Of uint8 [T, S, S, C], from how often each level occurs."""
    levels = np.arange(256) / 255
    counts = np.stack(
        [
            np.bincount(channel.ravel(), minlength=256)
            for channel in np.moveaxis(array, -1, 0)
        ]
    )
    share = counts / counts.sum(axis=1, keepdims=True)
    mean = share @ levels
    occurs = counts > 0
    by_channel = {
        "min": levels[occurs.argmax(axis=1)],
        "max": levels[255 - occurs[:, ::-1].argmax(axis=1)],
        "mean": mean,
        "std": np.sqrt((share * (levels - mean[:, None]) ** 2).sum(axis=1)),
    }
    below = np.cumsum(share, axis=1)
    for name, quantile in QUANTILES.items():
        by_channel[name] = levels[(below < quantile).sum(axis=1)]
    shaped = {key: value[:, None, None] for key, value in by_channel.items()}
    return shaped | {"count": np.array([len(array)])}
