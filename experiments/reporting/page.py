"""Pieces of an HTML page: escaped text, tables, interval pictures, embedded media.

Every function returns HTML that is safe to place in a page: text that came from
outside goes through `text` before it meets a tag.
"""

import base64
import html
from pathlib import Path
from typing import Any, Mapping, Sequence

from experiments.reporting.progress import duration

COLOURS = 8  # classes c0 to c7 of the style sheet
STYLE = Path(__file__).with_name("style.css")


def document(title: str, body: str) -> str:
    """A whole page that needs nothing but itself."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{text(title)}</title>\n<style>\n{STYLE.read_text('utf-8')}</style>\n"
        f"</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def text(value: Any) -> str:
    """A value as escaped text."""
    return html.escape(str(value))


def percent(share: float) -> str:
    """A share in [0, 1] as a whole percentage."""
    return f"{share:.0%}".replace("%", "&#8201;%")


def estimate(evaluation: Mapping[str, Any] | None) -> str:
    """A success rate and, smaller, its 95 % interval."""
    if evaluation is None:
        return "–"
    interval = evaluation.get("interval")
    rate = percent(evaluation["success"])
    if interval is None:
        return rate
    return f"{rate} <small>{interval[0]:.0%} to {interval[1]:.0%}</small>"


def intervals(before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> str:
    """Two success rates with their intervals on one axis from 0 to 100 %."""
    marks = "".join(
        _mark(evaluation, name, height)
        for evaluation, name, height in ((before, "before", 8), (after, "after", 18))
        if evaluation is not None
    )
    axis = "".join(
        f'<line class="axis" x1="{x}%" x2="{x}%" y1="0" y2="26"/>'
        for x in (0, 25, 50, 75, 100)
    )
    return f'<svg role="img" aria-label="success from 0 to 100 %">{axis}{marks}</svg>'


def _mark(evaluation: Mapping[str, Any], name: str, height: int) -> str:
    """One rate as a dot on the line of its interval."""
    low, high = evaluation.get("interval", [evaluation["success"]] * 2)
    place = f'y1="{height}" y2="{height}"'
    return (
        f'<line class="range {name}" x1="{low:.2%}" x2="{high:.2%}" {place}/>'
        f'<circle class="{name}" cx="{evaluation["success"]:.2%}" cy="{height}" r="4"/>'
    )


def seconds_bar(seconds: Mapping[str, float]) -> str:
    """Durations in seconds as one bar, each with its name, duration and share."""
    whole = sum(seconds.values())
    return _bar({k: (v, f"{duration(v)}, {v / whole:.0%}") for k, v in seconds.items()})


def share_bar(parts: Mapping[str, float]) -> str:
    """Amounts in any unit as shares of their sum."""
    whole = sum(parts.values())
    return _bar({k: (v, f"{v / whole:.0%}") for k, v in parts.items()})


def _bar(parts: Mapping[str, tuple[float, str]]) -> str:
    """A bar of coloured pieces (amount, label) with a key below."""
    pieces, keys = [], []
    for number, (name, (amount, label)) in enumerate(parts.items()):
        colour = f"c{number % COLOURS}"
        pieces.append(f'<i class="{colour}" style="flex:{amount:.6g}"></i>')
        words = text(name.replace("_", " "))
        keys.append(f'<span><i class="{colour}"></i>{words} <b>{label}</b></span>')
    bar = f'<div class="bar">{"".join(pieces)}</div>'
    return f'{bar}<div class="keys">{"".join(keys)}</div>'


def pairs(values: Mapping[str, Any]) -> str:
    """A table of names and values; nested mappings become dotted names."""
    rows = "".join(
        f"<tr><td>{text(name)}</td><td>{text(value)}</td></tr>"
        for name, value in flatten(values)
    )
    return f'<div class="scroll"><table>{rows}</table></div>'


def flatten(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """(dotted name, leaf) pairs of nested mappings, in their own order."""
    leaves: list[tuple[str, Any]] = []
    for name, value in values.items():
        inner = isinstance(value, Mapping) and value
        nested = flatten(value, f"{prefix}{name}.") if inner else None
        leaves.extend(nested or [(f"{prefix}{name}", value)])
    return leaves


def details(summary: str, body: str) -> str:
    """A part of the page that opens on a click."""
    return f"<details><summary>{text(summary)}</summary>{body}</details>"


def section(title: str, *parts: str) -> str:
    """A heading and what belongs to it; nothing where there is nothing to show."""
    body = "\n".join(part for part in parts if part)
    return f"<section>\n<h2>{text(title)}</h2>\n{body}\n</section>" if body else ""


def picture(path: Path, caption: str) -> str:
    """A PNG, embedded."""
    source = _embedded(path, "image/png")
    return f'<figure><img src="{source}" alt="{text(caption)}"></figure>'


def film(path: Path, caption: str) -> str:
    """An mp4, embedded; it plays in a loop."""
    source = _embedded(path, "video/mp4")
    return (
        f"<figure><figcaption>{text(caption)}</figcaption><video controls loop muted "
        f'autoplay playsinline src="{source}"></video></figure>'
    )


def table(head: Sequence[str], rows: Sequence[str]) -> str:
    """A table from head cells and ready-made rows, both HTML."""
    return (
        f'<div class="scroll"><table><thead><tr>{"".join(head)}</tr></thead>'
        f'<tbody>{"".join(rows)}</tbody></table></div>'
    )


def _embedded(path: Path, kind: str) -> str:
    """A file's content as a data URL."""
    return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode('ascii')}"
