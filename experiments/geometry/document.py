"""The text of a category's file: the shapes, inertia, joints and regions in its record.

What else the record holds (visuals, materials, articulation) stays as it is.

Lengths in m, masses in kg, angles in rad, quaternions wxyz, nine significant digits.
"""

import json
from typing import Any, Iterable, Mapping

import numpy as np

from experiments.geometry import mass
from experiments.geometry.recorded import Category, Part, Shapes

# What the recording does not state: LIBERO compiled weighs its microwave's door so.
MICROWAVE_DOOR_MASS = 0.26
EXPLICIT = mass.Inertia(3.0, np.zeros(3), np.ones(3), np.array([1.0, 0, 0, 0]))
LINE = 88

Fitted = Mapping[str, tuple[Shapes, ...]]  # by category, one entry a part


def text(
    categories: Mapping[str, Category],
    fitted: Fitted,
    records: Mapping[str, Mapping[str, Any]] | None = None,
) -> str:
    """The file for `categories`, colliding as the shapes in `fitted`.

    Args:
      categories: the recorded geometry, by name.
      fitted: the shapes of each category, one entry a part.
      records: what the files hold now, of which the rest is kept.
    """
    table = {}
    for name, category in sorted(categories.items()):
        record = _category(category, fitted[name])
        old: Mapping[str, Any] = (records or {}).get(name, {})
        parts = record.pop("parts")
        for part, old_part in zip(parts, old.get("parts", ())):
            part |= {key: value for key, value in old_part.items() if key not in part}
        rest = {key: value for key, value in old.items() if key not in record}
        table[name] = record | rest | {"parts": parts}
    return _lines(table, "") + "\n"


def part_inertia(part: Part) -> mass.Inertia:
    """The inertia of a moving part: stated by LIBERO, or that of its shapes."""
    if part.explicit_mass:
        return EXPLICIT
    return mass.scaled(mass.inertia(part.shapes), MICROWAVE_DOOR_MASS)


def _category(category: Category, shapes: tuple[Shapes, ...]) -> dict[str, Any]:
    table: dict[str, Any] = {"fixture": category.fixture}
    if not category.fixture:
        table |= _inertia(mass.inertia(category.parts[0].shapes))
    table |= {
        "bottom": category.bottom,
        "top": category.top,
        "radius": category.radius,
        "parts": [_part(part, shape) for part, shape in zip(category.parts, shapes)],
    }
    return table


def _part(part: Part, shapes: Shapes) -> dict[str, Any]:
    table: dict[str, Any] = {
        "name": part.name,
        "position": _numbers(part.frame.position),
        "quaternion": _numbers(part.frame.quaternion),
        "joint": None,
    }
    if part.joint:
        joint = part.joint._asdict()
        if any(joint.pop("position")):
            raise ValueError(f"{part.name}: its joint is not at its body's origin.")
        table |= {"joint": joint, **_inertia(part_inertia(part))}
    return table | {
        "boxes": [_numbers(row) for row in shapes.boxes],
        "capsules": [_numbers(row) for row in shapes.capsules],
        "regions": {
            name: {key: _numbers(x) for key, x in part.regions[name]._asdict().items()}
            for name in sorted(part.regions)
        },
    }


def _inertia(value: mass.Inertia) -> dict[str, Any]:
    return {
        "mass": _numbers([value.mass])[0],
        "center": _numbers(value.center),
        "inertia": _numbers(value.inertia),
        "inertia_quaternion": _numbers(value.quaternion),
    }


def _numbers(values: Iterable[float]) -> list[float]:
    return [0.0 if abs(value) < 1e-12 else float(f"{value:.9g}") for value in values]


def _lines(value: Any, indent: str) -> str:
    """`value` as JSON: on one line where it fits or is a row of numbers."""
    flat = json.dumps(value)
    row = isinstance(value, list) and value and not isinstance(value[0], (list, dict))
    if row or not value or not isinstance(value, (list, dict)):
        return flat
    if len(indent) + len(flat) < LINE:
        return flat
    inner = indent + " "
    if isinstance(value, list):
        items = [_lines(item, inner) for item in value]
        return "[\n" + ",\n".join(inner + item for item in items) + f"\n{indent}]"
    items = [f"{json.dumps(key)}: {_lines(item, inner)}" for key, item in value.items()]
    return "{\n" + ",\n".join(inner + item for item in items) + f"\n{indent}}}"
