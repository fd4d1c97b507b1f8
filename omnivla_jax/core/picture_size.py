"""Pictures in another size, as openpi's client and server fit them."""

import numpy as np


def fit(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A picture in another size, with black bars where its aspect ratio is another.

    The algorithm of openpi-client's `image_tools.resize_with_pad`: Pillow's bilinear
    filter, which averages where it shrinks.

    Args:
      picture: uint8 [rows, columns, 3].
      size: the new rows and columns.

    Returns:
      uint8 [*size, 3]; `picture` itself where it has that size.

    Raises:
      ModuleNotFoundError: Pillow is not installed.
    """
    rows, columns = picture.shape[:2]
    if (rows, columns) == size:
        return picture
    try:
        from PIL import Image
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "Resizing pictures needs Pillow: pip install 'omnivla-rl[data]', or give "
            f"pictures of {size[0]} x {size[1]} pixels.",
            name=error.name,
        ) from error
    ratio = max(rows / size[0], columns / size[1])
    inner = max(1, int(rows / ratio)), max(1, int(columns / ratio))
    resized = Image.fromarray(picture).resize(inner[::-1], Image.Resampling.BILINEAR)
    top, left = (size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2
    fitted = np.zeros((*size, 3), np.uint8)
    fitted[top : top + inner[0], left : left + inner[1]] = np.asarray(resized)
    return fitted
