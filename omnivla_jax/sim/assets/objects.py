"""The known categories of objects and fixtures, and their materials.

`data/categories` holds a file for each of LIBERO's (MIT): inertia, regions, joints,
articulation and initial rotation as LIBERO has them, fewer collision shapes fitted to
LIBERO's (`experiments.benchmarks.geometry` measures how far), and visual shapes of our
own. `category_records` describes the format, `category_variants` adds categories from a
user's file.
"""

import json
from collections import ChainMap
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
            category, owned = category_records.parse(name, record, str(path))
            categories[name] = category
            for key, material in owned.items():
                if materials.setdefault(key, material) != material:
                    raise CategoryError(
                        f"{path}: {name!r}.materials.{key}: another file has another."
                    )
    return categories, materials


_listed, MATERIALS = _load()
CATEGORIES = Categories(_listed)
# Materials of LIBERO's categories, then of those of users' files.
ALL_MATERIALS = ChainMap(MATERIALS, dict[str, Material]())


def register(name: str, category: Category, materials: Mapping[str, Material]) -> None:
    """Let `name` be looked up in CATEGORIES, and its materials in ALL_MATERIALS.

    Args:
      name: of the category, new.
      category: its record.
      materials: those that its shapes name and no other category has.
    """
    CATEGORIES.derived[name] = category
    ALL_MATERIALS.maps[1].update(materials)
