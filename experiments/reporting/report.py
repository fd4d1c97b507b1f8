"""Writes report.html: a run on one page that needs no network and no server."""

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
    episodes: Path | None = None,
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
      episodes: the page of `watch.write`, beside the report, which links to it.

    Raises:
      FileNotFoundError: a picture or video is not there.
    """
    files = [file for file in (curve, *(videos or {}).values()) if file]
    encoded = {f: base64.b64encode(f.read_bytes()).decode("ascii") for f in files}
    jinja = jinja2.Environment(
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    jinja.filters |= {"duration": duration, "flatten": flatten}
    last = history[-1] if history else {}
    names = [name for name in LAST_METRICS if name in last]
    template = jinja.from_string(TEMPLATE.read_text("utf-8"))
    page = template.render(
        results=results,
        history=history,
        last=", ".join(f"{name.replace('_', ' ')} {last[name]:.3g}" for name in names),
        curve=f"data:image/png;base64,{encoded[curve]}" if curve else None,
        videos={
            caption: f"data:video/mp4;base64,{encoded[file]}"
            for caption, file in (videos or {}).items()
        },
        episodes=episodes.name if episodes else None,
    )
    with replacing(path) as temporary:
        temporary.write_text(page.lstrip(), encoding="utf-8")
