"""Bands that at most a share alpha of successful episodes leaves (SAFE).

    band(t) = mean(t) + q m(t),   flag when score(t) > band(t)

Centre and width come from some successful episodes, q from n others: it is the k-th
smallest of their largest deviations max_t (s(t) - mean(t)) / m(t), with k =
ceil((n + 1) (1 - alpha)). A new successful episode is as likely as any of them to be at
each place of that order, so that it is flagged with a probability of at most alpha,
whatever the scores are. (A plain quantile, as in SAFE's code, has no such bound.)

Axes: N episodes, T decisions.
"""

import math
from typing import NamedTuple

import chex
import numpy as np

NOT_FLAGGED = -1
SMALLEST_WIDTH = 1e-3  # of the score, m(t) at the least


class Band(NamedTuple):
    """What scores of successful episodes rarely exceed."""

    upper: np.ndarray  # float64 [T]
    quantile: float  # q; infinite where there are too few episodes for alpha


def fit(
    shape_scores: np.ndarray,
    shape_valid: np.ndarray,
    scores: np.ndarray,
    valid: np.ndarray,
    *,
    alpha: float,
) -> Band:
    """The band of successful episodes.

    Args:
      shape_scores, shape_valid: [N', T] of episodes for mean and width.
      scores, valid: float [N, T] and bool [N, T] of others, for q; False behind an
        episode's end.
      alpha: the share of successful episodes that may be flagged, in (0, 1).

    Raises:
      ValueError: `alpha` is out of range, or too small for the number of episodes.
    """
    chex.assert_equal_shape([scores, valid])
    chex.assert_equal_shape([shape_scores, shape_valid])
    if not 0 < alpha < 1:
        raise ValueError(f"alpha is {alpha}: choose a share in (0, 1).")
    rank = math.ceil((len(scores) + 1) * (1 - alpha) - 1e-9)  # of a rounded share
    if rank > len(scores):
        raise ValueError(
            f"{len(scores)} successful episodes cannot show a band for alpha={alpha}: "
            f"give at least {math.ceil(1 / alpha) - 1}."
        )
    counts = shape_valid.sum(axis=0)
    ends = np.maximum.accumulate(np.where(counts > 0, np.arange(len(counts)), 0))
    among = np.maximum(counts, 1)  # where all have ended the last mean goes on
    mean = (np.where(shape_valid, shape_scores, 0.0).sum(axis=0) / among)[ends]
    square = np.where(shape_valid, (shape_scores - mean) ** 2, 0.0).sum(axis=0)
    width = np.maximum(np.sqrt(square / among)[ends], SMALLEST_WIDTH)
    deviation = np.where(valid, (scores - mean) / width, -np.inf).max(axis=1)
    quantile = float(np.sort(deviation)[rank - 1])
    return Band(mean + quantile * width, quantile)


def first_flag(band: Band, scores: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """The first decision that is outside the band, int [N]; NOT_FLAGGED: none is.

    Args:
      band: of `fit`.
      scores, valid: float [N, T] and bool [N, T].
    """
    chex.assert_equal_shape([scores, valid])
    outside = valid & (scores > band.upper)
    return np.where(outside.any(axis=1), outside.argmax(axis=1), NOT_FLAGGED)
