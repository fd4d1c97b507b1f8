"""Demonstrations on disk, in the RLDS layout of OpenVLA's modified_libero_rlds.

Written and read through TensorFlow Datasets as ArrayRecord files, whose records are
picked at random without TensorFlow: `tfds.builder_from_directory(...).as_data_source`.

Axes: T steps of an episode, V camera views (agent, wrist), S image side.
"""

import contextlib
import io
import itertools
import logging
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any, Iterable, Iterator

import numpy as np
from PIL import Image

from data_pipelines import rlds_builder
from omnivla_jax.core.orientation import oriented
from omnivla_jax.core.types import Episode

STORED = "modified_libero_rlds"  # how pictures lie on disk


def write(directory: Path, episodes: Iterable[Episode], *, name: str) -> None:
    """Store demonstrations in `directory`, whole or not at all, one at a time.

    The files are made in a temporary folder beside `directory`, then renamed. An
    earlier set of demonstrations is replaced; any other content is left alone.

    Args:
      directory: the folder to create; `tfds.builder_from_directory` reads it.
      episodes: at least one, in the order in which `read` returns them.
      name: the dataset's name, in lower_snake_case, for example "libero_goal".

    Raises:
      ValueError: no episodes, or an episode whose arrays disagree.
      FileExistsError: `directory` holds something that is not demonstrations.
      OSError: the files cannot be written, for example because the disk is full.
    """
    directory = Path(directory)
    waiting = iter(episodes)
    first = next(waiting, None)
    if first is None:
        raise ValueError("There are no demonstrations to write: collect some first.")
    side = int(np.shape(first.images)[2])
    checked = _checked(itertools.chain([first], waiting), side)
    _check_replaceable(directory)
    directory.parent.mkdir(parents=True, exist_ok=True)
    with _temporary_sibling(directory) as workspace:
        with _quiet_tfds():
            pairs = _Counted(_examples(checked, name))
            built = rlds_builder.build(workspace, pairs, name=name, side=side)
            _require_complete(built, pairs.count)
        if directory.exists():
            directory.rename(workspace / "replaced")
        built.rename(directory)


def read(directory: Path) -> list[Episode]:
    """Load every demonstration of `directory`, in the order they were written.

    Raises:
      FileNotFoundError: there are no demonstrations in `directory`.
      ValueError: the files are there but damaged, or of another layout.
    """
    directory = Path(directory)
    if not (directory / rlds_builder.INFO_FILE).exists():
        raise FileNotFoundError(
            f"No demonstrations in {directory}: run without --resume to collect them, "
            "or name the folder that holds them."
        )
    try:
        with _quiet_tfds():
            return [_episode(example) for example in rlds_builder.examples(directory)]
    except Exception as error:  # tfds and ArrayRecord raise whatever they meet
        raise ValueError(
            f"The demonstrations in {directory} cannot be read "
            f"({_first_line(error)}): delete that folder and collect them again."
        ) from error


def count(directory: Path) -> int:
    """How many demonstrations `directory` holds, 0 where it is no whole set of them."""
    try:
        with _quiet_tfds():
            return rlds_builder.count(Path(directory))
    except Exception:  # whatever keeps tfds from opening it makes it incomplete
        return 0


def is_complete(directory: Path) -> bool:
    """Whether `directory` holds a whole set of demonstrations; reads no images."""
    return count(directory) > 0


def _examples(episodes: Iterable[Episode], name: str) -> Iterator[tuple[int, Any]]:
    """Yield (index, RLDS example) pairs; pictures become PNG files in memory."""
    for index, episode in enumerate(episodes):
        metadata = {"file_path": f"{name}/{index:05d}", "task_id": int(episode.task)}
        yield index, {"steps": _steps(episode), "episode_metadata": metadata}


def _steps(episode: Episode) -> list[dict[str, Any]]:
    """The RLDS steps of a demonstration: discount 1, reward 1 on the last step."""
    images = oriented(np.asarray(episode.images), STORED)
    last = len(images) - 1
    return [
        {
            "observation": {
                "image": _png(images[t, 0]),
                "wrist_image": _png(images[t, 1]),
                "state": np.asarray(episode.state[t]),
                "joint_state": np.asarray(episode.joint_state[t]),
            },
            "action": np.asarray(episode.action[t]),
            "discount": 1.0,
            "reward": float(t == last),
            "is_first": t == 0,
            "is_last": t == last,
            "is_terminal": t == last,
            "language_instruction": episode.instruction,
        }
        for t in range(last + 1)
    ]


def _episode(example: dict[str, Any]) -> Episode:
    """A demonstration from one decoded RLDS example."""
    steps = list(example["steps"])
    seen = [step["observation"] for step in steps]
    images = np.stack([np.stack([o["image"], o["wrist_image"]]) for o in seen])
    return Episode(
        images=oriented(images, STORED),
        state=np.stack([o["state"] for o in seen]),
        joint_state=np.stack([o["joint_state"] for o in seen]),
        action=np.stack([step["action"] for step in steps]),
        instruction=steps[0]["language_instruction"].decode("utf-8"),
        task=int(example["episode_metadata"]["task_id"]),
    )


def _png(image: np.ndarray) -> io.BytesIO:
    """A lossless PNG file in memory; the lowest effort is five times as fast."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, "png", compress_level=1)
    file.seek(0)
    return file


class _Counted:
    """An iterator that knows how much it has given out."""

    def __init__(self, pairs: Iterable[Any]) -> None:
        self._pairs = iter(pairs)
        self.count = 0

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        pair = next(self._pairs)
        self.count += 1
        return pair


def _checked(episodes: Iterable[Episode], side: int) -> Iterator[Episode]:
    """Refuse episodes whose shapes or types the RLDS layout cannot hold."""
    for index, episode in enumerate(episodes):
        length = len(episode.action)
        wanted = {
            "images": ((length, 2, side, side, 3), np.uint8),
            "state": ((length, 8), np.float32),
            "joint_state": ((length, 7), np.float32),
            "action": ((length, 7), np.float32),
        }
        for field, (shape, dtype) in wanted.items():
            array = np.asarray(getattr(episode, field))
            if length == 0 or array.shape != shape or array.dtype != dtype:
                raise ValueError(
                    f"Demonstration {index} has {field} {array.dtype}{array.shape}; "
                    f"expected {np.dtype(dtype)}{shape} with at least one step."
                )
        yield episode


def _check_replaceable(directory: Path) -> None:
    """Refuse to replace anything but nothing, an empty folder or demonstrations."""
    if not directory.exists():
        return
    if directory.is_dir():
        names = [path.name for path in directory.iterdir()]
        if not names or rlds_builder.INFO_FILE in names:
            return
    raise FileExistsError(
        f"{directory} exists and holds no demonstrations: move it away, or choose "
        "another folder."
    )


def _require_complete(directory: Path, expected: int) -> None:
    """Open the finished files once, as a full disk can leave them short."""
    found = rlds_builder.count(directory)
    if found != expected:
        raise OSError(
            f"Only {found} of {expected} demonstrations reached the disk: free some "
            "space and run again."
        )


@contextlib.contextmanager
def _temporary_sibling(directory: Path) -> Iterator[Path]:
    """A folder on the same disk as `directory`, removed on the way out."""
    prefix = f".{directory.name}-"
    workspace = Path(tempfile.mkdtemp(prefix=prefix, dir=directory.parent))
    try:
        yield workspace
    finally:
        shutil.rmtree(workspace, ignore_errors=True)


@contextlib.contextmanager
def _quiet_tfds() -> Iterator[None]:
    """Silence what tfds prints and logs; errors still raise."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    disabled = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.disable(disabled)


def _first_line(error: BaseException) -> str:
    """The first line of an error's message, or its type when it has none."""
    return next(iter(str(error).splitlines()), type(error).__name__)
