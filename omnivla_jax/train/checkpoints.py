"""Checkpoints: a pytree and a history per step, whole or not there at all.

    directory/step-00000012/tree/          orbax
    directory/step-00000012/history.json   one record a step

A checkpoint is written under a hidden name and renamed when complete, so whatever
carries the final name is complete. Older ones go only after that.
"""

import contextlib
import json
import logging
import os
import shutil
from pathlib import Path
from typing import Iterator, NamedTuple, Sequence

import jax
import orbax.checkpoint as ocp

from omnivla_jax.core.types import PyTree
from omnivla_jax.train.metrics import Row

KEEP = 2
PREFIX, TREE, HISTORY = "step-", "tree", "history.json"


class Restored(NamedTuple):
    """What a checkpoint held."""

    tree: PyTree
    history: list[Row]


def save(directory: Path, tree: PyTree, history: Sequence[Row]) -> Path:
    """Write one checkpoint, named after the length of its history.

    All but the newest `KEEP` are then dropped.
    Raises OSError, for example on a full disk; earlier checkpoints are then intact.
    """
    directory = Path(directory).absolute()
    directory.mkdir(parents=True, exist_ok=True)
    final = directory / f"{PREFIX}{len(history):08d}"
    partial = directory / f".{final.name}-{os.getpid()}"
    shutil.rmtree(partial, ignore_errors=True)
    try:
        _write(partial, tree, history)
        if final.exists():
            final.rename(directory / f".replaced-{final.name}-{os.getpid()}")
        partial.rename(final)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    _clean(directory)
    return final


def latest(directory: Path) -> Path | None:
    """The newest complete checkpoint; None if there is none."""
    found = sorted(Path(directory).absolute().glob(f"{PREFIX}*"))
    return found[-1] if found else None


def restore(path: Path, like: PyTree) -> Restored:
    """Read a checkpoint into the structure, shapes and types of `like`.

    Args:
      path: what `latest` gave.
      like: a tree of arrays or `jax.ShapeDtypeStruct`s.

    Raises:
      ValueError: the files are damaged, or hold another structure.
    """
    path = Path(path).absolute()
    try:
        with _quiet(), ocp.StandardCheckpointer() as checkpointer:
            tree = checkpointer.restore(path / TREE, jax.eval_shape(lambda: like))
        history = json.loads((path / HISTORY).read_text("utf-8"))
    except Exception as error:  # orbax and its readers raise whatever they meet
        raise ValueError(
            f"The checkpoint {path} cannot be read ({_first_line(error)}): delete that "
            "folder to fall back on the one before it, or start a new workdir if the "
            "configuration changed."
        ) from error
    return Restored(tree, history)


def _write(folder: Path, tree: PyTree, history: Sequence[Row]) -> None:
    folder.mkdir()
    with _quiet(), ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(folder / TREE, tree)
        checkpointer.wait_until_finished()
    (folder / HISTORY).write_text(json.dumps(list(history)), "utf-8")


def _clean(directory: Path) -> None:
    """Remove superseded checkpoints and what interrupted saves left behind."""
    old = sorted(directory.glob(f"{PREFIX}*"))[:-KEEP]
    for folder in [*old, *directory.glob(f".*{PREFIX}*")]:
        shutil.rmtree(folder, ignore_errors=True)


def _first_line(error: BaseException) -> str:
    text = next((line for line in str(error).splitlines() if line.strip()), "")
    return text[:200] or type(error).__name__


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence orbax's log lines; its errors still raise."""
    disabled = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        yield
    finally:
        logging.disable(disabled)
