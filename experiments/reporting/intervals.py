"""Intervals of success rates over seeds and episodes together (hierarchical bootstrap).

A seed is drawn with replacement, then as many of its episodes as it had: the interval
covers both what another training run would do and what other episodes would show.

Axes: S seeds, R resamples.
"""

from typing import Sequence

import numpy as np
from numpy.typing import ArrayLike

RESAMPLES = 10_000
LEVELS = (0.025, 0.975)


def resampled(
    success: Sequence[float], episodes: Sequence[int], *, chosen: np.ndarray
) -> np.ndarray:
    """Mean success of resampled seeds and episodes.

    Args:
      success: rates [S], one a seed.
      episodes: [S], that each was measured on.
      chosen: int [R, S], the seeds of each resample.

    Returns:
      float [R].
    """
    rates, counts = np.asarray(success, float), np.asarray(episodes)
    draws = np.random.default_rng(1).binomial(counts[chosen], rates[chosen])
    return draws.sum(axis=1) / counts[chosen].sum(axis=1)


def of_success(
    success: Sequence[float], episodes: Sequence[int]
) -> tuple[float, float]:
    """The 95 % interval of a success rate over seeds and episodes.

    Args:
      success: rates [S], one a seed.
      episodes: [S], that each was measured on.

    Raises:
      ValueError: there is no seed.
    """
    chosen = choose_seeds(len(success))
    low, high = np.quantile(resampled(success, episodes, chosen=chosen), LEVELS)
    return float(low), float(high)


def of_difference(
    success: ArrayLike, other: ArrayLike, episodes: Sequence[int]
) -> tuple[float, float]:
    """The 95 % interval of success minus another's, under the same seeds.

    Both started from the same policies, so the same seeds are drawn for both.

    Args:
      success, other: rates [S], seed by seed.
      episodes: [S], that each was measured on.

    Raises:
      ValueError: the seeds are not as many.
    """
    rates, others = np.asarray(success, float), np.asarray(other, float)
    if len(rates) != len(others):
        raise ValueError(f"{len(rates)} and {len(others)} seeds cannot be paired.")
    chosen = choose_seeds(len(rates))
    counts = np.asarray(episodes)[chosen]
    generator = np.random.default_rng(2)
    drawn = [generator.binomial(counts, of[chosen]) for of in (rates, others)]
    difference = (drawn[0] - drawn[1]).sum(axis=1) / counts.sum(axis=1)
    low, high = np.quantile(difference, LEVELS)
    return float(low), float(high)


def choose_seeds(count: int) -> np.ndarray:
    """Seeds of every resample, int [R, S]; the same ones for the same number.

    Raises:
      ValueError: there is none.
    """
    if not count:
        raise ValueError("An interval over seeds needs at least one.")
    return np.random.default_rng(0).integers(0, count, (RESAMPLES, count))
