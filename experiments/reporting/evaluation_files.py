"""Writes the result of an evaluation: JSON, and a Markdown table by task."""

from pathlib import Path
from typing import Any, Mapping

from experiments.reporting import perturbation_page
from experiments.reporting.files import replacing, write_json

JSON, TABLE = "evaluation.json", "evaluation.md"


def write(folder: Path, summary: Mapping[str, Any]) -> None:
    """Write evaluation.json and evaluation.md.

    Args:
      folder: made where it is missing.
      summary: as `evaluate.summarise` returns it, with "episodes" and "diverged".
    """
    write_json(folder / JSON, summary)
    with replacing(folder / TABLE) as temporary:
        temporary.write_text(success_table(summary) + "\n", "utf-8")


def success_table(summary: Mapping[str, Any]) -> str:
    """A Markdown table with a row for each task and one for all."""
    lines = [
        "| task | success (95 % interval) | episodes |",
        "|---|---|---|",
    ]
    rows = summary["per_task"] | {"all": summary}
    for name, row in rows.items():
        low, high = row["interval"]
        cell = f"{row['success']:.1%} ({low:.1%} to {high:.1%})"
        lines.append(f"| {name} | {cell} | {row['episodes']} |")
    if "dimensions" in summary:
        lines += ["", perturbation_page.table(summary)]
    lines += ["", f"Diverged episodes, which count as failures: {summary['diverged']}."]
    return "\n".join(lines)
