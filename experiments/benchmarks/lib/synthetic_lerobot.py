"""A LeRobot v2.1 dataset with made-up pictures, of any size, LIBERO's or another's.

Axes: T = `LENGTH` frames of an episode, S image side.
"""

import io
import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

LENGTH = 125  # frames of an episode, about LIBERO's mean
POOL = 256  # different pictures
TASKS = ("put the bowl on the stove", "turn on the stove", "put the bowl on the plate")
COLUMNS = ("timestamp", "frame_index", "episode_index", "index", "task_index")


class Robot(NamedTuple):
    """The features of a robot's frames."""

    views: tuple[str, ...] = ("image", "wrist_image")
    state: int = 8  # numbers
    actions: int = 7


LIBERO = Robot()


def write(root: Path, *, frames: int, side: int, robot: Robot = LIBERO) -> None:
    """Write `frames` / `LENGTH` episodes, rounded up.

    Pictures are drawn from a pool, but stored each by itself: files are as large as if
    all were different.

    Args:
      root: the dataset's folder, which is made.
      frames: about how many.
      side: S.
      robot: what a frame holds.
    """
    import pyarrow.parquet

    rng = np.random.default_rng(0)
    pool = [_picture(rng, side) for _ in range(POOL)]
    episodes = -(-frames // LENGTH)
    folder = root / "data/chunk-000"
    folder.mkdir(parents=True)
    for number in range(episodes):
        pyarrow.parquet.write_table(
            pyarrow.table(_columns(rng, pool, number, robot)),
            folder / f"episode_{number:06d}.parquet",
            use_dictionary=False,
        )
    _write_metadata(root, episodes, side, robot)


def _picture(rng: np.random.Generator, side: int) -> bytes:
    """A PNG file: waves, boxes and a little noise, 1.2 bytes a pixel as LIBERO's."""
    row, column = np.mgrid[:side, :side] * (128 / side)
    waves = [np.sin(row / 17 + i) * 60 + np.cos(column / 23 - i) * 40 for i in range(3)]
    picture = 100 + np.stack(waves, axis=-1)
    for _ in range(8):
        top, left = rng.integers(0, 3 * side // 4, 2)
        picture[top : top + side // 5, left : left + side // 5] = rng.uniform(0, 255, 3)
    picture += rng.normal(0, 1, picture.shape)
    file = io.BytesIO()
    Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8)).save(file, "png")
    return file.getvalue()


def _columns(
    rng: np.random.Generator, pool: list[bytes], number: int, robot: Robot
) -> dict:
    """The table of an episode by column."""
    import pyarrow

    picture = pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])
    steps = np.arange(LENGTH)
    numbers = (steps / 10, steps, steps * 0 + number, steps + number * LENGTH)
    columns = dict(zip(COLUMNS, (*numbers, steps * 0 + number % len(TASKS))))
    columns["timestamp"] = columns["timestamp"].astype(np.float32)
    for view in robot.views:
        drawn = rng.integers(0, len(pool), LENGTH)
        rows = [{"bytes": pool[index], "path": None} for index in drawn]
        columns[view] = pyarrow.array(rows, picture)
    for name, width in (("state", robot.state), ("actions", robot.actions)):
        values = rng.uniform(-1, 1, LENGTH * width).astype(np.float32)
        columns[name] = pyarrow.FixedSizeListArray.from_arrays(values, width)
    return columns


def _write_metadata(root: Path, episodes: int, side: int, robot: Robot) -> None:
    """meta/info.json, tasks.jsonl and episodes.jsonl."""
    pictures = {"dtype": "image", "shape": [side, side, 3], "names": None}
    vectors = {"state": robot.state, "actions": robot.actions}
    info = {
        "codebase_version": "v2.1",
        "fps": 10,
        "total_episodes": episodes,
        "total_frames": episodes * LENGTH,
        "chunks_size": episodes,
        "data_path": "data/chunk-{episode_chunk:03d}/"
        "episode_{episode_index:06d}.parquet",
        "image_convention": "openpi",
        "features": {view: pictures for view in robot.views}
        | {
            name: {"dtype": "float32", "shape": [width], "names": None}
            for name, width in vectors.items()
        },
    }
    tasks = [{"task_index": i, "task": text} for i, text in enumerate(TASKS)]
    listed = [
        {
            "episode_index": number,
            "tasks": [TASKS[number % len(TASKS)]],
            "length": LENGTH,
        }
        for number in range(episodes)
    ]
    meta = root / "meta"
    meta.mkdir()
    (meta / "info.json").write_text(json.dumps(info))
    for name, rows in (("tasks", tasks), ("episodes", listed)):
        lines = "\n".join(map(json.dumps, rows))
        (meta / f"{name}.jsonl").write_text(lines)
