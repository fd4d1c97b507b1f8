"""Draws curve.png: success, reward, clipped fraction and KL against the RL update.

Axes: N updates.
"""

from pathlib import Path
from typing import Any, Mapping, NamedTuple, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator, PercentFormatter

from experiments.reporting.files import replacing

INK, MUTED, GRID = "#1d2430", "#6b7280", "#e5e7eb"
SMOOTHING = 0.8  # of the exponential average drawn over the measured points


class Panel(NamedTuple):
    """One of the four pictures: a metric and how it is told."""

    key: str
    title: str
    subtitle: str
    colour: str
    percent: bool


PANELS = (
    Panel("success", "Success", "share of rollout episodes", "#0f766e", True),
    Panel("reward", "Reward", "mean return of an episode", "#b45309", False),
    Panel("clip_fraction", "Clipped fraction", "of the chunk ratios", "#7c3aed", True),
    Panel("kl", "KL", "of a chunk to its sampling policy, nats", "#be123c", False),
)


def save(
    path: Path,
    history: Sequence[Mapping[str, float]],
    *,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> None:
    """Write the four panels as a PNG.

    Args:
      path: the file to write, whole or not at all.
      history: one record per update, in order; each holds the metrics' names and
        may hold `update`. A metric that no record holds says so in its panel.
      before, after: evaluations {"success", "interval": [low, high]}, drawn as bands
        behind the training curve of success.
    """
    layout = ConstrainedLayoutEngine(w_pad=0.16, h_pad=0.14)
    figure = Figure(figsize=(11, 6.6), dpi=144, facecolor="white", layout=layout)
    for axes, panel in zip(figure.subplots(2, 2).flat, PANELS):
        _draw(axes, panel, history)
        if panel.key == "success":
            _draw_evaluation(axes, before, "before", MUTED)
            _draw_evaluation(axes, after, "after", panel.colour)
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png")


def smooth(values: np.ndarray, keep: float = SMOOTHING) -> np.ndarray:
    """The bias-corrected exponential average of `values` [N]; NaNs carry no weight."""
    total, weight = 0.0, 0.0
    averages = []
    for value in values:
        total, weight = keep * total, keep * weight
        if np.isfinite(value):
            total, weight = total + (1 - keep) * value, weight + (1 - keep)
        averages.append(total / weight if weight else np.nan)
    return np.asarray(averages)


def _draw(axes: Axes, panel: Panel, history: Sequence[Mapping[str, float]]) -> None:
    """One metric: the measured points faint, their average on top."""
    _style(axes, panel)
    values = np.asarray([row.get(panel.key, np.nan) for row in history], float)
    if not np.isfinite(values).any():
        axes.text(0.5, 0.5, "not recorded", color=MUTED, ha="center", va="center")
        axes.set(xlim=(0, 1), ylim=(0, 1))
        return
    updates = [row.get("update", index + 1) for index, row in enumerate(history)]
    axes.plot(updates, values, "o-", color=panel.colour, alpha=0.3, lw=1, ms=2.5)
    axes.plot(updates, smooth(values), color=panel.colour, lw=2.2)
    if panel.key == "success":
        axes.set_ylim(0, 1)
    elif np.nanmin(values) >= 0:
        axes.set_ylim(bottom=0)


def _style(axes: Axes, panel: Panel) -> None:
    """Title at the left, horizontal grid only, no box."""
    axes.set_title(
        panel.title, loc="left", color=INK, fontsize=13, fontweight="bold", pad=22
    )
    axes.annotate(
        panel.subtitle,
        (0, 1),
        (0, 8),
        xycoords="axes fraction",
        textcoords="offset points",
        fontsize=9.5,
        color=MUTED,
    )
    axes.set_xlabel("update", color=MUTED, fontsize=9.5)
    axes.tick_params(colors=MUTED, labelsize=9.5, length=0)
    axes.grid(axis="y", color=GRID, linewidth=0.9)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(GRID)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True))
    if panel.percent:
        axes.yaxis.set_major_formatter(PercentFormatter(xmax=1))


def _draw_evaluation(
    axes: Axes, evaluation: Mapping[str, Any] | None, label: str, colour: str
) -> None:
    """An evaluation as a dashed line inside its 95 % interval."""
    if evaluation is None:
        return
    success, (low, high) = evaluation["success"], evaluation["interval"]
    axes.axhspan(low, high, color=colour, alpha=0.1, linewidth=0)
    axes.axhline(success, color=colour, linewidth=1.2, linestyle=(0, (5, 3)))
    axes.annotate(
        f"{label}\n{success:.0%}",
        (1, success),
        (6, 0),
        xycoords=("axes fraction", "data"),
        textcoords="offset points",
        va="center",
        fontsize=9.5,
        color=colour,
    )
