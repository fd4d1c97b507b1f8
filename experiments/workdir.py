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
      ValueError: it holds something and `resume` is off, or another configuration.
    """
    if path.exists() and not path.is_dir():
        raise ValueError(f"{path} is a file: choose another --workdir.")
    # A run that was killed at its very start has left nothing but a hidden file.
    holds_something = path.is_dir() and any(
        not entry.name.startswith(".") for entry in path.iterdir()
    )
    if holds_something and not resume:
        raise ValueError(
            f"{path} is not empty: add --resume to continue that run, or choose "
            "another --workdir."
        )
    wanted = json.loads(json.dumps(config))
    recorded = _read(path / CONFIG)
    if recorded is None and holds_something:
        raise ValueError(
            f"{path} holds no run of this job: choose another --workdir, or empty it."
        )
    if recorded is None:
        _write(path / CONFIG, wanted)
    elif recorded != wanted:
        names = ", ".join(_differences(recorded, wanted))
        raise ValueError(
            f"{path} was started with other settings ({names}): resume with the same, "
            "or choose another --workdir."
        )
    return Workdir(path)


def read_config(path: Path) -> dict[str, Any]:
    """The configuration of the run in a folder, which stays as it is.

    Raises ValueError where there is none.
    """
    recorded = _read(path / CONFIG)
    if recorded is None:
        raise ValueError(
            f"{path} holds no run ({CONFIG} is missing): give the --workdir of one "
            "that experiments.quickstart started."
        )
    return recorded


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
            f"{path} cannot be read ({error}): delete it to redo that phase."
        ) from error


def _write(path: Path, content: Any) -> None:
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n", "utf-8")
