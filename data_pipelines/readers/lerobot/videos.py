"""Single frames of video files, found by their time.

Decoding continues from where it is if the frame lies a little ahead, and from the key
frame before it otherwise; LeRobot's own videos have a key frame every two frames.
"""

import contextlib
import functools
import threading
from pathlib import Path
from typing import Any, Iterator

import numpy as np

from data_pipelines.errors import first_line
from omnivla_jax.core import file_kinds

OPEN_FILES = 64  # decoders that are kept: the videos of 32 episodes of two cameras
TOLERANCE = 1e-4  # seconds between the time asked for and the frame's, LeRobot's
AHEAD = 16  # frames that are decoded rather than sought


def check_whole(file: Path, frames: int) -> None:
    """Refuse a video that is cut short or has fewer than `frames`; decodes nothing.

    Raises as `read_frame`.
    """
    with _one_line_errors(file, ""):
        import av

        with av.open(str(file)) as container:
            entries = container.streams.video[0].index_entries  # go with `container`
            ends = [entry.pos + entry.size for entry in entries]
    end, size = max(ends, default=0), file.stat().st_size
    if end > size or 0 < len(ends) < frames:  # not every kind of file has an index
        raise ValueError(
            f"{file} has {len(ends)} frames to byte {end}, where its episodes have "
            f"{frames} and the file ends at byte {size}: it is cut short or of another "
            "dataset, get it again."
        )


def read_frame(file: Path, seconds: float, *, where: str) -> np.ndarray:
    """The frame uint8 [rows, columns, 3] that is shown at `seconds`.

    Args:
      file: the video.
      seconds: time from its start.
      where: the table's file and row, to name in errors.

    Raises:
      ModuleNotFoundError: PyAV is not installed.
      ValueError: one line; the video is damaged or has no frame at that time.
    """
    with _one_line_errors(file, f" at {seconds:.6g} s, which {where} asks for"):
        at, picture = _open(file).frame(seconds)
    if picture is None:
        raise ValueError(
            f"{file} has no frame at {seconds:.6g} s (but one at {at:.6g} s), which "
            f"{where} asks for: it is cut short or of another dataset, get it again."
        )
    return picture


class Video:
    """An open video and where its decoder stands; may be used by several threads."""

    def __init__(self, file: Path) -> None:
        import av

        self._container = av.open(str(file))
        self._stream = self._container.streams.video[0]
        self._stream.codec_context.thread_count = 1
        self._frames: Any = iter(())
        self._time = np.inf  # of the frame that was decoded last
        self._lock = threading.Lock()

    def frame(self, seconds: float) -> tuple[float, np.ndarray | None]:
        """The time of the next frame, or of the last, and its picture if it fits."""
        rate = float(self._stream.average_rate or 1)
        with self._lock:
            if not 0 < seconds - self._time < AHEAD / rate:
                self._seek(seconds)
            frame = self._decode_until(seconds)
            if frame is not None and frame.time > seconds + TOLERANCE:
                self._seek(0.0)  # key frames are found by decoding order, not by time
                frame = self._decode_until(seconds)
            if frame is None or abs(frame.time - seconds) > TOLERANCE:
                return self._time, None
            return frame.time, frame.to_ndarray(format="rgb24")

    def _decode_until(self, seconds: float) -> Any:
        """The first frame from there on that is not before `seconds`, or None."""
        for frame in self._frames:
            self._time = frame.time
            if frame.time > seconds - TOLERANCE:
                return frame
        return None

    def _seek(self, seconds: float) -> None:
        """Let the decoder stand at the key frame at or before `seconds`."""
        offset = round(seconds / float(self._stream.time_base or 1))
        self._container.seek(offset, stream=self._stream, backward=True)
        self._frames = self._container.decode(self._stream)


@contextlib.contextmanager
def _one_line_errors(file: Path, where: str) -> Iterator[None]:
    """Turn errors of PyAV into one line; raises as `read_frame`."""
    try:
        import av
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"Videos need PyAV ({error.name}): pip install 'omnivla-rl[data]'.",
            name=error.name,
        ) from error
    try:
        yield
    except (av.FFmpegError, OSError, IndexError) as error:
        fallback = f"{file} is damaged ({first_line(error)}){where}: get it again."
        raise ValueError(file_kinds.describe(file, fallback)) from error


_open = functools.lru_cache(OPEN_FILES)(Video)
