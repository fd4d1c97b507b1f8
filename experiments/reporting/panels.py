"""What the panels of learning curves share: their metrics, style and smoothing.

Axes: N updates.
"""

from typing import Any, Mapping, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, PercentFormatter

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

# Of runs that are compared: their rewards are scaled differently, the raw term is not.
_EXPLAINED = "lines: exploring; dots and dashes: held-out episodes, 95 % intervals"
COMPARED = (
    PANELS[0]._replace(subtitle=_EXPLAINED),
    Panel("reward_alignment", "Alignment", "raw reward term, mean", "#b45309", False),
)


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


def style(axes: Axes, panel: Panel, x_label: str) -> None:
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
    axes.set_xlabel(x_label, color=MUTED, fontsize=9.5)
    axes.tick_params(colors=MUTED, labelsize=9.5, length=0)
    axes.grid(axis="y", color=GRID, linewidth=0.9)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(GRID)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True))
    if panel.percent:
        axes.yaxis.set_major_formatter(PercentFormatter(xmax=1))


def end(axes: Axes, x: float, evaluation: Mapping[str, Any], colour: str) -> None:
    """What a run came to: a dot on its 95 % interval, at `x`."""
    axes.vlines(x, *evaluation["interval"], color=colour, lw=1.2, alpha=0.6)
    axes.plot(x, evaluation["success"], "o", color=colour, ms=5)


def level(axes: Axes, name: str, evaluation: Mapping[str, Any], colour: str) -> None:
    """What does not learn: a dashed line inside its 95 % interval."""
    axes.axhspan(*evaluation["interval"], color=colour, alpha=0.1, linewidth=0)
    success, dashes = evaluation["success"], (0, (5, 3))
    axes.axhline(success, color=colour, lw=1.2, linestyle=dashes, label=name)
