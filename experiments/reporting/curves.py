"""Draws learning curves: one run's four metrics, or several runs in one picture.

Axes: N updates, P points of a common grid, S seeds.
"""

from pathlib import Path
from typing import Any, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import EngFormatter

from experiments.reporting import panels
from experiments.reporting.files import replacing
from experiments.reporting.panels import COMPARED, INK, MUTED, PANELS, Panel

# Of runs that are compared.
COLOURS = "#0f766e #b45309 #7c3aed #be123c #1d4ed8 #4d7c0f #a21caf #475569".split()

ENDS_APART = 0.02  # of the curves' length

Rows = Sequence[Mapping[str, float]]  # one record per update, in order
Evaluation = Mapping[str, Any]  # {"success", "interval": [low, high]}


def save(
    path: Path,
    history: Rows,
    *,
    before: Evaluation | None = None,
    after: Evaluation | None = None,
) -> None:
    """Write the four panels as a PNG.

    Args:
      path: the file to write, whole or not at all.
      history: one record per update, in order; each holds the metrics' names and
        may hold `update`. A metric that no record holds says so in its panel.
      before, after: evaluations {"success", "interval": [low, high]}, drawn as bands
        behind the training curve of success.
    """
    figure = _figure(11, 6.6)
    for axes, panel in zip(figure.subplots(2, 2).flat, PANELS):
        _draw(axes, panel, history)
        if panel.key == "success":
            _draw_evaluation(axes, before, "before", MUTED)
            _draw_evaluation(axes, after, "after", panel.colour)
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png")


def compare(
    path: Path,
    runs: Mapping[str, Sequence[Rows]],
    *,
    shown: Sequence[Panel] = COMPARED,
    x: str = "update",
    x_label: str | None = None,
    levels: Mapping[str, Evaluation] | None = None,
    ends: Mapping[str, Evaluation] | None = None,
) -> None:
    """Write several runs' curves in one picture, a panel for each metric.

    A line is the mean over a run's seeds of their smoothed curves; its band reaches
    from the lowest to the highest seed, over the part of the axis that all have seen.

    Args:
      path: the PNG to write, whole or not at all.
      runs: name -> the history of each seed. A metric that a run lacks is left out.
      shown: which metrics.
      x: the column that is the horizontal axis, for example environment steps.
      x_label: what it is called; by default its name.
      levels: name -> the evaluation of what does not learn, drawn across the panel of
        success.
      ends: name -> a run's evaluation after its last update, drawn there.

    Raises:
      ValueError: there is nothing to draw, or more than the eight colours can tell.
    """
    levels, ends = levels or {}, ends or {}
    colours = _colours([*runs, *levels])
    figure = _figure(5.8 * len(shown), 4.6)
    grid = figure.subplots(1, len(shown), squeeze=False)[0]
    for axes, panel in zip(grid, shown):
        panels.style(axes, panel, x_label or x.replace("_", " "))
        _draw_runs(axes, runs, (x, panel.key), colours)
        if panel.key == "success":
            _draw_outcomes(axes, levels, ends, colours)
    _legend(figure, list(colours))
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png")


def seed_curves(columns: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Smoothed curves on a common grid: positions [P] and values [S, P].

    Args:
      columns: of each seed float [2, N]: positions, rising, and values. The grid holds
        every position within the part that all seeds have seen.
    """
    low = max(positions[0] for positions, _ in columns)
    high = min(positions[-1] for positions, _ in columns)
    every = np.unique(np.concatenate([positions for positions, _ in columns]))
    grid = every[(low <= every) & (every <= high)]
    values = [np.interp(grid, at, panels.smooth(seen)) for at, seen in columns]
    return grid, np.stack(values)


def _figure(width: float, height: float) -> Figure:
    """An empty one, in inches."""
    layout = ConstrainedLayoutEngine(w_pad=0.16, h_pad=0.14)
    return Figure(figsize=(width, height), dpi=144, facecolor="white", layout=layout)


def _colours(names: Sequence[str]) -> dict[str, str]:
    """A colour for each run, in their order."""
    if not 1 <= len(names) <= len(COLOURS):
        raise ValueError(f"{len(names)} runs to compare: give 1 to {len(COLOURS)}.")
    return dict(zip(names, COLOURS))


def _draw_runs(
    axes: Axes,
    runs: Mapping[str, Sequence[Rows]],
    columns: tuple[str, str],
    colours: Mapping[str, str],
) -> None:
    """One metric of every run, over the column that is the horizontal axis."""
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    for name, histories in runs.items():
        seeds = [_column(history, *columns) for history in histories]
        _draw_seeds(axes, name, seeds, colours[name])


def _draw_outcomes(
    axes: Axes,
    levels: Mapping[str, Evaluation],
    ends: Mapping[str, Evaluation],
    colours: Mapping[str, str],
) -> None:
    """Levels across the panel; ends beside the last update, in their order."""
    for name, evaluation in levels.items():
        panels.level(axes, name, evaluation, colours[name])
    start, stop = axes.dataLim.intervalx
    for place, (name, evaluation) in enumerate(ends.items(), 1):
        x = stop + ENDS_APART * place * (stop - start)
        panels.end(axes, x, evaluation, colours[name])


def _legend(figure: Figure, names: Sequence[str]) -> None:
    """One legend for all panels, below them, in the order of `names`."""
    drawn = {line.get_label(): line for axes in figure.axes for line in axes.lines}
    known = [name for name in names if name in drawn]
    figure.legend(
        [drawn[name] for name in known],
        known,
        loc="outside lower center",
        ncols=min(max(len(known), 1), 4),
        frameon=False,
        labelcolor=INK,
    )


def _column(history: Rows, x: str, key: str) -> np.ndarray:
    """Positions and values of one metric where it was recorded, [2, N]."""
    pairs = [(row[x], row[key]) for row in history if np.isfinite(row.get(key, np.nan))]
    return np.asarray(pairs, float).reshape(-1, 2).T


def _draw_seeds(
    axes: Axes, name: str, columns: Sequence[np.ndarray], colour: str
) -> None:
    """One run: the mean over seeds, inside the band that they span."""
    recorded = [column for column in columns if column.size]
    if not recorded:
        return
    grid, values = seed_curves(recorded)
    low, high = values.min(axis=0), values.max(axis=0)
    axes.fill_between(grid, low, high, color=colour, alpha=0.14, linewidth=0)
    axes.plot(grid, values.mean(axis=0), color=colour, lw=2.2, label=name)


def _draw(axes: Axes, panel: Panel, history: Rows) -> None:
    """One metric: the measured points faint, their average on top."""
    panels.style(axes, panel, "update")
    values = np.asarray([row.get(panel.key, np.nan) for row in history], float)
    if not np.isfinite(values).any():
        axes.text(0.5, 0.5, "not recorded", color=MUTED, ha="center", va="center")
        axes.set(xlim=(0, 1), ylim=(0, 1))
        return
    updates = [row.get("update", index + 1) for index, row in enumerate(history)]
    axes.plot(updates, values, "o-", color=panel.colour, alpha=0.3, lw=1, ms=2.5)
    axes.plot(updates, panels.smooth(values), color=panel.colour, lw=2.2)
    if panel.key == "success":
        axes.set_ylim(0, 1)
    elif np.nanmin(values) >= 0:
        axes.set_ylim(bottom=0)


def _draw_evaluation(
    axes: Axes, evaluation: Evaluation | None, label: str, colour: str
) -> None:
    """An evaluation as a dashed line inside its 95 % interval."""
    if evaluation is None:
        return
    success = evaluation["success"]
    panels.level(axes, label, evaluation, colour)
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
