"""Writes results.json, curve.png and report.html of a run, and prints one table."""

import importlib.metadata
import json
from typing import Any, Mapping, Sequence

import jax

from experiments.configs.schema import ExperimentConfig
from experiments.pipeline.workdir import CONFIG, Workdir
from experiments.reporting import curves, report
from experiments.reporting.files import write_json
from experiments.reporting.progress import duration
from omnivla_jax.train import csv_log

PACKAGES = (
    "jax",
    "jaxlib",
    "flax",
    "optax",
    "orbax-checkpoint",
    "mujoco",
    "mujoco-mjx",
    "numpy",
)
PHASES = ("before", "after", "swapped_instructions", "time_split", "demonstrations")
COLUMNS = {
    "before": "before",
    "after": "after",
    "swapped_instructions": "swapped words",
}


def write(config: ExperimentConfig, workdir: Workdir) -> dict[str, Any]:
    """Write results.json and, of a run with online training, a curve and a report.

    Args:
      config: of the run.
      workdir: with the results of all phases.

    Returns:
      The content of results.json.
    """
    if "online" in config.stages:
        with workdir.timer("report"):
            gathered = gather(config, workdir)
            history = csv_log.load(workdir.metrics_file("online"))
            curve = workdir.path / "curve.png"
            before, after = gathered["before"], gathered["after"]
            curves.save(curve, history, before=before, after=after)
            videos = {}
            if config.evaluation.recorded:
                videos = {
                    "Before online RL": workdir.path / "before.mp4",
                    "After online RL": workdir.path / "after.mp4",
                }
            page = workdir.path / "report.html"
            episodes = workdir.path / "episodes.html"
            report.write(
                page,
                gathered,
                history,
                curve=curve,
                videos=videos,
                episodes=episodes if episodes.exists() else None,
            )
    gathered = gather(config, workdir)  # again, with the seconds of the report
    write_json(workdir.path / "results.json", gathered)
    return gathered


def gather(config: ExperimentConfig, workdir: Workdir) -> dict[str, Any]:
    """Every number of a run from its finished phases; None of a phase it lacks."""
    seconds = workdir.wall_seconds()
    device = jax.devices()[0]
    return {
        **{phase: workdir.result(phase) for phase in PHASES},
        "episodes": config.evaluation.episodes,
        "wall_seconds": seconds | {"total": sum(seconds.values())},
        "seed": config.seed,
        "device": f"{jax.device_count()} x {device.device_kind} ({device.platform})",
        "versions": {name: importlib.metadata.version(name) for name in PACKAGES},
        "config": json.loads((workdir.path / CONFIG).read_text("utf-8")),
    }


def table(results: Mapping[str, Any]) -> str:
    """The results as one table for the terminal.

    Args:
      results: content of results.json; an evaluation that is None has no column.

    Returns:
      Several lines: success by task with its interval, diverged episodes, seconds.
    """
    columns = {
        title: results[phase] for phase, title in COLUMNS.items() if results[phase]
    }
    measured = {t: column for t, column in columns.items() if "skipped" not in column}
    if not measured:
        seconds = results["wall_seconds"]["total"]
        return f"Not evaluated: there is no simulator. In all: {duration(seconds)}."
    rows = [["Success (95 % interval)", *columns]]
    for name in next(iter(measured.values()))["per_task"]:
        cells = [c if "skipped" in c else c["per_task"][name] for c in columns.values()]
        rows.append([name, *map(_cell, cells)])
    rows.append([f"all {results['episodes']} episodes", *map(_cell, columns.values())])
    diverged = ", ".join(f"{c.get('diverged', '?')} {t}" for t, c in measured.items())
    update = ", ".join(
        f"{part} {duration(seconds)}"
        for part, seconds in (results["time_split"] or {}).items()
    )
    return "\n".join(
        [
            *_align(rows),
            *(
                f"{title.capitalize()}: skipped, {column['skipped']}."
                for title, column in columns.items()
                if "skipped" in column
            ),
            f"Diverged episodes, which count as failures: {diverged}.",
            (f"One update: {update}. " if update else "")
            + f"In all: {duration(results['wall_seconds']['total'])}.",
        ]
    )


def _cell(estimate: Mapping[str, Any]) -> str:
    """Success and its interval, such as " 61% (55% to 68%)"."""
    if "skipped" in estimate:
        return "skipped"
    low, high = estimate["interval"]
    return f"{estimate['success']:4.0%} ({low:.0%} to {high:.0%})"


def _align(rows: Sequence[Sequence[str]]) -> list[str]:
    """Pad columns to equal width; a rule below the first and above the last row."""
    widths = [max(map(len, column)) for column in zip(*rows)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip()
        for row in rows
    ]
    rule = "-" * max(map(len, lines))
    return [lines[0], rule, *lines[1:-1], rule, lines[-1]]
