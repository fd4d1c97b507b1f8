"""Draws success by dimension of perturbation and severity, with 95 % intervals."""

from pathlib import Path
from typing import Any, Mapping

import numpy as np
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import PercentFormatter

from experiments.reporting.curves import GRID, INK, MUTED
from experiments.reporting.files import replacing

CHART = "perturbations.png"
COLOURS = "#99d5cd #3a9c90 #0f766e #134e4a".split()  # of rising severities
WIDTH = 0.8  # of a dimension's bars together


def save(path: Path, summary: Mapping[str, Any]) -> None:
    """Write a bar for each dimension and severity as a PNG.

    Args:
      path: the file to write, whole or not at all.
      summary: as `perturbed_evaluation.summarise` returns it; official variants, which
        have no severity, get a bar for each dimension.
    """
    dimensions: Mapping[str, Any] = summary["dimensions"]
    groups = {name: row["severities"] or {"": row} for name, row in dimensions.items()}
    severities = sorted({value for group in groups.values() for value in group})
    colours = COLOURS[-len(severities) :] if severities[0] else COLOURS[-2:]
    layout = ConstrainedLayoutEngine(w_pad=0.16, h_pad=0.14)
    figure = Figure(figsize=(8.4, 4.2), dpi=144, facecolor="white", layout=layout)
    axes = figure.subplots()
    width = WIDTH / len(severities)
    for number, severity in enumerate(severities):
        rows = [group.get(severity) for group in groups.values()]
        places = np.array([place for place, row in enumerate(rows) if row])
        shares = np.array([row["success"] for row in rows if row])
        low, high = np.array([row["interval"] for row in rows if row]).T
        axes.bar(
            places + width * (number + 0.5) - WIDTH / 2,
            shares,
            0.92 * width,
            yerr=(np.maximum(shares - low, 0), np.maximum(high - shares, 0)),
            color=colours[number % len(colours)],
            label=f"severity {severity}" if severity else None,
            error_kw={"ecolor": MUTED, "elinewidth": 1},
        )
    axes.set_xticks(range(len(groups)), list(groups))
    axes.set_ylim(0, 1)
    axes.yaxis.set_major_formatter(PercentFormatter(xmax=1))
    axes.set_title("Success under perturbation", loc="left", color=INK, fontsize=13)
    axes.tick_params(colors=MUTED, labelsize=9.5, length=0)
    axes.grid(axis="y", color=GRID, linewidth=0.9)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(GRID)
    if severities[0]:
        figure.legend(
            loc="outside lower center",
            ncols=len(severities),
            frameon=False,
            labelcolor=INK,
        )
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png")
