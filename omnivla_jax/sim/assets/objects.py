"""The known categories of objects and fixtures, and their materials.

`data/categories` holds a file for each of LIBERO's (MIT): collision shapes, inertia,
regions and joints as `experiments/fit_geometry.py` derives them, articulation and
initial rotation as LIBERO has them, and visual shapes of our own. `category_records`
describes the format, `category_variants` adds categories from a user's file.
"""

import json
from pathlib import Path
from typing import Mapping

from omnivla_jax.sim.assets import category_records
from omnivla_jax.sim.assets.category import PLAIN, Category, Material
from omnivla_jax.sim.assets.json_fields import CategoryError

FOLDER = Path(__file__).parents[1] / "data" / "categories"


class Categories(dict[str, Category]):
    """LIBERO's categories by name; those of `derived` are found, but not listed."""

    def __init__(self, listed: Mapping[str, Category]):
        super().__init__(listed)
        self.derived: dict[str, Category] = {}

    def __missing__(self, name: str) -> Category:
        return self.derived[name]


def _load() -> tuple[dict[str, Category], dict[str, Material]]:
    categories: dict[str, Category] = {}
    materials: dict[str, Material] = {PLAIN: Material((0.55, 0.40, 0.26))}
    for path in sorted(FOLDER.glob("*.json")):
        for name, record in json.loads(path.read_text("utf-8")).items():
            categories[name], own = category_records.parse(name, record, str(path))
            for key, material in own.items():
                if materials.setdefault(key, material) != material:
                    raise CategoryError(
                        f"{path}: {name!r}.materials.{key}: another file has another."
                    )
    return categories, materials


_listed, MATERIALS = _load()
CATEGORIES = Categories(_listed)
DERIVED_MATERIALS: dict[str, Material] = {}  # of the categories of users' files


def register(name: str, category: Category, materials: Mapping[str, Material]) -> None:
    """Let `name` be found in CATEGORIES, and its materials by `find_material`."""
    CATEGORIES.derived[name] = category
    DERIVED_MATERIALS.update(materials)


def find_material(name: str) -> Material:
    """The material called `name`, of LIBERO's categories or of a user's.

    Raises:
      KeyError: there is none.
    """
    return MATERIALS[name] if name in MATERIALS else DERIVED_MATERIALS[name]
