"""Videos of episodes side by side: both cameras, the instruction, a success badge.

Axes: T frames, E episodes, S image side in pixels, h w frame height and width, W side
of an enlarged image.
"""

import functools
import math
import subprocess
from pathlib import Path
from typing import Any, Sequence

import imageio_ffmpeg
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from experiments.reporting.files import replacing

MIN_SIDE = 288  # pixels of an enlarged image, so that the text stays legible
GAP = 16  # pixels between images
TEXT_SIZE, LINE_HEIGHT, TEXT_LINES = 17, 22, 2
HEADER = GAP + TEXT_LINES * LINE_HEIGHT + GAP // 2  # pixels above the images
BADGE_OFFSET = 10  # pixels from the upper left corner of the agent's view
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
      instructions: E texts, drawn above the images.
      success_at: the frame from which episode e has succeeded; -1 for never.

    Returns:
      uint8 [T, h, w, 3], h and w even as h264 demands.

    Raises:
      ValueError: the arguments disagree about T, E or S.
    """
    valid = agent.ndim == 5 and agent.shape == wrist.shape and agent.shape[-1] == 3
    if not valid or agent.dtype != np.uint8 or wrist.dtype != np.uint8:
        raise ValueError(
            "Both views must be uint8 [T, E, S, S, 3], not "
            f"{agent.dtype}{agent.shape} and {wrist.dtype}{wrist.shape}."
        )
    length, episodes, side = agent.shape[:3]
    if not len(instructions) == len(success_at) == episodes:
        raise ValueError(
            f"{episodes} episodes came with {len(instructions)} instructions and "
            f"{len(success_at)} success times."
        )
    scale = max(1, math.ceil(MIN_SIDE / side))
    badge = np.asarray(_badge(), np.float32)
    opacity, badge = badge[..., 3:] / 255, badge[..., :3]
    columns = []
    for e, instruction in enumerate(instructions):
        succeeded = (0 <= success_at[e]) & (success_at[e] <= np.arange(length))
        backgrounds = [_background(instruction, side * scale, mark) for mark in (0, 1)]
        column = np.stack(backgrounds)[succeeded.astype(int)]  # [T, h, W + GAP, 3]
        for row, view in enumerate((agent, wrist)):
            top = HEADER + row * (side * scale + GAP)
            image = view[:, e].repeat(scale, axis=1).repeat(scale, axis=2)
            column[:, top : top + side * scale, GAP // 2 : -GAP // 2] = image
        top, left = HEADER + BADGE_OFFSET, GAP // 2 + BADGE_OFFSET
        inside = slice(top, top + len(badge)), slice(left, left + badge.shape[1])
        area = column[(succeeded, *inside)]
        column[(succeeded, *inside)] = np.round(opacity * badge + (1 - opacity) * area)
        columns.append(column)
    frames = np.concatenate(columns, axis=2)
    height, width = frames.shape[1:3]
    margins = (0, 0), (0, height % 2), (GAP // 2, GAP // 2 + width % 2)
    layers = [
        np.pad(frames[..., channel], margins, constant_values=PAPER[channel])
        for channel in range(3)
    ]
    return np.stack(layers, axis=-1)


def write_mp4(path: Path, frames: np.ndarray, *, fps: float = 10) -> None:
    """Write an h264 video that every browser plays, whole or not at all.

    imageio-ffmpeg's program is run directly. mediapy, a layer above the same program,
    depends on IPython: 16 packages and 55 MB more, and 1 s more to import, in place of
    the 15 lines below (measured with mediapy 1.2.7).

    Args:
      path: the file to write.
      frames: uint8 [T, h, w, 3], h and w even.
      fps: frames a second.

    Raises:
      ValueError: there are no frames, or a height or width is odd.
      OSError: the file cannot be written, for example because the disk is full.
    """
    odd = any(side % 2 for side in frames.shape[1:3])
    if frames.ndim != 4 or not len(frames) or odd:
        raise ValueError(
            f"A video needs frames [T, h, w, 3] with even h and w, not {frames.shape}."
        )
    height, width = frames.shape[1:3]
    ffmpeg = [imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-loglevel", "error"]
    source = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}"]
    source += ["-r", str(fps), "-i", "-"]
    encoder = ["-c:v", "libx264", "-pix_fmt", "yuv420p", "-crf", "21"]
    encoder += ["-movflags", "+faststart"]
    pixels = np.ascontiguousarray(frames).data.cast("B")
    with replacing(path) as temporary:
        command = [*ffmpeg, *source, *encoder, str(temporary)]
        process = subprocess.run(command, input=pixels, capture_output=True)
        if process.returncode:
            log = process.stderr.decode("utf-8", "replace").splitlines()
            reason = log[0] if log else "no reason given"
            raise OSError(f"The video could not be encoded: {reason}")


def wrap(text: str, font: Any, width: int) -> list[str]:
    """Break a text at spaces into at most `TEXT_LINES` lines.

    Args:
      text: the words.
      font: of Pillow, which measures them.
      width: of a line, in pixels. Lines that are cut end with an ellipsis.
    """
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and font.getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    if len(lines) > TEXT_LINES:
        lines = [*lines[: TEXT_LINES - 1], f"{lines[TEXT_LINES - 1]} …"]
    for number, line in enumerate(lines):
        if font.getlength(line) > width:
            line = line.removesuffix(" …")
            while line and font.getlength(line + "…") > width:
                line = line[:-1]
            lines[number] = line + "…"
    return lines


def _background(instruction: str, side: int, succeeded: bool | int) -> np.ndarray:
    """An episode's column without images [h, W + GAP, 3].

    Args:
      instruction: the text above the images.
      side: of an enlarged image, W pixels.
      succeeded: whether both images have a green border.
    """
    image = Image.new("RGB", (side + GAP, HEADER + 2 * (side + GAP)), PAPER)
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(TEXT_SIZE)
    for number, line in enumerate(wrap(instruction, font, side)):
        place = (GAP // 2, GAP + number * LINE_HEIGHT - 4)
        draw.text(place, line, font=font, fill=INK)
    for row in range(2) if succeeded else ():
        left, top = GAP // 2, HEADER + row * (side + GAP)
        box = (left - 3, top - 3, left + side + 2, top + side + 2)
        draw.rectangle(box, fill=SUCCESS)
    return np.asarray(image)


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
