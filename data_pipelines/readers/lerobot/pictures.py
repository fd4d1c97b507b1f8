"""Decodes the pictures of a LeRobot episode, frame by frame, from tables and videos.

The encoded pictures of the last episodes stay in memory as Arrow buffers
(`encoded_cache`), so that it does not grow with the dataset.

Axes: T frames, V cameras, S image side.
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from data_pipelines import png
from data_pipelines.encoded_cache import ENCODED
from data_pipelines.errors import first_line
from data_pipelines.readers.lerobot import tables, videos
from data_pipelines.readers.lerobot.layout import Episode
from omnivla_jax.core import picture_size
from omnivla_jax.core.orientation import convert_image_convention


class Source(NamedTuple):
    """What the pictures of a demonstration are decoded from."""

    episode: Episode
    cameras: tuple[str, ...]
    sizes: tuple[tuple[int, int], ...]  # rows and columns, by camera
    convention: str  # of `core.orientation`
    first: int  # frame of the episode that the demonstration starts with
    seconds: tuple[float, ...]  # timestamps of the demonstration's frames


def decode(source: Source, frame: int) -> np.ndarray:
    """The pictures uint8 [V, S, S, 3] of a frame, upright; others fit the first's size.

    Raises:
      ValueError: one line with file and row: a picture is missing, damaged or of
        another size, or a video has no such frame.
    """
    episode, row = source.episode, source.first + frame
    views = []
    for camera, size in zip(source.cameras, source.sizes):
        where = f"{episode.file}, row {episode.first + row}"
        if camera in episode.videos:
            file, start = episode.videos[camera]
            seconds = start + source.seconds[frame]
            view = videos.read_frame(file, seconds, where=where)
        else:
            column = _encoded(episode, camera)
            view = _decode_picture(column[row], f"{where}, {camera}", episode.file)
        if view.shape != (*size, 3):
            raise ValueError(
                f"{where}: {camera} has shape {view.shape} where info.json gives "
                f"{(*size, 3)}: get the files again."
            )
        views.append(picture_size.fit(view, source.sizes[0]))
    return convert_image_convention(np.stack(views), source.convention)


def _encoded(episode: Episode, camera: str) -> Any:
    """One camera's pictures of an episode, a pyarrow.StructArray [T]."""

    def load() -> tuple[Any, int]:
        rows = tables.read_rows(episode.file, [camera], episode.first, episode.length)
        column = rows.column(camera).combine_chunks()
        return column, column.nbytes

    return ENCODED.get((episode.file, episode.first, camera), load)


def _decode_picture(value: Any, where: str, file: Path) -> np.ndarray:
    """A picture of a pyarrow scalar: encoded bytes, or the path of a file."""
    try:
        encoded, path = value["bytes"].as_buffer(), value["path"].as_py()
    except (KeyError, TypeError) as error:
        raise ValueError(f"{where} is {value.type}, no picture.") from error
    try:
        if encoded is None and not path:
            raise ValueError("it is empty")
        if encoded is None:
            encoded = (file.parents[2] / path).read_bytes()
        return png.decode(encoded)
    except (OSError, ValueError, SyntaxError) as error:
        raise ValueError(
            f"{where} is no whole picture ({first_line(error)}): get the file again."
        ) from error
