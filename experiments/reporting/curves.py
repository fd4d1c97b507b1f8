"""Draws learning curves: one run's four metrics, or several runs in one picture.

Axes: N updates, P points of a common grid, S seeds.
"""

from pathlib import Path
from typing import Any, Mapping, NamedTuple, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import EngFormatter, MaxNLocator, PercentFormatter

from experiments.reporting.files import replacing

INK, MUTED, GRID = "#1d2430", "#6b7280", "#e5e7eb"
# Of runs in one picture, in their order.
COLOURS = "#0f766e #b45309 #7c3aed #be123c #1d4ed8 #4d7c0f #a21caf #475569".split()
SMOOTHING = 0.8  # of the exponential average drawn over the measured points
END_SPACING = 0.02  # between evaluations after the last update, of the curves' length

Rows = Sequence[Mapping[str, float]]  # one record per update, in order
Evaluation = Mapping[str, Any]  # {"success", "interval": [low, high]}


class Panel(NamedTuple):
    """The picture of one metric."""

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
# Rewards of compared runs have different weights; this raw term is comparable.
COMPARED = (
    PANELS[0]._replace(
        subtitle="lines: exploring; dots and dashes: held-out episodes, 95 % intervals"
    ),
    Panel("reward_alignment", "Alignment", "raw reward term, mean", "#b45309", False),
)


def save(
    path: Path,
    history: Rows,
    *,
    before: Evaluation | None = None,
    after: Evaluation | None = None,
) -> None:
    """Write four panels, one per metric, as a PNG.

    Measured points are faint below their exponential average.

    Args:
      path: the file to write, whole or not at all.
      history: one record per update, in order; each holds the metrics' names and
        may hold `update`. The panel of a metric that no record holds says so.
      before, after: evaluations {"success", "interval": [low, high]}, drawn as bands
        behind the training curve of success.
    """
    figure = _figure(11, 6.6)
    updates = [row.get("update", index + 1) for index, row in enumerate(history)]
    for axes, panel in zip(figure.subplots(2, 2).flat, PANELS):
        _style(axes, panel)
        values = np.asarray([row.get(panel.key, np.nan) for row in history], float)
        if not np.isfinite(values).any():
            axes.text(0.5, 0.5, "not recorded", color=MUTED, ha="center", va="center")
            axes.set(xlim=(0, 1), ylim=(0, 1))
        else:
            axes.plot(
                updates, values, "o-", color=panel.colour, alpha=0.3, lw=1, ms=2.5
            )
            axes.plot(updates, smooth(values), color=panel.colour, lw=2.2)
            if panel.key == "success":
                axes.set_ylim(0, 1)
            elif np.nanmin(values) >= 0:
                axes.set_ylim(bottom=0)
        if panel.key == "success":
            bands = (before, "before", MUTED), (after, "after", panel.colour)
            shown = [band[0]["success"] for band in bands if band[0] is not None]
            for evaluation, label, colour in bands:
                if evaluation is not None:
                    _draw_level(axes, label, evaluation, colour)
                    success = evaluation["success"]
                    axes.annotate(
                        f"{label} {success:.0%}",
                        (1, success),
                        (6, 0),
                        xycoords=("axes fraction", "data"),
                        textcoords="offset points",
                        # Apart, however close the two are.
                        va="bottom" if success == max(shown) else "top",
                        fontsize=9.5,
                        color=colour,
                    )
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png")


def compare(
    path: Path,
    runs: Mapping[str, Sequence[Rows]],
    *,
    levels: Mapping[str, Evaluation] | None = None,
    ends: Mapping[str, Evaluation] | None = None,
) -> None:
    """Write several runs' curves in one picture, a panel per metric of `COMPARED`.

    A line is the mean over a run's seeds of their smoothed curves; its band spans the
    lowest to the highest seed, over the updates that all seeds have.

    Args:
      path: the PNG to write, whole or not at all.
      runs: name -> the history of each seed. A metric that a run lacks is left out.
      levels: name -> the evaluation of a policy without RL, a horizontal line.
      ends: name -> a run's evaluation after its last update, a dot on its interval.

    Raises:
      ValueError: there is nothing to draw, or more than there are colours.
    """
    levels, ends = levels or {}, ends or {}
    names = [*runs, *levels]
    if not 1 <= len(names) <= len(COLOURS):
        raise ValueError(f"{len(names)} runs to compare: give 1 to {len(COLOURS)}.")
    colours = dict(zip(names, COLOURS))
    figure = _figure(5.8 * len(COMPARED), 4.6)
    for axes, panel in zip(figure.subplots(1, len(COMPARED)), COMPARED):
        _style(axes, panel)
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        for name, histories in runs.items():
            _draw_seeds(axes, name, histories, panel.key, colours[name])
        if panel.key == "success":
            for name, evaluation in levels.items():
                _draw_level(axes, name, evaluation, colours[name])
            start, stop = axes.dataLim.intervalx
            for place, (name, evaluation) in enumerate(ends.items(), 1):
                x = stop + END_SPACING * place * (stop - start)
                interval, colour = evaluation["interval"], colours[name]
                axes.vlines(x, *interval, color=colour, lw=1.2, alpha=0.6)
                axes.plot(x, evaluation["success"], "o", color=colour, ms=5)
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
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png")


def by_amount(
    path: Path, lines: Mapping[str, Mapping[int, Evaluation]], *, label: str
) -> None:
    """Write success against an amount that doubles, a line for each name.

    Args:
      path: the PNG to write, whole or not at all.
      lines: name -> the evaluation at each amount, at most as many as colours.
      label: what the amount counts.
    """
    figure = _figure(6.4, 4.4)
    axes = figure.subplots()
    _style(axes, PANELS[0]._replace(subtitle="of held-out episodes, 95 % intervals"))
    for (name, evaluations), colour in zip(lines.items(), COLOURS):
        amounts = sorted(evaluations)
        shares = [evaluations[amount]["success"] for amount in amounts]
        low, high = zip(*(evaluations[amount]["interval"] for amount in amounts))
        axes.fill_between(amounts, low, high, color=colour, alpha=0.14, linewidth=0)
        axes.plot(amounts, shares, "o-", color=colour, lw=2.2, ms=5, label=name)
        axes.set_xscale("log", base=2)
        axes.set_xticks(amounts, [str(amount) for amount in amounts])
    axes.set_xlabel(label, color=MUTED, fontsize=9.5)
    axes.set_ylim(0, 1)
    axes.legend(frameon=False, labelcolor=INK, loc="lower right")
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png")


def seed_curves(columns: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Interpolate smoothed curves on a common grid.

    Args:
      columns: of each seed float [2, N]: positions, rising, and values.

    Returns:
      Positions [P], all within the part that every seed has, and values [S, P].
    """
    low = max(positions[0] for positions, _ in columns)
    high = min(positions[-1] for positions, _ in columns)
    every = np.unique(np.concatenate([positions for positions, _ in columns]))
    grid = every[(low <= every) & (every <= high)]
    curves = [np.interp(grid, xs, smooth(values)) for xs, values in columns]
    return grid, np.stack(curves)


def smooth(values: np.ndarray, decay: float = SMOOTHING) -> np.ndarray:
    """The bias-corrected exponential average of `values` [N]; NaNs carry no weight."""
    total, weight = 0.0, 0.0
    averages = []
    for value in values:
        total, weight = decay * total, decay * weight
        if np.isfinite(value):
            total, weight = total + (1 - decay) * value, weight + (1 - decay)
        averages.append(total / weight if weight else np.nan)
    return np.asarray(averages)


def _figure(width: float, height: float) -> Figure:
    """An empty figure, width and height in inches."""
    layout = ConstrainedLayoutEngine(w_pad=0.16, h_pad=0.14)
    return Figure(figsize=(width, height), dpi=144, facecolor="white", layout=layout)


def _style(axes: Axes, panel: Panel) -> None:
    """Title at the left, horizontal grid only, no box, updates below."""
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


def _draw_seeds(
    axes: Axes, name: str, histories: Sequence[Rows], key: str, colour: str
) -> None:
    """Draw one run's metric: the mean over its seeds, inside the band they span."""
    columns = []
    for history in histories:
        pairs = [
            (r["update"], r[key]) for r in history if np.isfinite(r.get(key, np.nan))
        ]
        if pairs:
            columns.append(np.asarray(pairs, float).T)
    if columns:
        grid, values = seed_curves(columns)
        low, high = values.min(axis=0), values.max(axis=0)
        axes.fill_between(grid, low, high, color=colour, alpha=0.14, linewidth=0)
        axes.plot(grid, values.mean(axis=0), color=colour, lw=2.2, label=name)


def _draw_level(axes: Axes, name: str, evaluation: Evaluation, colour: str) -> None:
    """Draw a success rate as a dashed line inside its 95 % interval."""
    axes.axhspan(*evaluation["interval"], color=colour, alpha=0.1, linewidth=0)
    success, dashes = evaluation["success"], (0, (5, 3))
    axes.axhline(success, color=colour, lw=1.2, linestyle=dashes, label=name)
