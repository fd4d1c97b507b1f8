"""Endless orders of the frames of demonstrations: shuffled, or drawn beforehand.

`order[position]` is a demonstration and its step. Axes: E demonstrations, M draws.
"""

import functools

import numpy as np

from data_pipelines.encoded_cache import CACHED_BYTES

# Demonstrations whose frames are mixed, and at most the bytes of their pictures once
# decoded: as PNG files they have less than half of them, which the readers then keep.
WINDOW, WINDOW_BYTES = 32, 2 * CACHED_BYTES


class ShuffledOrder:
    """Every frame once an epoch; demonstrations are shuffled anew in each.

    Frames are shuffled within windows of demonstrations, whose encoded pictures are all
    that a reader has to keep. Nothing is stored for each frame.
    """

    def __init__(self, counts: np.ndarray, sizes: np.ndarray, seed: int) -> None:
        """Nothing is drawn yet.

        Args:
          counts: int [E], frames of each demonstration.
          sizes: int [E], bytes of its pictures.
          seed: at least 0.
        """
        self._counts, self._sizes = np.asarray(counts, np.int64), np.asarray(sizes)
        self._seed = seed
        self._frames = int(self._counts.sum())  # of an epoch
        self._epoch = functools.lru_cache(maxsize=2)(self._windows)
        self._window = functools.lru_cache(maxsize=4)(self._shuffled)

    def __getitem__(self, position: int) -> tuple[int, int]:
        """Demonstration and step at `position` >= 0, counted through all epochs."""
        epoch, offset = divmod(int(position), self._frames)
        windows, starts = self._epoch(epoch)
        number = int(np.searchsorted(starts, offset, side="right")) - 1
        order = self._window(epoch, number)
        index, step = order[offset - starts[number]]
        return int(index), int(step)

    def _windows(self, epoch: int) -> tuple[list[np.ndarray], np.ndarray]:
        """The demonstrations of each window, and its first frame's offset."""
        rng = np.random.default_rng((self._seed, epoch))
        # Without frames they would make windows that no offset falls into.
        episodes = rng.permutation(np.flatnonzero(self._counts))
        by_bytes = np.cumsum(self._sizes[episodes]) // WINDOW_BYTES
        ends = np.flatnonzero(np.diff(by_bytes)) + 1
        windows = [
            part[start : start + WINDOW]
            for part in np.split(episodes, ends)
            for start in range(0, len(part), WINDOW)
        ]
        frames = [int(self._counts[window].sum()) for window in windows]
        return windows, np.cumsum([0] + frames[:-1])

    def _shuffled(self, epoch: int, number: int) -> np.ndarray:
        """Demonstration and step of each frame of a window, int64 [frames, 2]."""
        window = self._epoch(epoch)[0][number]
        steps = [np.arange(self._counts[index]) for index in window]
        episodes = np.repeat(window, self._counts[window])
        rng = np.random.default_rng((self._seed, epoch, number))
        return rng.permutation(np.stack([episodes, np.concatenate(steps)], axis=1))


class DrawnOrder:
    """Frames that were drawn beforehand, wherever they lie, and then the same again.

    A reader has to keep the encoded pictures of all demonstrations, or reads some of
    them again and again.
    """

    def __init__(self, counts: np.ndarray, rows: np.ndarray) -> None:
        """Take an order.

        Args:
          counts: int [E], frames of each demonstration.
          rows: int [M], numbers of frames, counted through all demonstrations.
        """
        self._starts, self._rows = np.cumsum([0, *counts]), np.asarray(rows)

    def __getitem__(self, position: int) -> tuple[int, int]:
        """Demonstration and step at `position` >= 0."""
        row = self._rows[int(position) % len(self._rows)]
        index = int(np.searchsorted(self._starts, row, side="right")) - 1
        return index, int(row - self._starts[index])
