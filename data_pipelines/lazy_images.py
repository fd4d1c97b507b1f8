"""Pictures of a demonstration that are decoded when they are indexed.

Axes: T frames, K of them, V camera views, S image side.
"""

import dataclasses
from typing import Any, Callable

import numpy as np
from PIL import Image


@dataclasses.dataclass(eq=False)
class LazyImages:
    """Stands for uint8 [T, V, S, S, 3] and holds no picture.

    `images[t]` decodes one frame, `np.asarray(images)` all of them.
    """

    # The frame t -> uint8 [V, S, S, 3]; may be called from several threads.
    decode: Callable[[int], np.ndarray]
    shape: tuple[int, ...]  # (T, V, S, S, 3)
    dtype = np.dtype(np.uint8)

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


def pick(images: Any, frames: np.ndarray) -> LazyImages:
    """The pictures of `frames`, int [K], in that order, decoded on access."""

    def decode(frame: int) -> np.ndarray:
        return images[int(frames[frame])]

    return LazyImages(decode, (len(frames), *images.shape[1:]))


def resize(images: Any, size: int) -> Any:
    """Pictures [T, V, S, S, 3] with another side, averaged where it is smaller.

    Args:
      images: an array or `LazyImages`.
      size: the new side in pixels.

    Returns:
      `images` where they have that side, else `LazyImages`.
    """
    if images.shape[2:4] == (size, size):
        return images

    def decode(step: int) -> np.ndarray:
        views = [Image.fromarray(view) for view in images[step]]
        bilinear = Image.Resampling.BILINEAR
        return np.stack([np.asarray(v.resize((size, size), bilinear)) for v in views])

    return LazyImages(decode, (*images.shape[:2], size, size, 3))
