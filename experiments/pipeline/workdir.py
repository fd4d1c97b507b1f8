"""The folder of a run: what is finished, how long it took, and for which settings.

config.json              the settings it was started with
phases/NAME.json         the result of a finished phase
wall_seconds.json        seconds by phase, interrupted attempts included
NAME.csv                 the metrics of a training stage, a row an update
NAME_validation.csv      its success on validation states, where it is evaluated
tensorboard/NAME/        both as TensorBoard scalars
checkpoints/NAME/        the latest checkpoints of a training stage
checkpoints/NAME_best/   the one that did best on the validation states
"""

import contextlib
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Iterator, Mapping

from experiments.reporting.files import replacing

CONFIG, SECONDS, PHASES = "config.json", "wall_seconds.json", "phases"
FOLDERS = (PHASES, "checkpoints", "tensorboard", "demonstrations")  # inside a run


@dataclass(frozen=True)
class Workdir:
    """A run's folder; every method reads or writes files, nothing is kept in memory."""

    path: Path

    def checkpoints(self, name: str) -> Path:
        """Where a training stage keeps its latest checkpoints."""
        return self.path / "checkpoints" / name

    def best(self, name: str) -> Path:
        """Where a training stage keeps the checkpoint that was evaluated best."""
        return self.path / "checkpoints" / f"{name}_best"

    def table(self, name: str) -> Path:
        """The CSV file of a training stage's metrics."""
        return self.path / f"{name}.csv"

    def board(self, name: str) -> Path:
        """The folder of a training stage's TensorBoard events."""
        return self.path / "tensorboard" / name

    def result(self, phase: str) -> dict[str, Any] | None:
        """What a finished phase found; None while it is not finished."""
        return _read(self.path / PHASES / f"{phase}.json")

    def finish(self, phase: str, result: Mapping[str, Any]) -> None:
        """Mark a phase as finished."""
        _write(self.path / PHASES / f"{phase}.json", result)

    def seconds(self) -> dict[str, float]:
        """Wall seconds by phase so far."""
        return _read(self.path / SECONDS) or {}

    @contextlib.contextmanager
    def clock(self, phase: str) -> Iterator[None]:
        """Add the time inside to the phase's, also when it is interrupted."""
        start = time.perf_counter()
        try:
            yield
        finally:
            before = self.seconds()
            taken = before.get(phase, 0.0) + time.perf_counter() - start
            _write(self.path / SECONDS, {**before, phase: taken})


def open_workdir(path: Path, config: Mapping[str, Any], *, resume: bool) -> Workdir:
    """Create the folder, or with `resume` take it up again.

    Raises:
      ValueError: it is no folder of a run, or of one that goes on only with `resume`,
        or of one with another configuration.
    """
    _check_place(path)
    recorded = _config(path)
    if recorded is not None and not resume:
        raise ValueError(
            f"{path} is not empty: add --resume to continue that run, or choose "
            "another --workdir."
        )
    wanted = json.loads(json.dumps(config))
    if recorded is None:
        _write(path / CONFIG, wanted)
    elif recorded != wanted:
        names = ", ".join(_differences(recorded, wanted))
        raise ValueError(
            f"{path} was started with other settings ({names}): resume with the same, "
            "or choose another --workdir."
        )
    return Workdir(path)


def run_of(path: Path) -> Path | None:
    """The run's folder that `path` is, or that it lies in; None if there is none."""
    path = Path(path).absolute()
    if _config(path) is not None:
        return path
    for folder in path.parents:
        if path.relative_to(folder).parts[0] in FOLDERS and _config(folder) is not None:
            return folder
    return None


def _config(path: Path) -> dict[str, Any] | None:
    """The settings that a run was started with; None where no run lies there."""
    found = _read(path / CONFIG)
    # A model of Hugging Face's has a file of that name, too.
    return found if isinstance(found, dict) and "seed" in found else None


def _check_place(path: Path) -> None:
    """Raise a ValueError unless `path` is a run's folder or may become one."""
    if path.exists() and not path.is_dir():
        raise ValueError(f"{path} is a file: choose another --workdir.")
    if _config(path) is not None:
        return
    if run := run_of(path):
        raise ValueError(f"{path} lies inside a run: give --workdir={run}.")
    # A run that was killed at its very start has left nothing but a hidden file.
    found = sorted(path.iterdir()) if path.is_dir() else []
    found = [entry for entry in found if not entry.name.startswith(".")]
    if not found:
        return
    runs = [entry.name for entry in found if _config(entry) is not None]
    what = f"runs of their own, {', '.join(runs[:5])}" if runs else ""
    what = what or ", ".join(entry.name for entry in found[:5])
    raise ValueError(
        f"{path} holds no run of this job but {what}: choose "
        f"{'one of them or ' if runs else ''}another --workdir."
    )


def read_config(path: Path, defaults: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration of the run in a folder, which stays as it is.

    Settings that are newer than the run have the value that `defaults` gives them.
    Raises ValueError where there is no run.
    """
    recorded = _config(path)
    if recorded is None:
        raise ValueError(
            f"{path} holds no run ({CONFIG} is missing or of something else): give the "
            "--workdir of one that experiments.quickstart started."
        )
    return _completed(recorded, defaults)


def _completed(recorded: Any, defaults: Any) -> Any:
    """`recorded` with what it lacks taken from `defaults`, at every depth."""
    if not (isinstance(recorded, dict) and isinstance(defaults, Mapping)):
        return recorded
    return {**defaults} | {
        name: _completed(value, defaults.get(name)) for name, value in recorded.items()
    }


def _differences(a: Any, b: Any, prefix: str = "") -> list[str]:
    """Dotted names of the settings in which two configurations differ."""
    if not (isinstance(a, dict) and isinstance(b, dict)):
        return [] if a == b else [prefix]
    return [
        found
        for key in {**a, **b}
        for found in _differences(
            a.get(key), b.get(key), f"{prefix}.{key}" if prefix else key
        )
    ]


def _read(path: Path) -> Any:
    if not path.exists():
        return None
    try:
        return json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise ValueError(
            f"{path} cannot be read ({error}): {_remedy(path)}."
        ) from error


def _remedy(path: Path) -> str:
    if path.parent.name == PHASES:
        return "move it away to redo that phase"
    return "put it back as it was, or choose another --workdir"


def _write(path: Path, content: Any) -> None:
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n", "utf-8")
