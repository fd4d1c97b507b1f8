"""Films episodes side by side: both cameras, the instruction, a badge on success.

Axes: T frames, E episodes, S image side in pixels, h w frame height and width.
"""

import functools
import math
import subprocess
from pathlib import Path
from typing import Any, NamedTuple, Sequence

import imageio_ffmpeg
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from experiments.reporting.files import replacing

TILE = 288  # least width of a camera picture, so that the text stays legible
GAP = 16
TEXT_SIZE, LINE_HEIGHT, TEXT_LINES = 17, 22, 2
PAPER, INK = (24, 27, 33), (240, 242, 245)
SUCCESS = (22, 163, 74)


def compose(
    agent: np.ndarray,
    wrist: np.ndarray,
    instructions: Sequence[str],
    success_at: Sequence[int] | np.ndarray,
) -> np.ndarray:
    """Lay out episodes in a row, with the wrist view below the agent view.

    Args:
      agent, wrist: uint8 [T, E, S, S, 3], upright.
      instructions: E texts, drawn above the pictures.
      success_at: the frame from which episode e has succeeded; -1 for never.

    Returns:
      uint8 [T, h, w, 3], h and w even as h264 demands.

    Raises:
      ValueError: the arguments disagree about T, E or S.
    """
    _check(agent, wrist, instructions, success_at)
    length, episodes, side = agent.shape[:3]
    scale = max(1, math.ceil(TILE / side))
    layout = Layout(episodes, side * scale)
    waiting = _still(layout, instructions, succeeded=False)
    succeeded = _still(layout, instructions, succeeded=True)
    frames = np.empty((length, *waiting.shape), np.uint8)
    for t in range(length):
        frames[t] = waiting
        for e in range(episodes):
            done = 0 <= success_at[e] <= t
            if done:
                frames[t, :, layout.column(e)] = succeeded[:, layout.column(e)]
            for row, view in enumerate((agent, wrist)):
                picture = view[t, e].repeat(scale, axis=0).repeat(scale, axis=1)
                frames[t][layout.tile(e, row)] = picture
            if done:
                _overlay(frames[t], layout.badge(e), _badge())
    return frames


def write_mp4(path: Path, frames: np.ndarray, *, fps: float = 10) -> None:
    """Write frames uint8 [T, h, w, 3] as an h264 video that every browser plays.

    Raises:
      ValueError: no frames, or a height or width that is odd.
      OSError: the file cannot be written.
    """
    odd = any(side % 2 for side in frames.shape[1:3])
    if frames.ndim != 4 or not len(frames) or odd:
        raise ValueError(
            f"A video needs frames [T, h, w, 3] with even h and w, not {frames.shape}."
        )
    height, width = frames.shape[1:3]
    pixels = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}"]
    encoder = ["-c:v", "libx264", "-pix_fmt", "yuv420p", "-crf", "21"]
    with replacing(path) as temporary:
        _ffmpeg(
            [*pixels, "-r", str(fps), "-i", "-"],
            [*encoder, "-movflags", "+faststart", str(temporary)],
            np.ascontiguousarray(frames),
        )


def _ffmpeg(source: list[str], target: list[str], frames: np.ndarray) -> None:
    """Run the encoder, and raise when it fails: a full disk only ends it early."""
    program = [imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-loglevel", "error"]
    done = subprocess.run(
        [*program, *source, *target], input=frames.data.cast("B"), capture_output=True
    )
    if done.returncode:
        log = done.stderr.decode("utf-8", "replace").splitlines() or ["no reason given"]
        raise OSError(f"The video could not be encoded: {log[0]}")


class Layout(NamedTuple):
    """Where things lie on a frame, in pixels: E columns of a header and two tiles."""

    episodes: int
    width: int  # of a tile

    @property
    def header(self) -> int:
        """Height of the strip that holds the instruction."""
        return GAP + TEXT_LINES * LINE_HEIGHT

    @property
    def size(self) -> tuple[int, int]:
        """Even width and height of a frame."""
        columns = GAP + self.episodes * (self.width + GAP)
        rows = self.header + GAP // 2 + 2 * (self.width + GAP)
        return columns + columns % 2, rows + rows % 2

    def left(self, episode: int) -> int:
        """Left edge of a column's tiles."""
        return GAP + episode * (self.width + GAP)

    def top(self, row: int) -> int:
        """Upper edge of the agent view (row 0) or the wrist view (row 1)."""
        return self.header + GAP // 2 + row * (self.width + GAP)

    def tile(self, episode: int, row: int) -> tuple[slice, slice]:
        """The pixels of one camera picture."""
        left, top = self.left(episode), self.top(row)
        return slice(top, top + self.width), slice(left, left + self.width)

    def column(self, episode: int) -> slice:
        """The columns that belong to an episode, half a gap on either side."""
        left = self.left(episode) - GAP // 2
        return slice(left, left + self.width + GAP)

    def badge(self, episode: int) -> tuple[int, int]:
        """(left, top) of the success badge: the agent view's upper left corner."""
        return self.left(episode) + 10, self.top(0) + 10


def _still(
    layout: Layout, instructions: Sequence[str], *, succeeded: bool
) -> np.ndarray:
    """What stays the same [h, w, 3]: paper, instructions, a border once succeeded."""
    image = Image.new("RGB", layout.size, PAPER)
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(TEXT_SIZE)
    for e, instruction in enumerate(instructions):
        for number, line in enumerate(_wrap(instruction, font, layout.width)):
            place = (layout.left(e), GAP + number * LINE_HEIGHT - 4)
            draw.text(place, line, font=font, fill=INK)
        for row in range(2) if succeeded else ():
            left, top, edge = layout.left(e), layout.top(row), layout.width
            box = (left - 3, top - 3, left + edge + 2, top + edge + 2)
            draw.rectangle(box, fill=SUCCESS)
    return np.asarray(image)


def _wrap(text: str, font: Any, width: int) -> list[str]:
    """Break `text` at spaces into lines of at most `width` pixels, the last cut."""
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and font.getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    if len(lines) > TEXT_LINES:
        lines = [*lines[: TEXT_LINES - 1], f"{lines[TEXT_LINES - 1]} …"]
    return [_cut(line, font, width) for line in lines]


def _cut(line: str, font: Any, width: int) -> str:
    """Shorten a line that is wider than `width` pixels, with an ellipsis."""
    if font.getlength(line) <= width:
        return line
    line = line.removesuffix(" …")
    while line and font.getlength(line + "…") > width:
        line = line[:-1]
    return line + "…"


@functools.cache
def _badge() -> Image.Image:
    """A green pill that says "success", drawn large and scaled for smooth edges."""
    font = ImageFont.load_default(2 * TEXT_SIZE)
    width = int(font.getlength("success")) + 48
    height = 2 * TEXT_SIZE + 22
    image = Image.new("RGBA", (width, height), (*SUCCESS, 0))
    draw = ImageDraw.Draw(image)
    draw.rounded_rectangle((0, 0, width - 1, height - 1), height // 2, fill=SUCCESS)
    centre = (width // 2, height // 2 - 2)
    draw.text(centre, "success", font=font, fill="white", anchor="mm")
    return image.resize((width // 2, height // 2), Image.Resampling.LANCZOS)


def _overlay(frame: np.ndarray, place: tuple[int, int], badge: Image.Image) -> None:
    """Blend `badge` into `frame` [h, w, 3] at (left, top); writes into `frame`."""
    left, top = place
    pixels = np.asarray(badge, np.float32)
    opacity = pixels[..., 3:] / 255
    area = frame[top : top + pixels.shape[0], left : left + pixels.shape[1]]
    area[:] = np.round(opacity * pixels[..., :3] + (1 - opacity) * area)


def _check(
    agent: np.ndarray,
    wrist: np.ndarray,
    instructions: Sequence[str],
    success_at: Sequence[int] | np.ndarray,
) -> None:
    """Refuse arguments that disagree about the frames or the episodes."""
    good = agent.ndim == 5 and agent.shape == wrist.shape and agent.shape[-1] == 3
    if not good or agent.dtype != np.uint8 or wrist.dtype != np.uint8:
        raise ValueError(
            "Both views must be uint8 [T, E, S, S, 3], not "
            f"{agent.dtype}{agent.shape} and {wrist.dtype}{wrist.shape}."
        )
    if not len(instructions) == len(success_at) == agent.shape[1]:
        raise ValueError(
            f"{agent.shape[1]} episodes came with {len(instructions)} instructions and "
            f"{len(success_at)} success times."
        )
