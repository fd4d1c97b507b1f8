"""Checkpoints: a pytree and a history per step, whole or not there at all.

    directory/step-00000012/tree/                  orbax
    directory/step-00000012/history/history.json   one record a step

    with checkpoints.writer(directory) as writer:
        writer.save(state, rows)  # returns once the state is copied; the rest follows

orbax writes in the background, under another name that it changes when everything is
there: whatever carries the final name is complete. Older ones go only after that.
"""

import contextlib
import json
import logging
import re
import shutil
from pathlib import Path
from typing import Any, Iterator, NamedTuple, Sequence

import jax
import orbax.checkpoint as ocp
from jax.sharding import Sharding, SingleDeviceSharding

from omnivla_jax.core.types import PyTree
from omnivla_jax.train.csv_log import Row

KEEP = 2
PREFIX, TREE, HISTORY = "step-", "tree", "history"
HISTORY_FILE = "history.json"
UNFINISHED = re.compile(
    rf"\.replaced-{PREFIX}\d{{8,}}|{PREFIX}\d{{8,}}\.orbax-checkpoint-tmp.*"
)
RUN_FOLDER = "checkpoints"  # where a run keeps the folders of its stages
_STEP = re.compile(re.escape(PREFIX) + r"\d{8,}")
# How orbax says that a checkpoint is whole, but not of what was asked for.
_MISFITS = ("do not match", "not compatible with the stored shape")


class Restored(NamedTuple):
    """What a checkpoint held."""

    tree: PyTree
    history: list[Row]


class Writer:
    """Saves in the background. Make one with `writer`, which waits for the last."""

    def __init__(self, directory: Path, keep: int) -> None:
        self.directory, self.keep = directory, keep
        self._checkpointer = ocp.AsyncCheckpointer(
            ocp.CompositeCheckpointHandler(
                **{
                    TREE: ocp.StandardCheckpointHandler(),
                    HISTORY: ocp.JsonCheckpointHandler(HISTORY_FILE),
                }
            )
        )

    def save(
        self, tree: PyTree, history: Sequence[Row], *, step: int | None = None
    ) -> Path:
        """Begin to write one checkpoint, after the one before it is complete.

        Returns once `tree` is copied, so that the next update may overwrite it.

        Args:
          tree: of arrays.
          history: one record a step.
          step: what it is named after; by default the length of its history.

        Raises:
          OSError or another error of orbax: this or the earlier save failed, for
            example on a full disk; what was complete is intact.
        """
        self.wait()
        number = len(history) if step is None else step
        final = self.directory / f"{PREFIX}{number:08d}"
        with self._tidy_on_failure():
            if final.exists() and _is_first_process():
                final.rename(final.with_name(f".replaced-{final.name}"))
            parts = {
                TREE: ocp.args.StandardSave(tree),
                HISTORY: ocp.args.JsonSave(list(history)),
            }
            self._checkpointer.save(final, args=ocp.args.Composite(**parts))
        return final

    def check(self) -> None:
        """Raise what the background met so far, without waiting for it."""
        with self._tidy_on_failure():
            self._checkpointer.check_for_errors()

    def wait(self) -> None:
        """Wait until nothing is on its way, then drop all but the newest `keep`."""
        with self._tidy_on_failure():
            self._checkpointer.wait_until_finished()
        if _is_first_process():
            for folder in _complete(self.directory)[: -self.keep]:
                if (folder / TREE).is_dir() and (folder / HISTORY).is_dir():  # ours
                    shutil.rmtree(folder, ignore_errors=True)
        self._sweep()

    def close(self) -> None:
        """Wait, and give up the background thread."""
        try:
            self.wait()
        finally:
            self._checkpointer.close()
            self._sweep()  # parts of a failed save may have been written on until now

    @contextlib.contextmanager
    def _tidy_on_failure(self) -> Iterator[None]:
        """Free the space of what did not get whole, and put back what it replaced."""
        try:
            yield
        except BaseException:
            if _is_first_process():
                for folder in self.directory.glob(f".replaced-{PREFIX}*"):
                    final = folder.with_name(folder.name.removeprefix(".replaced-"))
                    if not final.exists():
                        folder.rename(final)
                self._sweep()
            raise

    def _sweep(self) -> None:
        """Remove what interrupted and replaced saves left behind."""
        if _is_first_process():
            for folder in self._rest():
                shutil.rmtree(folder, ignore_errors=True)

    def _rest(self) -> list[Path]:
        """What is no complete checkpoint, by names that nothing but a save gives."""
        found = self.directory.glob(f"*{PREFIX}*")
        return [path for path in found if UNFINISHED.fullmatch(path.name)]


@contextlib.contextmanager
def writer(directory: Path, *, keep: int = KEEP) -> Iterator[Writer]:
    """A writer into `directory`, which is created; leaving it completes the last save.

    What goes wrong inside is raised after that; a failure of that save itself only
    where nothing else went wrong.
    """
    _silence_orbax()
    directory = Path(directory).absolute()
    directory.mkdir(parents=True, exist_ok=True)
    opened = Writer(directory, keep)
    try:
        yield opened
    except BaseException:
        with contextlib.suppress(Exception):
            opened.close()
        raise
    opened.close()


def save(directory: Path, tree: PyTree, history: Sequence[Row]) -> Path:
    """Write one checkpoint, named after the length of its history, and wait for it.

    All but the newest `KEEP` are then dropped.
    Raises OSError, for example on a full disk; earlier checkpoints are then intact.
    """
    with writer(directory) as opened:
        return opened.save(tree, history)


def latest(directory: Path) -> Path | None:
    """The newest complete checkpoint; None if there is none."""
    found = _complete(Path(directory).absolute())
    return found[-1] if found else None


def find(path: Path) -> Path:
    """The checkpoint that `path` means: it, or the newest one that lies in it.

    Args:
      path: a checkpoint, the folder that a `writer` writes to, or the folder of a run
        of which a single stage has checkpoints.

    Raises:
      ValueError: it is none of them; says what it is.
    """
    path = Path(path).absolute()
    if not path.is_dir():
        what = "is a file" if path.exists() else "does not exist"
        raise ValueError(f"{path} {what}: name the folder of a checkpoint.")
    if (path / TREE).is_dir() or _STEP.fullmatch(path.name):
        return path
    if path.name in (TREE, HISTORY) and (path.parent / TREE).is_dir():
        return path.parent
    stages = [folder for folder in _stages(path) if _complete(folder)]
    if len(stages) == 1:
        return _complete(stages[0])[-1]
    if stages:
        names = ", ".join(map(str, stages))
        raise ValueError(f"{path} has checkpoints of several stages: name one, {names}")
    raise ValueError(f"{path} holds no checkpoint: {contents(path)}.")


def contents(path: Path) -> str:
    """What lies in a folder, in a few words, for messages."""
    names = sorted(entry.name for entry in Path(path).iterdir())
    if not names:
        return "it is empty"
    if all(PREFIX in name for name in names):
        return "nothing but a save that was interrupted lies there"
    return f"it holds {', '.join(names[:5])}{' and more' if names[5:] else ''}"


def _stages(path: Path) -> list[Path]:
    """Folders that may hold checkpoints: this one, or those of a run's stages."""
    if _complete(path):
        return [path]
    base = path / RUN_FOLDER if (path / RUN_FOLDER).is_dir() else path
    return sorted(folder for folder in base.iterdir() if folder.is_dir())


def restore(path: Path, like: PyTree) -> Restored:
    """Read a checkpoint into the structure, shapes and types of `like`.

    Args:
      path: what `latest` gave, or anything that `find` understands.
      like: a tree of arrays or `jax.ShapeDtypeStruct`s. What has a sharding is read
        onto it, each device its own part, and everything else onto one device.

    Raises:
      ValueError: there is no checkpoint, its files are damaged, or it holds another
        structure.
    """
    path = find(path)
    _silence_orbax()
    here = SingleDeviceSharding(jax.local_devices()[0])
    wanted = jax.tree.map(
        lambda leaf, shape: shape.update(sharding=_sharding(leaf) or here),
        like,
        jax.eval_shape(lambda: like),
    )
    with _one_line(path):
        with ocp.StandardCheckpointer() as checkpointer:
            tree = checkpointer.restore(path / TREE, wanted)
    return Restored(tree, history(path))


def shapes(path: Path) -> PyTree:
    """The tree of a checkpoint as shapes; no array is read.

    Raises ValueError if there is none, or if the files are damaged.
    """
    path = find(path)
    _silence_orbax()
    with _one_line(path):
        with ocp.StandardCheckpointer() as checkpointer:
            found = checkpointer.metadata(path / TREE).item_metadata
            return jax.tree.map(
                lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), found.tree
            )


def history(path: Path) -> list[Row]:
    """The records of a checkpoint alone; raises ValueError on a damaged file."""
    path = find(path)
    with _one_line(path):
        return json.loads((path / HISTORY / HISTORY_FILE).read_text("utf-8"))


def _sharding(leaf: Any) -> Sharding | None:
    known = isinstance(leaf, (jax.Array, jax.ShapeDtypeStruct))
    return leaf.sharding if known else None


def _complete(directory: Path) -> list[Path]:
    """Complete checkpoints, the oldest first."""
    found = [p for p in directory.glob(f"{PREFIX}*") if _STEP.fullmatch(p.name)]
    return sorted(found, key=lambda path: int(path.name.removeprefix(PREFIX)))


def _is_first_process() -> bool:
    """Where several processes share a folder, one of them tidies it."""
    return jax.process_index() == 0


@contextlib.contextmanager
def _one_line(path: Path) -> Iterator[None]:
    """Turn what reading a checkpoint can raise into one line with a remedy."""
    try:
        yield
    except Exception as error:  # orbax and its readers raise whatever they meet
        if any(words in str(error) for words in _MISFITS):
            raise ValueError(
                f"The checkpoint {path} holds other arrays than are asked for "
                f"({_difference(error)}): use the configuration that it was written "
                "with, or start a new workdir."
            ) from error
        raise ValueError(
            f"The checkpoint {path} cannot be read ({_first_line(error)}): move that "
            "folder away to fall back on the one before it, or start a new workdir."
        ) from error


def _difference(error: BaseException) -> str:
    """The first array in which orbax sees a difference, or its shapes."""
    text = str(error)
    match = re.search(r"do not match:\s*(\S+):", text)
    return match[1] if match else text.split(". ")[0][:200]


def _first_line(error: BaseException) -> str:
    text = next((line for line in str(error).splitlines() if line.strip()), "")
    return text[:200] or type(error).__name__


def _silence_orbax() -> None:
    """Keep orbax's own log lines, tracebacks among them, off the terminal."""
    logging.getLogger("absl").addFilter(_not_of_orbax)


def _not_of_orbax(record: logging.LogRecord) -> bool:
    return f"{ocp.__name__.split('.')[0]}/" not in record.pathname
