"""Categories from files: known ones recoloured, rescaled or fixed, and new ones.

LIBERO-PRO and LIBERO-Plus, and users, name objects such as `yellow_plate`. A table maps
each name to its base; `data/category_variants.json` holds theirs, and a file of the
same form extends it:

    {"big_red_plate": {"base": "plate", "colour": "#c01818", "scale": 1.3},
     "tin": {"base": "cylinder", "size": [0.03, 0.12], "fixed": true},
     "tea_box": {"parts": [...], "materials": {...}}}

A row with `parts` is a record of a new category, see `category_records`; rows may have
it as their base. The fields of other rows:

`base`: a category, or `box` or `cylinder` with `size` in m (x, y, z; radius, height).
`colour`: "#rrggbb", of the whole object. `scale`: of all lengths; the density stays, so
that mass grows with its third power and inertia with its fifth. `fixed`: it does not
move. `stand_in`: its true shape is unknown; a warning names it where it is used.
"""

import hashlib
import json
import re
from pathlib import Path
from typing import Any, Mapping, NamedTuple

from omnivla_jax.sim.assets import category_records, shape_changes
from omnivla_jax.sim.assets.category import Category, Material
from omnivla_jax.sim.assets.json_fields import CategoryError, is_number
from omnivla_jax.sim.assets.objects import CATEGORIES, MATERIALS, register

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


class CategoryRecord(NamedTuple):
    """One row of the table that is a whole category, see `category_records`."""

    text: str  # JSON
    source: str  # the file that it is from


Table = tuple[tuple[str, CategoryVariant | CategoryRecord], ...]  # by name; hashable

_REGISTERED: dict[str, str] = {}  # category -> its description, in this process


def table(extra: str | Path | Mapping[str, Any] | None = None) -> Table:
    """The rows of this package's table and of a user's, which replace its own.

    Args:
      extra: a JSON file, or its contents as a mapping.

    Raises:
      CategoryError: naming file, row and key.
    """
    rows, source, shipped = _read(TABLE), str(TABLE), set(CATEGORIES)
    if extra is not None:
        given = dict(extra) if isinstance(extra, Mapping) else _read(Path(extra))
        source = "categories" if isinstance(extra, Mapping) else str(extra)
        for name in given:
            if name.lower() in shipped:
                raise CategoryError(f"{source}: {name!r} is LIBERO's own: rename it.")
        rows = {**rows, **given}
    known = {*shipped, *PRIMITIVES, *(name.lower() for name in rows)}
    parsed: dict[str, CategoryVariant | CategoryRecord] = {}
    for name, row in rows.items():
        if isinstance(row, Mapping) and "parts" in row:
            record = CategoryRecord(json.dumps(row), source)
            category = _parse_record(name.lower(), record)[0]
            if category.grasp_like not in (name.lower(), *shipped):
                known_names = ", ".join(sorted(shipped))
                raise CategoryError(
                    f"{source}: {name!r}.grasp_like: unknown {category.grasp_like!r}: "
                    f"choose one of {known_names}."
                )
            parsed[name.lower()] = record
        else:
            parsed[name.lower()] = _variant(source, name, row, known)
    for name in parsed:
        _check_chain(source, name, parsed)
    return tuple(parsed.items())


def resolve(name: str, rows: Table) -> str | None:
    """The category of `CATEGORIES` that `name` stands for, or None.

    A row's category is made at its first use. It is called as the row is; where two
    tables disagree about a name, the second gets its description's hash behind it.

    Args:
      name: a category that a task file names.
      rows: the table.
    """
    if name in CATEGORIES:
        return name
    row = dict(rows).get(name)
    if row is None:
        return None
    if isinstance(row, CategoryRecord):
        key = row.text
    else:
        base = row.base
        if base not in PRIMITIVES:
            resolved = resolve(base, rows)
            assert resolved is not None, f"{name!r} has the unknown base {base!r}"
            base = resolved
        key = f"{base} {row}"
    if _REGISTERED.get(name, key) != key:
        name = f"{name}#{hashlib.sha1(key.encode()).hexdigest()[:8]}"
    if name in _REGISTERED:
        return name
    if isinstance(row, CategoryRecord):
        register(name, *_parse_record(name, row))
    else:
        register(name, _make_variant(name, row, base), {})
    _REGISTERED[name] = key
    return name


def stands_in(name: str, rows: Table) -> bool:
    """Whether the true shape of category `name` is not known here."""
    row = dict(rows).get(name)
    return isinstance(row, CategoryVariant) and name not in CATEGORIES and row.stand_in


def _parse_record(
    name: str, record: CategoryRecord
) -> tuple[Category, dict[str, Material]]:
    """The category of a record; its materials are called `{name}/{material}`."""
    row, shared = json.loads(record.text), tuple(MATERIALS)
    return category_records.parse(
        name, row, record.source, shared=shared, prefix=f"{name}/"
    )


def _make_variant(name: str, variant: CategoryVariant, base: str) -> Category:
    if base in PRIMITIVES:
        category = shape_changes.solid(name, base, variant.size)
    else:
        category = CATEGORIES[base]
    if variant.scale != 1.0:
        category = shape_changes.scaled(category, variant.scale)
    if variant.fixed and not category.fixture:
        category = shape_changes.pinned(category)
    if variant.colour:
        category = shape_changes.painted(category, variant.colour)
    return category


def _read(path: Path) -> dict[str, Any]:
    path = path.expanduser()
    try:
        rows = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise CategoryError(f"{path}: {error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        raise CategoryError(f"{path}: no UTF-8 text: {error.reason}.") from error
    except json.JSONDecodeError as error:
        raise CategoryError(f"{path}:{error.lineno}: no JSON: {error.msg}.") from error
    if not isinstance(rows, dict):
        raise CategoryError(
            f"{path}: expected {{name: {{...}}}}, got a {type(rows).__name__}."
        )
    return rows


def _variant(source: str, name: str, row: Any, known: set[str]) -> CategoryVariant:
    """One row, checked."""

    def fail(message: str) -> None:
        raise CategoryError(f"{source}: {name!r}: {message}")

    if isinstance(row, CategoryVariant):
        row = row._asdict()
    if not isinstance(row, Mapping):
        fail(f'expected {{"base": ...}}, got a {type(row).__name__}.')
    wrong = sorted(set(row) - set(CategoryVariant._fields) - {"color"})
    if wrong:
        fail(f"unknown fields {wrong}: it takes {list(CategoryVariant._fields)}.")
    base = str(row.get("base", "")).lower()
    if base not in known:
        listed = ", ".join(sorted({*CATEGORIES, *PRIMITIVES}))
        fail(
            f"unknown base {base!r}: choose one of {listed}, or a row of this table; "
            "a new category has parts instead."
        )
    colour = _hex(row.get("colour", row.get("color")) or "")
    if colour and not _COLOUR.fullmatch(colour):
        fail(f'colour {colour!r}: it takes "#rrggbb" or [r, g, b] in [0, 1].')
    scale, (low, high) = row.get("scale", 1.0), _SCALES
    if not is_number(scale) or not low <= scale <= high:
        fail(f"scale {scale!r}: it takes a number from {low} to {high}.")
    for flag in ("fixed", "stand_in"):
        if not isinstance(row.get(flag, False), bool):
            fail(f"{flag} {row[flag]!r}: it takes true or false.")
    size, count, (low, high) = row.get("size") or (), PRIMITIVES.get(base, 0), _SIZES
    numbers = isinstance(size, (list, tuple)) and all(map(is_number, size))
    if not numbers or len(size) != count or not all(low <= v <= high for v in size):
        what = f"{count} lengths from {low} to {high} m" if count else "none"
        fail(f"size {size!r}: base {base!r} takes {what}.")
    return CategoryVariant(
        base=base,
        colour=colour,
        scale=float(scale),
        fixed=row.get("fixed", False),
        stand_in=row.get("stand_in", False),
        size=tuple(float(value) for value in size),
    )


def _check_chain(
    source: str, name: str, rows: Mapping[str, CategoryVariant | CategoryRecord]
) -> None:
    """Refuse rows that are their own base."""
    chain, row = [name], rows[name]
    while isinstance(row, CategoryVariant) and row.base not in CATEGORIES:
        if row.base in chain:
            raise CategoryError(
                f"{source}: {' -> '.join([*chain, row.base])} has no end."
            )
        if row.base not in rows:
            return
        chain.append(row.base)
        row = rows[row.base]


def _hex(colour: Any) -> str:
    """`colour` as #rrggbb where it is three numbers in [0, 1]."""
    numbers = isinstance(colour, (list, tuple)) and all(map(is_number, colour))
    if numbers and len(colour) == 3 and all(0 <= value <= 1 for value in colour):
        return "#" + "".join(f"{round(255 * value):02x}" for value in colour)
    return str(colour).lower()
