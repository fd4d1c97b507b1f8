"""The layout of a checkpoint folder, and reading it item by item.

    directory/step-00000012/params/        arrays: the parameters that are evaluated
    directory/step-00000012/normalizer/    arrays
    directory/step-00000012/policy/        JSON: what inference needs beside the arrays
    directory/step-00000012/train_state/   arrays: what only training needs
    directory/step-00000012/history/       JSON: one record a step

Inference reads the first three (`policy.inference`), a resumed run all of them
(`train.checkpoints`, which also writes). On a disk orbax writes under another name and
renames at the end: a folder with a step's name is complete. In a bucket, which cannot
rename, it adds a file at the end.
"""

import contextlib
import functools
import json
import logging
import re
from pathlib import Path
from typing import Any, Iterator

import jax
import orbax.checkpoint as ocp
from etils import epath
from jax.sharding import SingleDeviceSharding

from omnivla_jax.core import paths
from omnivla_jax.core.types import PyTree

PARAMS, NORMALIZER, POLICY = "params", "normalizer", "policy"
TRAIN_STATE, HISTORY = "train_state", "history"
ITEMS = (PARAMS, NORMALIZER, POLICY, TRAIN_STATE, HISTORY)
PREFIX = "step-"
UNFINISHED = re.compile(rf"{PREFIX}\d{{8,}}\.orbax-checkpoint-tmp.*")
RUN_FOLDER = "checkpoints"  # in a run's folder: where its training stages save
_STEP = re.compile(rf"{PREFIX}\d{{8,}}")
_JSON_FILE = "metadata"  # the name that orbax gives the file of a JSON item
# The one array item of checkpoints that were written up to this commit.
_OLD_ITEM, _OLD_COMMIT = "tree", "35d5b68"
# orbax's words for a complete checkpoint of other arrays than the requested ones.
_MISMATCHES = ("do not match", "not compatible with the stored shape")


class StepNameFormat(ocp.path.step.NameFormat[ocp.path.step.Metadata]):
    """Names of step folders for orbax, which ignores (and keeps) everything else."""

    def build_name(self, step: int) -> str:
        """The folder's name, for example "step-00000012"."""
        return f"{PREFIX}{step:08d}"

    def find_all(self, base_path: epath.PathLike) -> Iterator[ocp.path.step.Metadata]:
        """The checkpoints in `base_path` that hold at least one item."""
        for path in steps(paths.parse(base_path)):
            if any((path / item).is_dir() for item in ITEMS):
                number = int(path.name.removeprefix(PREFIX))
                yield ocp.path.step.Metadata(step=number, path=epath.Path(path))

    def find_step(self, base_path: epath.PathLike, step: int) -> ocp.path.step.Metadata:
        """The checkpoint of `step`; raises ValueError if there is none."""
        for metadata in self.find_all(base_path):
            if metadata.step == step:
                return metadata
        raise ValueError(f"{base_path} holds no checkpoint of step {step}.")


def steps(directory: Path) -> list[Path]:
    """The complete step folders in `directory`, the oldest first."""
    folders = [p for p in directory.glob(f"{PREFIX}*") if _STEP.fullmatch(p.name)]
    if paths.is_remote(directory):
        folders = [p for p in folders if ocp.path.step.is_path_finalized(p)]
    return sorted(folders, key=lambda path: int(path.name.removeprefix(PREFIX)))


def latest(directory: Path) -> Path | None:
    """The newest checkpoint in `directory`; None if there is none."""
    folders = steps(paths.absolute(directory))
    return folders[-1] if folders else None


def find(path: Path) -> Path:
    """The checkpoint that `path` means: it, or the newest one that lies in it.

    Args:
      path: a checkpoint or one of its items, a folder of checkpoints, or the folder of
        a run of which a single training stage has checkpoints.

    Returns:
      The folder of one checkpoint.

    Raises:
      ValueError: `path` is none of them; the message says what it is.
    """
    path = paths.absolute(path)
    if not path.is_dir():
        problem = "is a file" if path.exists() else "does not exist"
        raise ValueError(f"{path} {problem}: name the folder of a checkpoint.")
    if _STEP.fullmatch(path.name) or (path / PARAMS).is_dir():
        return path
    if path.name in ITEMS and (path.parent / PARAMS).is_dir():
        return path.parent
    folders = [path]
    if not steps(path):
        base = path / RUN_FOLDER if (path / RUN_FOLDER).is_dir() else path
        folders = sorted(folder for folder in base.iterdir() if folder.is_dir())
    stages = [folder for folder in folders if steps(folder)]
    if len(stages) == 1:
        return steps(stages[0])[-1]
    if stages:
        names = ", ".join(map(str, stages))
        raise ValueError(f"{path} has checkpoints of several stages: name one, {names}")
    raise ValueError(f"{path} holds no checkpoint: {contents(path)}.")


def contents(path: Path) -> str:
    """A few words on what lies in a folder without checkpoints, for messages."""
    names = sorted(entry.name for entry in path.iterdir())
    if not names:
        return "it is empty"
    if all(UNFINISHED.fullmatch(name) for name in names):
        return "nothing but a save that was interrupted lies there"
    return f"it holds {', '.join(names[:5])}{' and more' if names[5:] else ''}"


def restore_arrays(path: Path, item: str, like: PyTree) -> PyTree:
    """Read one array item into the structure, shapes and dtypes of `like`.

    Args:
      path: anything that `find` understands.
      item: the name of the item.
      like: a tree of arrays or `jax.ShapeDtypeStruct`s. A leaf with a sharding is read
        onto it, each device its own shards; other leaves are read onto one device.

    Returns:
      A tree like `like` of committed `jax.Array`s.

    Raises:
      ValueError: there is no checkpoint, its files are damaged, or it holds other
        arrays; in one line, with the remedy.
    """
    path = find(path)
    one_device = SingleDeviceSharding(jax.local_devices()[0])
    target = jax.tree.map(
        lambda leaf, shape: shape.update(
            sharding=getattr(leaf, "sharding", None) or one_device
        ),
        like,
        jax.eval_shape(lambda: like),
    )
    with _one_line_errors(path, item), ocp.StandardCheckpointer() as checkpointer:
        return checkpointer.restore(path / item, target)


def shapes(path: Path, item: str = PARAMS) -> PyTree:
    """The shapes and dtypes of one array item; no array is read.

    Raises ValueError if there is no checkpoint or its files are damaged.
    """
    path = find(path)
    with _one_line_errors(path, item), ocp.StandardCheckpointer() as checkpointer:
        metadata = checkpointer.metadata(path / item).item_metadata
        return jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), metadata.tree
        )


def restore_json(path: Path, item: str) -> Any:
    """Read one JSON item; raises ValueError if it is missing or damaged."""
    path = find(path)
    with _one_line_errors(path, item):
        return json.loads((path / item / _JSON_FILE).read_text("utf-8"))


@functools.cache  # one filter a process
def silence_orbax() -> None:
    """Keep orbax's own log lines, tracebacks among them, off the terminal."""
    folder = f"{ocp.__name__.split('.')[0]}/"
    logging.getLogger("absl").addFilter(lambda record: folder not in record.pathname)


@contextlib.contextmanager
def _one_line_errors(path: Path, item: str) -> Iterator[None]:
    """Turn whatever orbax and its readers raise into one line with a remedy."""
    silence_orbax()
    if (path / _OLD_ITEM).is_dir():
        raise ValueError(
            f"The checkpoint {path} has the layout of commit {_OLD_COMMIT} and before: "
            f"read it with that version (git checkout {_OLD_COMMIT}), or start a new "
            "workdir."
        )
    try:
        yield
    except Exception as error:
        text = str(error)
        if any(words in text for words in _MISMATCHES):
            # The first array that differs, or its two shapes.
            match = re.search(r"do not match:\s*(\S+):", text)
            difference = f"{item}.{match[1]}" if match else text.split(". ")[0][:200]
            raise ValueError(
                f"The checkpoint {path} holds other arrays than are asked for "
                f"({difference}): use the configuration that it was written with, or "
                "start a new workdir."
            ) from error
        first = next((line for line in text.splitlines() if line.strip()), "")[:200]
        raise ValueError(
            f"The checkpoint {path} cannot be read ({first or type(error).__name__}): "
            "move that folder away to fall back on the one before it, or start a new "
            "workdir."
        ) from error
