"""What a run leaves behind: results.json, curve.png, report.html and one table."""

import importlib.metadata
import json
from typing import Any, Mapping, Sequence

import jax

from experiments.configs.schema import Settings
from experiments.pipeline.workdir import CONFIG, Workdir
from experiments.reporting import curves, report
from experiments.reporting.files import replacing
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


def write(settings: Settings, workdir: Workdir) -> dict[str, Any]:
    """Write the three files; returns what results.json holds."""
    with workdir.clock("report"):
        found = results(settings, workdir)
        history = csv_log.load(workdir.table("flow_gspo"))
        curve = workdir.path / "curve.png"
        curves.save(curve, history, before=found["before"], after=found["after"])
        names = {"Before Flow-GSPO": "before.mp4", "After Flow-GSPO": "after.mp4"}
        recorded = settings.evaluation.recorded > 0
        videos = {c: workdir.path / name for c, name in names.items() if recorded}
        page = workdir.path / "report.html"
        report.write(page, found, history, curve=curve, videos=videos)
    found = results(settings, workdir)  # with the seconds that this took
    with replacing(workdir.path / "results.json") as temporary:
        temporary.write_text(json.dumps(found, indent=2) + "\n", "utf-8")
    return found


def results(settings: Settings, workdir: Workdir) -> dict[str, Any]:
    """Every number of the run, gathered from its finished phases."""
    seconds = workdir.seconds()
    device = jax.devices()[0]
    return {
        **{phase: workdir.result(phase) for phase in PHASES},
        "episodes": settings.evaluation.episodes,
        "wall_seconds": seconds | {"total": sum(seconds.values())},
        "seed": settings.seed,
        "device": f"{jax.device_count()} x {device.device_kind} ({device.platform})",
        "versions": {name: importlib.metadata.version(name) for name in PACKAGES},
        "config": json.loads((workdir.path / CONFIG).read_text("utf-8")),
    }


def table(found: Mapping[str, Any]) -> str:
    """The results as one table for the terminal."""
    columns = [found[name] for name in ("before", "after", "swapped_instructions")]
    skipped = columns[-1].get("skipped")
    names = list(columns[0]["per_task"])
    head = ["Success (95 % interval)", "before", "after", "swapped words"]
    rows = [[name, *(_cell(_of_task(c, name)) for c in columns)] for name in names]
    total = [f"all {found['episodes']} episodes", *map(_cell, columns)]
    split = ", ".join(
        f"{name} {duration(seconds)}" for name, seconds in found["time_split"].items()
    )
    diverged = ", ".join(
        f"{c.get('diverged', '?')} {when}"
        for c, when in zip(columns, head[1:])
        if "skipped" not in c
    )
    lines = [
        *_aligned([head, *rows, total]),
        *([f"Swapped words: skipped, {skipped}."] if skipped else []),
        f"Diverged episodes, which count as failures: {diverged}.",
        f"One update: {split}. In all: {duration(found['wall_seconds']['total'])}.",
    ]
    return "\n".join(lines)


def _of_task(column: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    return column if "skipped" in column else column["per_task"][name]


def _cell(estimate: Mapping[str, Any]) -> str:
    """An estimate and its interval; "skipped" where it was not made."""
    if "skipped" in estimate:
        return "skipped"
    low, high = estimate["interval"]
    return f"{estimate['success']:4.0%} ({low:.0%} to {high:.0%})"


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Columns of equal width, a rule below the head and above the last row."""
    widths = [max(map(len, column)) for column in zip(*rows)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip()
        for row in rows
    ]
    rule = "-" * max(map(len, lines))
    return [lines[0], rule, *lines[1:-1], rule, lines[-1]]
