"""Pictures of a demonstration that are decoded when they are indexed.

Axes: T frames, K of them, V camera views, S image side.
"""

import dataclasses
from typing import Any, Callable

import numpy as np

from omnivla_jax.core import picture_size


@dataclasses.dataclass(eq=False)
class LazyImages:
    """Stands for uint8 [T, V, S, S, 3] and holds no picture.

    `images[t]` decodes one frame, `np.asarray(images)` all of them.
    """

    # The frame t -> uint8 [V, S, S, 3]; may be called from several threads.
    decode: Callable[[int], np.ndarray]
    shape: tuple[int, ...]  # (T, V, S, S, 3)
    source_shape: tuple[int, ...] | None = None  # of what is read; None: `shape`
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


def source_shape(images: Any) -> tuple[int, ...]:
    """The shape of the pictures that are read to decode `images`, or of an array."""
    decoded_from = images.source_shape if isinstance(images, LazyImages) else None
    return decoded_from or images.shape


def pick(images: Any, frames: np.ndarray) -> LazyImages:
    """The pictures of `frames`, int [K], in that order, decoded on access."""
    shape = len(frames), *images.shape[1:]
    return LazyImages(lambda k: images[int(frames[k])], shape, source_shape(images))


def resize(images: Any, size: int) -> Any:
    """Pictures [T, V, rows, columns, 3] as squares, see `core.picture_size`.

    Args:
      images: an array or `LazyImages`.
      size: the new side in pixels.

    Returns:
      `images` where they have that side, else `LazyImages`.
    """
    if images.shape[2:4] == (size, size):
        return images

    def decode(step: int) -> np.ndarray:
        return np.stack([picture_size.fit(view, (size, size)) for view in images[step]])

    shape = (*images.shape[:2], size, size, 3)
    return LazyImages(decode, shape, source_shape(images))
