"""The folder of a run: config, results of phases, wall time, metrics, checkpoints.

config.json              the config that the run was started with
phases/NAME.json         the result of a finished phase
wall_seconds.json        seconds by phase, interrupted attempts included
NAME.csv                 metrics of a training stage, a row an update
NAME_validation.csv      its success on validation states, where it is validated
tensorboard/NAME/        both as TensorBoard scalars
checkpoints/NAME/        the latest checkpoints of a training stage
checkpoints/NAME_best/   the one with the best success on the validation states
"""

import contextlib
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Iterator, Mapping

from experiments.reporting.files import write_json
from omnivla_jax.core import paths

CONFIG, SECONDS, PHASES = "config.json", "wall_seconds.json", "phases"
CHECKPOINTS, TENSORBOARD = "checkpoints", "tensorboard"
BEST = "_best"  # behind a stage's name: the folder of its best checkpoint
FOLDERS = (PHASES, CHECKPOINTS, TENSORBOARD, "demonstrations")  # inside a run


@dataclass(frozen=True)
class Workdir:
    """Paths in a run's folder and readers of its small files; keeps no state."""

    path: Path
    # The folder that all processes of a run share, in which checkpoints are saved,
    # where `path` is a copy of its other files: see `pipeline.shared_workdir`.
    shared: Path | None = None
    publish: Callable[[], None] = lambda: None  # brings the copy's changes there

    def checkpoints(self, stage: str) -> Path:
        """Folder of a training stage's latest checkpoints, or with `BEST` its best."""
        return (self.shared or self.path) / CHECKPOINTS / stage

    def metrics_file(self, name: str) -> Path:
        """CSV file of a training stage's metrics."""
        return self.path / f"{name}.csv"

    def tensorboard(self, name: str) -> Path:
        """Folder of a training stage's TensorBoard events."""
        return self.path / TENSORBOARD / name

    def result(self, phase: str) -> dict[str, Any] | None:
        """Result of a finished phase; None while it is not finished."""
        return _read_json(self.path / PHASES / f"{phase}.json")

    def save_result(self, phase: str, result: Mapping[str, Any]) -> None:
        """Mark a phase as finished."""
        write_json(self.path / PHASES / f"{phase}.json", result)
        self.publish()

    def wall_seconds(self) -> dict[str, float]:
        """Wall seconds by phase so far."""
        return _read_json(self.path / SECONDS) or {}

    @contextlib.contextmanager
    def timer(self, phase: str) -> Iterator[None]:
        """Add the time inside to the phase's wall seconds, also on an exception."""
        start = time.perf_counter()
        try:
            yield
        finally:
            earlier = self.wall_seconds()
            seconds = earlier.get(phase, 0.0) + time.perf_counter() - start
            write_json(self.path / SECONDS, {**earlier, phase: seconds})
            self.publish()


def open_workdir(path: Path, config: Mapping[str, Any], *, resume: bool) -> Workdir:
    """Create the folder of a run, or with `resume` continue in it.

    Args:
      path: the folder, on this machine.
      config: of the run, of types that JSON has; stored in a new folder.
      resume: continue a run that was started with the same config.

    Raises:
      ValueError: as `require_folder`.
    """
    require_folder(path, config, resume=resume)
    if _stored_config(path) is None:
        write_json(path / CONFIG, config)
    return Workdir(path)


def require_folder(path: Path, config: Mapping[str, Any], *, resume: bool) -> None:
    """Refuse a folder in which a run can neither start nor continue; writes nothing.

    Args:
      path: the folder, or its address in a bucket.
      config, resume: as of `open_workdir`.

    Raises:
      ValueError: the folder is of something else, holds a run and `resume` is off, or
        holds a run with another config.
    """
    _check_folder(path)
    stored = _stored_config(path)
    if stored is not None and not resume:
        raise ValueError(
            f"{path} is not empty: add --resume to continue that run, or choose "
            "another --workdir."
        )
    config = json.loads(json.dumps(config))
    if stored not in (None, config):
        names = ", ".join(_differences(stored, config))
        raise ValueError(
            f"{path} was started with other settings ({names}): resume with the same, "
            "or choose another --workdir."
        )


def enclosing_run(path: Path) -> Path | None:
    """The run's folder that `path` is or lies in; None if there is none."""
    path = paths.absolute(path)
    if _stored_config(path) is not None:
        return path
    for folder in path.parents:
        inner = path.relative_to(folder).parts[0]
        if inner in FOLDERS and _stored_config(folder) is not None:
            return folder
    return None


def read_config(path: Path, defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Read the config of the run in a folder without changing the folder.

    Args:
      path: folder of a run.
      defaults: values of settings that the run's config lacks, being older.

    Raises:
      ValueError: there is no run.
    """
    stored = _stored_config(path)
    if stored is None:
        raise ValueError(
            f"{path} holds no run ({CONFIG} is missing or of something else): give the "
            "folder of one that experiments.train started."
        )
    return _complete(stored, defaults)


def _stored_config(path: Path) -> dict[str, Any] | None:
    """The config that a run was started with; None where there is no run."""
    content = _read_json(path / CONFIG)
    # Models of Hugging Face have a file of that name, too.
    return content if isinstance(content, dict) and "seed" in content else None


def _check_folder(path: Path) -> None:
    """Raise a ValueError unless `path` is a run's folder or may become one."""
    if path.exists() and not path.is_dir():
        raise ValueError(f"{path} is a file: choose another --workdir.")
    if _stored_config(path) is not None:
        return
    if run := enclosing_run(path):
        raise ValueError(f"{path} lies inside a run: give --workdir={run}.")
    # A run that was killed at its very start has left a hidden file only.
    entries = sorted(path.iterdir()) if path.is_dir() else []
    entries = [entry for entry in entries if not entry.name.startswith(".")]
    if not entries:
        return
    runs = [entry.name for entry in entries if _stored_config(entry) is not None]
    content = ", ".join(entry.name for entry in entries[:5])
    if runs:
        content = f"runs of their own, {', '.join(runs[:5])}"
    raise ValueError(
        f"{path} holds no run of this job but {content}: choose "
        f"{'one of them or ' if runs else ''}another --workdir."
    )


def _complete(stored: Any, defaults: Any) -> Any:
    """`stored` with missing names taken from `defaults`, at every depth."""
    if not (isinstance(stored, dict) and isinstance(defaults, Mapping)):
        return stored
    return {**defaults} | {
        name: _complete(value, defaults.get(name)) for name, value in stored.items()
    }


def _differences(a: Any, b: Any, prefix: str = "") -> list[str]:
    """Dotted names of the settings in which two configs differ."""
    if not (isinstance(a, dict) and isinstance(b, dict)):
        return [] if a == b else [prefix]
    return [
        name
        for key in {**a, **b}
        for name in _differences(
            a.get(key), b.get(key), f"{prefix}.{key}" if prefix else key
        )
    ]


def _read_json(path: Path) -> Any:
    """The content of a file; None if there is none."""
    if not path.exists():
        return None
    try:
        return json.loads(path.read_text("utf-8"))
    except ValueError as error:
        remedy = "put it back as it was, or choose another --workdir"
        if path.parent.name == PHASES:
            remedy = "move it away to redo that phase"
        raise ValueError(f"{path} cannot be read ({error}): {remedy}.") from error
