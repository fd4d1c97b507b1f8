"""Writes report.html: the whole run on one page that needs no network and no server."""

from pathlib import Path
from typing import Any, Mapping, Sequence

from experiments.reporting import page
from experiments.reporting.files import replacing
from experiments.reporting.progress import duration

TITLE = "OmniVLA-RL"
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
        "interval", "episodes"}}}; what else is missing is left out of the page.
      history: one record of metrics per RL update.
      curve: the PNG that `curves.save` wrote.
      videos: captions and the mp4 files that `video.write_mp4` wrote.

    Raises:
      FileNotFoundError: a picture or video is not there.
    """
    films = [page.film(file, caption) for caption, file in (videos or {}).items()]
    body = "\n".join(
        [
            _headline(results),
            page.section(
                "Success by task",
                _tasks(results),
                _language(results),
                _diverged(results),
            ),
            page.section("What it looks like", *films),
            page.section("Online learning", _learning(history, curve)),
            page.section("Time", *_time(results)),
            page.section("Settings", *_settings(results)),
        ]
    )
    with replacing(path) as temporary:
        temporary.write_text(page.document(TITLE, body), encoding="utf-8")


def _headline(results: Mapping[str, Any]) -> str:
    """The two numbers this is about, and what they are numbers of."""
    before, after = results["before"], results["after"]
    episodes = page.text(results.get("episodes", "the"))
    return (
        f"<h1>{TITLE}: flow matching, then Flow-GSPO</h1>\n"
        f'<p class="headline"><span class="from">{page.percent(before["success"])}'
        f'</span> <span class="arrow">→</span> '
        f'<span class="to">{page.percent(after["success"])}</span></p>\n'
        f"<p>Success over {episodes} evaluation episodes on initial states that "
        f"training never saw, {_changed(before, after)}.</p>"
        f'<p class="muted">{_circumstances(results)}</p>'
    )


def _changed(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """The difference in points, and whether the intervals overlap."""
    points = 100 * (after["success"] - before["success"])
    (low, high), (low_after, high_after) = before["interval"], after["interval"]
    overlap = low_after <= high and low <= high_after
    verb = "overlap" if overlap else "do not overlap"
    return f"{points:+.0f} points; the 95&#8201;% Wilson intervals {verb}"


def _circumstances(results: Mapping[str, Any]) -> str:
    """Wall time, device and seed in one line."""
    wall = results.get("wall_seconds", {}).get("total")
    parts = [
        f"{duration(wall)} in all" if wall is not None else "",
        page.text(results.get("device", "")),
        f"seed {page.text(results['seed'])}" if "seed" in results else "",
    ]
    return " · ".join(part for part in parts if part)


def _tasks(results: Mapping[str, Any]) -> str:
    """The table before/after, a row for each task and one for all of them."""
    before, after = results["before"], results["after"]
    earlier, later = before.get("per_task", {}), after.get("per_task", {})
    names = list({**earlier, **later})
    rows = [_row(name, earlier.get(name), later.get(name)) for name in names]
    total = {"episodes": results.get("episodes", "")}
    rows.append(_row("all tasks", {**before, **total}, {**after, **total}, "total"))
    head = [
        "<th>Task</th>",
        '<th class="number">Episodes</th>',
        '<th class="number">Before</th>',
        '<th class="number">After</th>',
        "<th>0 to 100&#8201;%: before above, after below</th>",
    ]
    return page.table(head, rows)


def _row(
    name: str,
    before: Mapping[str, Any] | None,
    after: Mapping[str, Any] | None,
    kind: str = "",
) -> str:
    """One line of the table: name, episodes, both estimates, both intervals."""
    episodes = (after or before or {}).get("episodes", "")
    return (
        f'<tr class="{kind}"><td>{page.text(name)}</td>'
        f'<td class="number">{page.text(episodes)}</td>'
        f'<td class="number">{page.estimate(before)}</td>'
        f'<td class="number">{page.estimate(after)}</td>'
        f'<td class="interval">{page.intervals(before, after)}</td></tr>'
    )


def _language(results: Mapping[str, Any]) -> str:
    """How much success is left when the instructions are swapped between tasks."""
    swapped = results.get("swapped_instructions")
    if not swapped:
        return ""
    if "skipped" in swapped:
        reason = page.text(swapped["skipped"])
        return f"<p>The instructions were not swapped: {reason}.</p>"
    return (
        "<p>With the instructions swapped between tasks, success is "
        f"<b>{page.estimate(swapped)}</b>: the words matter.</p>"
        if swapped["success"] < results["after"]["success"] / 2
        else "<p>With the instructions swapped between tasks, success is still "
        f"<b>{page.estimate(swapped)}</b>.</p>"
    )


def _diverged(results: Mapping[str, Any]) -> str:
    """How many episodes of each evaluation broke off; they count as failures."""
    evaluations = {
        "before": results["before"],
        "after": results["after"],
        "with swapped instructions": results.get("swapped_instructions") or {},
    }
    counted = ", ".join(
        f"{page.text(found['diverged'])} {when}"
        for when, found in evaluations.items()
        if "diverged" in found
    )
    if not counted:
        return ""
    return (
        f'<p class="muted">Diverged episodes, which count as failures: {counted}.</p>'
    )


def _learning(history: Sequence[Mapping[str, float]], curve: Path | None) -> str:
    """The curves, and the last update's numbers in words."""
    if not history:
        return ""
    last = ", ".join(
        f"{name.replace('_', ' ')} {history[-1][name]:.3g}"
        for name in LAST_METRICS
        if name in history[-1]
    )
    diverged = sum(row.get("diverged", 0) for row in history)
    words = (
        f'<p class="muted">{len(history)} updates; the last one: {last}. '
        f"Diverged episodes in all of them: {diverged:.0f}.</p>"
    )
    alternative = f"success, reward, clipped fraction and KL; last: {last}"
    return (page.picture(curve, alternative) if curve else "") + words


def _time(results: Mapping[str, Any]) -> list[str]:
    """Wall time of each phase, and where the time of the RL step goes."""
    phases = {k: v for k, v in results.get("wall_seconds", {}).items() if k != "total"}
    split = results.get("time_split", {})
    parts = []
    if sum(phases.values()) > 0:
        parts += ["<p>Wall time of each phase</p>", page.seconds_bar(phases)]
    if sum(split.values()) > 0:
        parts += ["<p><br>Inside one RL update</p>", page.share_bar(split)]
    return parts


def _settings(results: Mapping[str, Any]) -> list[str]:
    """Configuration and versions, folded away."""
    titles = {"config": "Configuration", "versions": "Versions"}
    return [
        page.details(title, page.pairs(results[key]))
        for key, title in titles.items()
        if results.get(key)
    ]
