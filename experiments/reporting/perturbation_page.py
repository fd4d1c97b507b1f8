"""Writes success by dimension of perturbation: a table, and a page without scripts."""

from pathlib import Path
from typing import Any, Mapping

import jinja2

from experiments.reporting import perturbation_chart, published_libero_plus
from experiments.reporting.files import replacing

TEMPLATE = Path(__file__).with_name("perturbation_page.html")
PAGE = "perturbations.html"


def table(summary: Mapping[str, Any]) -> str:
    """A Markdown table with a row for each dimension and kind, and the mean."""
    lines = ["| perturbation | success (95 % interval) | episodes |", "|---|---|---|"]
    for name, row in summary["dimensions"].items():
        mark = " *" if row["stand_ins"] else ""
        lines.append(f"| **{name}**{mark} | {_cell(row)} | {row['episodes']} |")
        for kind, part in row["kinds"].items():
            lines.append(f"| {name}, {kind} | {_cell(part)} | {part['episodes']} |")
    if summary["mean"] is not None:
        lines.append(f"| mean of the dimensions | {summary['mean']:.1%} | |")
    stand_ins = {
        f"{name}: {text}"
        for name, row in summary["dimensions"].items()
        for text in row["stand_ins"]
    }
    if stand_ins:
        lines += ["", f"* stands in for what is not public: {'; '.join(stand_ins)}."]
    return "\n".join(lines)


def write(folder: Path, summary: Mapping[str, Any], videos: Mapping[str, str]) -> None:
    """Write the page, and a chart beside it.

    Args:
      folder: of the evaluation.
      summary: as `perturbed_evaluation.summarise` returns it, with "title".
      videos: file of the failures of each dimension, relative to the folder.
    """
    severities = sorted(
        {
            value
            for row in summary["dimensions"].values()
            for value in row["severities"]
        },
        key=float,
    )
    jinja = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    page = jinja.from_string(TEMPLATE.read_text("utf-8")).render(
        summary=summary,
        severities=severities,
        videos=videos,
        published=published_libero_plus,
        colour=_colour,
    )
    perturbation_chart.save(folder / perturbation_chart.CHART, summary)
    with replacing(folder / PAGE) as temporary:
        temporary.write_text(page, encoding="utf-8")


def _cell(row: Mapping[str, Any]) -> str:
    low, high = row["interval"]
    return f"{row['success']:.1%} ({low:.1%} to {high:.1%})"


def _colour(success: float) -> str:
    """From red over yellow to green."""
    return f"hsl({round(120 * success)} 60% 72%)"
