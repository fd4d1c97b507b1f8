"""Pictures of a demonstration that are decoded when they are indexed.

Axes: T frames, V camera views, S image side.
"""

from typing import Any, Callable

import numpy as np


class LazyImages:
    """Stands for uint8 [T, V, S, S, 3] and holds no picture.

    `images[t]` decodes one frame, `np.asarray(images)` all of them.
    """

    dtype = np.dtype(np.uint8)

    def __init__(
        self, decode: Callable[[int], np.ndarray], shape: tuple[int, ...]
    ) -> None:
        """Wrap a decoder.

        Args:
          decode: the frame t -> uint8 [V, S, S, 3]; may be called from several threads.
          shape: (T, V, S, S, 3).
        """
        self.decode, self.shape = decode, shape

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, frame: int) -> np.ndarray:
        if not 0 <= frame < len(self):
            raise IndexError(f"Frame {frame} of a demonstration of {len(self)}.")
        return self.decode(frame)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        del copy  # there is no array yet that could be shared
        return np.stack([self.decode(t) for t in range(len(self))]).astype(
            dtype or self.dtype, copy=False
        )
