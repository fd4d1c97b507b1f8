"""Writes report.html: the whole run on one page that needs no network and no server."""

import base64
from pathlib import Path
from typing import Any, Mapping, Sequence

import jinja2

from experiments.reporting.files import replacing
from experiments.reporting.progress import duration
from experiments.reporting.records import flatten

TEMPLATE = Path(__file__).with_name("report.html")
LAST_METRICS = ("success", "reward", "clip_fraction", "kl")


def write(
    path: Path,
    results: Mapping[str, Any],
    history: Sequence[Mapping[str, float]],
    *,
    curve: Path | None = None,
    videos: Mapping[str, Path] | None = None,
) -> None:
    """Write the report.

    Args:
      path: the HTML file, written whole or not at all.
      results: the content of results.json. `before` and `after` are evaluations
        {"success", "interval": [low, high], "per_task": {name: {"success",
        "interval", "episodes"}}}; other entries may be missing.
      history: one record of metrics per RL update.
      curve: the PNG that `curves.save` wrote.
      videos: captions and the mp4 files that `video.write_mp4` wrote.

    Raises:
      FileNotFoundError: a picture or video is not there.
    """
    before, after = results["before"], results["after"]
    swapped = results.get("swapped_instructions") or {}
    (low, high), (low_after, high_after) = before["interval"], after["interval"]
    tasks = [
        (
            name,
            before.get("per_task", {}).get(name),
            after.get("per_task", {}).get(name),
        )
        for name in before.get("per_task", {}) | after.get("per_task", {})
    ]
    total = {"episodes": results.get("episodes", "")}
    evaluations = {
        "before": before,
        "after": after,
        "with swapped instructions": swapped,
    }
    last = history[-1] if history else {}
    phases = {k: v for k, v in results.get("wall_seconds", {}).items() if k != "total"}
    environment = jinja2.Environment(
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["duration"] = duration
    page = environment.from_string(TEMPLATE.read_text("utf-8")).render(
        results=results,
        before=before,
        after=after,
        swapped=swapped,
        overlap=low_after <= high and low <= high_after,
        tasks=[*tasks, ("all tasks", before | total, after | total)],
        diverged=", ".join(
            f"{found['diverged']} {when}"
            for when, found in evaluations.items()
            if "diverged" in found
        ),
        history=history,
        diverged_learning=sum(row.get("diverged", 0) for row in history),
        last=", ".join(
            f"{name.replace('_', ' ')} {last[name]:.3g}"
            for name in LAST_METRICS
            if name in last
        ),
        curve=_data_url(curve, "image/png") if curve else None,
        videos={c: _data_url(file, "video/mp4") for c, file in (videos or {}).items()},
        phases=phases if sum(phases.values()) > 0 else {},
        time_split=results.get("time_split", {}),
        config=flatten(results.get("config", {})),
        versions=flatten(results.get("versions", {})),
    )
    with replacing(path) as temporary:
        temporary.write_text(page, encoding="utf-8")


def _data_url(path: Path, kind: str) -> str:
    """A file's content as a data URL."""
    return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode('ascii')}"
