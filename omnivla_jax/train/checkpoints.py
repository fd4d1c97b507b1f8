"""Checkpoints of training: orbax's CheckpointManager, and exact resuming from it.

    with checkpoints.writer(directory) as writer:
        writer.save(state, rows)  # returns once the arrays are copied to the host

A checkpoint is complete or not there, and a newer one is complete before an older one
goes. What inference needs lies in items of its own (`core.checkpoint_files`).
"""

import contextlib
import dataclasses
from pathlib import Path
from typing import Any, Iterator, Mapping, NamedTuple, Sequence

import orbax.checkpoint as ocp

from omnivla_jax.core import checkpoint_files, paths
from omnivla_jax.core.checkpoint_files import (
    HISTORY,
    NORMALIZER,
    PARAMS,
    POLICY,
    TRAIN_STATE,
    find,
    latest,
    shapes,
)
from omnivla_jax.core.types import PyTree
from omnivla_jax.train.csv_log import Row
from omnivla_jax.train.state import TrainState

__all__ = [
    "Restored",
    "Writer",
    "find",
    "history",
    "latest",
    "restore",
    "save",
    "shapes",
    "writer",
]

MAX_TO_KEEP = 2


class Restored(NamedTuple):
    """The content of a checkpoint."""

    tree: PyTree  # as the requested one: a TrainState, or parameters
    history: list[Row]


class Writer:
    """Saves in the background. `writer` opens one and waits for its last save."""

    def __init__(
        self,
        directory: Path,
        max_to_keep: int,
        best_metric: str | None,
        policy: Mapping[str, Any] | None,
    ) -> None:
        self.directory, self._policy = directory, policy
        options = ocp.CheckpointManagerOptions(
            max_to_keep=max_to_keep,
            best_fn=(lambda metrics: metrics[best_metric]) if best_metric else None,
            step_name_format=checkpoint_files.StepNameFormat(),
            cleanup_tmp_directories=True,
        )
        self._manager = ocp.CheckpointManager(directory, options=options)

    def save(
        self,
        state: PyTree,
        history: Sequence[Row],
        *,
        step: int | None = None,
        metrics: Row | None = None,
    ) -> Path:
        """Begin to write one checkpoint, after the one before it is complete.

        Returns once the arrays are copied: the next update may overwrite them.

        Args:
          state: a `TrainState`, or a tree of parameters.
          history: one record a step.
          step: the number in the folder's name; by default the history's length.
          metrics: what the best checkpoint is chosen by, where `best_metric` is set.

        Returns:
          The folder that the checkpoint will have.

        Raises:
          ValueError: there is a checkpoint of that step, which stays as it is.
          OSError, or another error of orbax's: this save or the earlier one failed,
            for example on a full disk; complete checkpoints are intact.
        """
        number = len(history) if step is None else step
        path = self.directory / checkpoint_files.StepNameFormat().build_name(number)
        self.wait()
        if path in checkpoint_files.steps(self.directory):
            raise ValueError(
                f"{path} exists already: save to another folder, or resume from it."
            )
        items: dict[str, Any] = {
            name: ocp.args.StandardSave(tree) for name, tree in _items(state).items()
        }
        items[HISTORY] = ocp.args.JsonSave(list(history))
        if self._policy is not None:
            items[POLICY] = ocp.args.JsonSave(dict(self._policy))
        composite = ocp.args.Composite(**items)
        self._manager.save(number, args=composite, metrics=metrics, force=True)
        return path

    def steps(self) -> list[int]:
        """The steps that are saved or being saved, the oldest first."""
        return list(self._manager.all_steps())

    def best_metrics(self) -> Row | None:
        """The metrics of the best checkpoint; None if there is none yet."""
        step = self._manager.best_step()
        return None if step is None else self._manager.metrics(step)

    def check(self) -> None:
        """Raise the error of a background save that failed, without waiting for one.

        Not through `check_for_errors`, which takes the error away from orbax's own
        thread: that would then delete older checkpoints as if all were well.
        """
        if not self._manager.is_saving_in_progress():
            self.wait()

    def wait(self) -> None:
        """Wait for the last save and the removal of older checkpoints."""
        self._manager.wait_until_finished()

    def close(self) -> None:
        """Wait, and give up the background threads."""
        try:
            self._manager.close()
        except BaseException:
            # That raised the error of the last save before it closed anything.
            with contextlib.suppress(Exception):
                self._manager.close()
            raise


@contextlib.contextmanager
def writer(
    directory: Path,
    *,
    max_to_keep: int = MAX_TO_KEEP,
    best_metric: str | None = None,
    policy: Mapping[str, Any] | None = None,
) -> Iterator[Writer]:
    """Open `directory` for saving; leaving completes the last save.

    Args:
      directory: is created. What an interrupted save left there is removed.
      max_to_keep: how many checkpoints stay: the newest, or the best.
      best_metric: the metric whose greatest values are the best; None keeps the newest.
      policy: the JSON item for inference (`policy.inference.to_json`), the same in
        every checkpoint; None: without.

    Returns:
      A context of the writer.

    Raises:
      An error from inside, after the last save; the failure of that save itself only
      where there was no other error.
    """
    checkpoint_files.silence_orbax()
    directory = paths.absolute(directory)
    opened = Writer(directory, max_to_keep, best_metric, policy)
    try:
        yield opened
    except BaseException:
        with contextlib.suppress(Exception):
            opened.close()
        raise
    opened.close()


def save(
    directory: Path,
    state: PyTree,
    history: Sequence[Row],
    *,
    policy: Mapping[str, Any] | None = None,
) -> Path:
    """Write one checkpoint as `Writer.save` does, and wait for it.

    Args:
      directory: of the checkpoints.
      state: the training state.
      history: the rows of metrics up to it.
      policy: as of `writer`.

    Returns:
      The checkpoint's folder.
    """
    with writer(directory, policy=policy) as opened:
        return opened.save(state, history)


def restore(path: Path, like: PyTree) -> Restored:
    """Read a checkpoint into the structure, shapes and dtypes of `like`.

    Args:
      path: what `latest` returned, or anything that `find` understands.
      like: a `TrainState` or a tree of parameters, of arrays or
        `jax.ShapeDtypeStruct`s; where a leaf has a sharding it is read onto it.

    Returns:
      A tree like `like`, and the history. Parameters alone are read without the rest
      of a training state.

    Raises:
      ValueError: there is no checkpoint, its files are damaged, or it holds other
        arrays.
    """
    items = {
        name: checkpoint_files.restore_arrays(path, name, tree)
        for name, tree in _items(like).items()
    }
    return Restored(_from_items(items), history(path))


def history(path: Path) -> list[Row]:
    """The records of a checkpoint alone; raises ValueError on a damaged file."""
    return checkpoint_files.restore_json(path, HISTORY)


def _items(state: PyTree) -> dict[str, PyTree]:
    """A training state by item; every array is in exactly one of them."""
    if not isinstance(state, TrainState):
        return {PARAMS: state}
    field = "params" if state.ema_params is None else "ema_params"
    without: dict[str, Any] = {"normalizer": None, field: None}
    rest = dataclasses.replace(state, **without)
    # By name, without what is newer than the format and not kept.
    stored = {item.name: getattr(rest, item.name) for item in dataclasses.fields(rest)}
    if rest.task_success is None:
        del stored["task_success"]
    items = {PARAMS: getattr(state, field), TRAIN_STATE: stored}
    if state.normalizer is not None:  # stage I may know none
        items[NORMALIZER] = state.normalizer
    return items


def _from_items(items: Mapping[str, PyTree]) -> PyTree:
    """The inverse of `_items`."""
    if TRAIN_STATE not in items:
        return items[PARAMS]
    rest = TrainState(**items[TRAIN_STATE])
    field = "params" if rest.params is None else "ema_params"
    restored = {"normalizer": items.get(NORMALIZER), field: items[PARAMS]}
    return dataclasses.replace(rest, **restored)
