"""Pictures as PNG files in memory.

PyAV decodes the usual kind in half of Pillow's time, to the same pixels; both leave
Python's lock to other threads meanwhile.
"""

import io
import threading
from typing import Any

import numpy as np
from PIL import Image

SIGNATURE, HEADER = b"\x89PNG\r\n\x1a\n", 26  # bytes until the type of colours
RGB8 = b"\x08\x02"  # eight bits in each of three channels, at the header's end
# CRCs are checked, and what is damaged is not made up for.
STRICT = {"err_detect": "crccheck+bitstream+buffer+explode"}

_decoders = threading.local()


def encode(picture: np.ndarray) -> bytes:
    """A picture uint8 [rows, columns, 3], without loss.

    The lowest effort is five times as fast as the usual one.
    """
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "png", compress_level=1)
    return file.getvalue()


def decode(encoded: Any) -> np.ndarray:
    """The picture in a file of this or another kind that Pillow reads.

    Args:
      encoded: bytes, or another object with a buffer.

    Returns:
      uint8 [rows, columns, 3], not to be written to.

    Raises:
      OSError, ValueError or SyntaxError: as Pillow, on a damaged file; ValueError on
        one channel of more than eight bits, as depth has.
    """
    header = bytes(memoryview(encoded)[:HEADER])
    if header.startswith(SIGNATURE) and header.endswith(RGB8):
        pixels = _decode_rgb(encoded)
        if pixels is not None:
            return pixels
    picture = Image.open(io.BytesIO(encoded))
    if picture.mode.startswith(("I", "F")):  # Pillow would clip these to 255
        raise ValueError(f"it has numbers of more than eight bits, {picture.mode}")
    return np.asarray(picture if picture.mode == "RGB" else picture.convert("RGB"))


def _decode_rgb(encoded: Any) -> np.ndarray | None:
    """A view of PyAV's pixels; None without PyAV, and where it takes no such file."""
    try:
        import av
    except ModuleNotFoundError:
        return None
    if not hasattr(_decoders, "png"):
        _decoders.png = av.CodecContext.create("png", "r")
        _decoders.png.thread_count, _decoders.png.options = 1, STRICT
    packet = av.Packet(encoded)
    packet.is_keyframe = True  # else the pixels are added to the picture before
    try:
        (frame,) = _decoders.png.decode(packet)
    except (av.FFmpegError, ValueError):  # damaged, or without a picture
        return None
    if frame.format.name != "rgb24":  # a colour is transparent
        return None
    plane = frame.planes[0]
    rows = np.frombuffer(plane, np.uint8).reshape(frame.height, plane.line_size)
    return rows[:, : 3 * frame.width].reshape(frame.height, frame.width, 3)
