"""Pictures as PNG files in memory."""

import io

import numpy as np
from PIL import Image


def encode(picture: np.ndarray) -> bytes:
    """A picture uint8 [rows, columns, 3], without loss.

    The lowest effort is five times as fast as the usual one.
    """
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "png", compress_level=1)
    return file.getvalue()
