"""Categories of others that are a known one recoloured, rescaled or fixed.

LIBERO-PRO and LIBERO-Plus, and users, name objects such as `yellow_plate`. A table maps
each name to its base; `data/category_variants.json` holds theirs, and a file of the
same form extends it:

    {"big_red_plate": {"base": "plate", "colour": "#c01818", "scale": 1.3},
     "tin": {"base": "cylinder", "size": [0.03, 0.12], "fixed": true}}

`base`: a category, or `box` or `cylinder` with `size` in m (x, y, z; radius, height).
`colour`: "#rrggbb", of the whole object. `scale`: of all lengths; the density stays, so
that mass goes with its third power and inertia with its fifth. `fixed`: it does not
move. `stand_in`: nobody here knows its true shape; said once where it is used.
"""

import hashlib
import json
import re
from pathlib import Path
from typing import Any, Mapping, NamedTuple

import numpy as np

from omnivla_jax.sim.assets import shape_changes
from omnivla_jax.sim.assets.objects import ARTICULATIONS, CATEGORIES

TABLE = Path(__file__).parents[1] / "data" / "category_variants.json"
PRIMITIVES = {"box": 3, "cylinder": 2}  # how many numbers their size has
_COLOUR = re.compile(r"#[0-9a-f]{6}")
_SCALES, _SIZES = (0.1, 10.0), (0.002, 1.0)  # sensible ones; sizes in m


class CategoryVariant(NamedTuple):
    """One row of the table."""

    base: str
    colour: str = ""  # "#rrggbb"; "": the base's colours
    scale: float = 1.0
    fixed: bool = False
    stand_in: bool = False
    size: tuple[float, ...] = ()  # m, of a box or cylinder


Table = tuple[tuple[str, CategoryVariant], ...]  # a name and its row; hashable


_BUILT: dict[str, str] = {}  # category -> its description, in this process


class TableError(ValueError):
    """A table of categories that cannot be used: which file and row, and why."""


def table(extra: str | Path | Mapping[str, Any] | None = None) -> Table:
    """The rows of this package's table and of a user's, which replace its own.

    Args:
      extra: a JSON file, or its contents as a mapping.

    Raises:
      TableError: naming file and row.
    """
    rows = _read(TABLE)
    if extra is not None:
        own = dict(extra) if isinstance(extra, Mapping) else _read(Path(extra))
        source = "categories" if isinstance(extra, Mapping) else str(extra)
        for name in own:
            if name.lower() in CATEGORIES:
                raise TableError(f"{source}: {name!r} is LIBERO's own: rename it.")
        rows = {**rows, **own}
    else:
        source = str(TABLE)
    known = {*CATEGORIES, *PRIMITIVES, *(name.lower() for name in rows)}
    parsed = {n.lower(): _variant(source, n, row, known) for n, row in rows.items()}
    for name in parsed:
        _check_chain(source, name, parsed)
    return tuple(parsed.items())


def resolve(name: str, rows: Table) -> str | None:
    """The category of `CATEGORIES` that `name` stands for, or None.

    A variant is built at its first use. Its category is called as it is; where two
    tables disagree about a name, the second gets its description's hash behind it.
    """
    if name in CATEGORIES:
        return name
    variant = dict(rows).get(name)
    if variant is None:
        return None
    base = variant.base
    if base not in PRIMITIVES:
        found = resolve(base, rows)
        assert found is not None, f"{name!r} has the unknown base {base!r}"
        base = found
    key = f"{base} {variant}"
    if _BUILT.get(name, key) != key:
        name = f"{name}#{hashlib.sha1(key.encode()).hexdigest()[:8]}"
    if name not in _BUILT:
        _register(name, variant, base)
        _BUILT[name] = key
    return name


def stands_in(name: str, rows: Table) -> bool:
    """Whether the true shape of category `name` is not known here."""
    variant = dict(rows).get(name)
    return variant is not None and name not in CATEGORIES and variant.stand_in


def _register(name: str, variant: CategoryVariant, base: str) -> None:
    if base in PRIMITIVES:
        category, drawn = shape_changes.solid(base, variant.size)
    else:
        category, drawn = CATEGORIES[base], shape_changes.drawn(base)
        CATEGORIES.bases[name] = CATEGORIES.base(base)
        if base in ARTICULATIONS:
            moved = shape_changes.scaled_articulation(base, variant.scale)
            ARTICULATIONS[name] = moved
    if variant.scale != 1.0:
        category = shape_changes.scaled(category, variant.scale)
        drawn = shape_changes.scaled_looks(drawn, variant.scale)
    if variant.fixed and not category.fixture:
        quaternion = shape_changes.resting_orientation(base)
        category = shape_changes.pinned(category, quaternion)
        drawn = shape_changes.turned_looks(drawn, quaternion)
    if variant.colour:
        drawn = shape_changes.painted(drawn, variant.colour)
    CATEGORIES.derived[name] = category
    shape_changes.register_looks(name, drawn)


def _read(path: Path) -> dict[str, Any]:
    path = path.expanduser()
    try:
        found = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise TableError(f"{path}: {error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        raise TableError(f"{path}: no UTF-8 text: {error.reason}.") from error
    except json.JSONDecodeError as error:
        raise TableError(f"{path}:{error.lineno}: no JSON: {error.msg}.") from error
    if not isinstance(found, dict):
        raise TableError(f"{path}: expected {{name: {{...}}}}, got a {_kind(found)}.")
    return found


def _variant(source: str, name: str, row: Any, known: set[str]) -> CategoryVariant:
    """One row, checked."""

    def fail(message: str) -> None:
        raise TableError(f"{source}: {name!r}: {message}")

    if isinstance(row, CategoryVariant):
        row = row._asdict()
    if not isinstance(row, Mapping):
        fail(f"expected {{\"base\": ...}}, got a {_kind(row)}.")
    wrong = sorted(set(row) - set(CategoryVariant._fields) - {"color"})
    if wrong:
        fail(f"unknown fields {wrong}: it takes {list(CategoryVariant._fields)}.")
    base = str(row.get("base", "")).lower()
    if base not in known:
        listed = ", ".join(sorted({*CATEGORIES, *PRIMITIVES}))
        fail(f"unknown base {base!r}: choose one of {listed}, or a row of this table.")
    colour = _hex(row.get("colour", row.get("color")) or "")
    if colour and not _COLOUR.fullmatch(colour):
        fail(f'colour {colour!r}: it takes "#rrggbb" or [r, g, b] in [0, 1].')
    scale, (low, high) = row.get("scale", 1.0), _SCALES
    if not _is_number(scale) or not low <= scale <= high:
        fail(f"scale {scale!r}: it takes a number from {low} to {high}.")
    for flag in ("fixed", "stand_in"):
        if not isinstance(row.get(flag, False), bool):
            fail(f"{flag} {row[flag]!r}: it takes true or false.")
    size, count = row.get("size") or (), PRIMITIVES.get(base, 0)
    numbers = isinstance(size, (list, tuple)) and all(map(_is_number, size))
    if not numbers or len(size) != count or not all(_fits(v) for v in size):
        what = f"{count} lengths from {_SIZES[0]} to {_SIZES[1]} m" if count else "none"
        fail(f"size {size!r}: base {base!r} takes {what}.")
    return CategoryVariant(
        base=base,
        colour=colour,
        scale=float(scale),
        fixed=row.get("fixed", False),
        stand_in=row.get("stand_in", False),
        size=tuple(float(value) for value in size),
    )


def _check_chain(source: str, name: str, rows: dict[str, CategoryVariant]) -> None:
    seen, at = [name], rows[name].base
    while at in rows and at not in CATEGORIES:
        if at in seen:
            raise TableError(f"{source}: {' -> '.join([*seen, at])} has no end.")
        seen.append(at)
        at = rows[at].base


def _hex(colour: Any) -> str:
    """`colour` as #rrggbb where it is three numbers in [0, 1]."""
    numbers = isinstance(colour, (list, tuple)) and all(map(_is_number, colour))
    if numbers and len(colour) == 3 and all(0 <= value <= 1 for value in colour):
        return "#" + "".join(f"{round(255 * value):02x}" for value in colour)
    return str(colour).lower()


def _is_number(value: Any) -> bool:
    real = isinstance(value, (int, float)) and not isinstance(value, bool)
    return real and bool(np.isfinite(value))


def _fits(value: float) -> bool:
    return _SIZES[0] <= value <= _SIZES[1]


def _kind(value: Any) -> str:
    return type(value).__name__
