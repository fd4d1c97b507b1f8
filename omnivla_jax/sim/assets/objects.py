"""The categories of objects and fixtures: shapes, inertias, regions and joints.

`data/objects.json` holds what `experiments/fit_geometry.py` derives from LIBERO's
collision boxes (MIT). Lengths in m, mass in kg, inertia in kg m^2, angles in rad,
quaternions wxyz.
"""

import functools
import json
import math
from pathlib import Path
from typing import Any, Mapping, NamedTuple

from omnivla_jax.sim.assets.primitives import Primitive, box, capsule

Vector = tuple[float, float, float]
Quaternion = tuple[float, float, float, float]
UPRIGHT: Quaternion = (1.0, 0.0, 0.0, 0.0)
_DATA = Path(__file__).parents[1] / "data" / "objects.json"


class Region(NamedTuple):
    """A box-shaped site that goals refer to, in its body's frame."""

    position: Vector
    half_size: Vector
    quaternion: Quaternion = UPRIGHT


class Joint(NamedTuple):
    """The one joint of a moving fixture part."""

    kind: str  # "slide" or "hinge"
    axis: Vector
    range: tuple[float, float]
    damping: float


class Inertia(NamedTuple):
    """Mass, centre of mass and principal moments of a body."""

    mass: float
    center: Vector
    moments: Vector
    quaternion: Quaternion


class Part(NamedTuple):
    """A body of a category; the first is its root and has an empty name."""

    name: str  # LIBERO's joint name, such as "top_level"
    collision: tuple[Primitive, ...]
    regions: dict[str, Region]
    joint: Joint | None
    inertia: Inertia | None  # None: welded to the world
    position: Vector
    quaternion: Quaternion


class Category(NamedTuple):
    """A kind of object (free) or fixture (welded to the world where it is sampled)."""

    fixture: bool
    parts: tuple[Part, ...]
    bottom: float  # z of LIBERO's bottom_site, on which placement rests
    top: float  # z of its top_site
    radius: float  # LIBERO's horizontal_radius
    # An object that does not move: a fixture whose `bottom` is its lowest point.
    pinned: bool = False


class Categories(dict[str, Category]):
    """LIBERO's categories by name; what `derived` holds is found, but not listed."""

    def __init__(self, listed: Mapping[str, Category]):
        super().__init__(listed)
        self.derived: dict[str, Category] = {}
        self.bases: dict[str, str] = {}  # derived name -> its base category

    def __missing__(self, name: str) -> Category:
        return self.derived[name]

    def base(self, name: str) -> str:
        """LIBERO's category behind a derived one, or `name` itself."""
        return self.bases.get(name, name)


class Articulation(NamedTuple):
    """LIBERO's ranges of a joint for each word a BDDL file can say of it.

    Initial states are drawn from them, and goals hold beyond their nearer ends.
    """

    open: tuple[float, float] | None = None
    close: tuple[float, float] | None = None
    turnon: tuple[float, float] | None = None
    turnoff: tuple[float, float] | None = None


_CABINET = Articulation(open=(-0.16, -0.14), close=(0.0, 0.005))
# LIBERO: `libero/envs/objects/articulated_objects.py`.
ARTICULATIONS: dict[str, Articulation] = {
    "wooden_cabinet": _CABINET,
    "white_cabinet": _CABINET,
    "microwave": Articulation(open=(-2.094, -1.3), close=(-0.005, 0.0)),
    "flat_stove": Articulation(turnon=(0.5, 2.1), turnoff=(-0.005, 0.0)),
}

# The angle about x from which LIBERO starts a category. It writes (x, y, z, w) where
# MuJoCo reads (w, x, y, z), so that an angle a "about x" becomes a yaw of pi - a.
_QUARTER = math.pi / 2
_ABOUT_X: dict[str, tuple[float, float]] = {
    "butter": (0.0, 0.0),
    "chocolate_pudding": (0.0, 0.0),
    "cream_cheese": (0.0, 0.0),
    "wine_bottle": (0.0, 0.0),
    "moka_pot": (0.0, 0.0),
    "black_book": (-_QUARTER, -_QUARTER / 2),
    "red_coffee_mug": (-_QUARTER, -_QUARTER),
    "porcelain_mug": (-_QUARTER, -_QUARTER),
    "white_yellow_mug": (-_QUARTER, -_QUARTER),
}
# Upright bottles and cartons; cans, of which LIBERO turns "z".
_BOTH_AXES: Quaternion = (0.5, 0.5, 0.5, 0.5)
_ABOUT_Z: Quaternion = (0.0, 0.0, math.sqrt(0.5), math.sqrt(0.5))
_FIXED: dict[str, Quaternion] = {
    "alphabet_soup": _ABOUT_Z,
    "tomato_sauce": _ABOUT_Z,
    "ketchup": _BOTH_AXES,
    "milk": _BOTH_AXES,
    "orange_juice": _BOTH_AXES,
    "salad_dressing": _BOTH_AXES,
}


def start_orientation(category: str) -> tuple[Quaternion, tuple[float, float]]:
    """LIBERO's initial orientation: a quaternion and a range of yaw before it."""
    category = CATEGORIES.base(category)
    if category in _FIXED:
        return _FIXED[category], (0.0, 0.0)
    low, high = _ABOUT_X.get(category, (_QUARTER, _QUARTER))
    return UPRIGHT, (math.pi - high, math.pi - low)


def _load() -> dict[str, Category]:
    table = json.loads(_DATA.read_text())
    return {name: _category(name, row) for name, row in table.items()}


def _category(name: str, row: Mapping[str, Any]) -> Category:
    return Category(
        fixture=row["fixture"],
        parts=tuple(
            _part(name, part, row if not part["name"] else part)
            for part in row["parts"]
        ),
        bottom=row["bottom"],
        top=row["top"],
        radius=row["radius"],
    )


def _part(category: str, row: Mapping[str, Any], weight: Mapping[str, Any]) -> Part:
    boxes = [box(v[:3], v[7:], category, v[3:7]) for v in row["boxes"]]
    rods = [capsule(v[:3], v[3:6], v[6], category) for v in row.get("capsules", ())]
    joint, mass = row["joint"], weight.get("mass")
    return Part(
        name=row["name"],
        collision=tuple(boxes + rods),
        regions={name: _region(site) for name, site in row["regions"].items()},
        joint=joint
        and Joint(
            joint["kind"], _vector(joint["axis"]), _pair(joint), joint["damping"]
        ),
        inertia=None if mass is None else _inertia(weight),
        position=_vector(row["position"]),
        quaternion=_quaternion(row["quaternion"]),
    )


def _inertia(row: Mapping[str, Any]) -> Inertia:
    return Inertia(
        row["mass"],
        _vector(row["center"]),
        _vector(row["inertia"]),
        _quaternion(row["inertia_quaternion"]),
    )


def _region(row: Mapping[str, Any]) -> Region:
    return Region(
        _vector(row["position"]),
        _vector(row["half_size"]),
        _quaternion(row["quaternion"]),
    )


def _pair(joint: Mapping[str, Any]) -> tuple[float, float]:
    low, high = joint["range"]
    return low, high


def _vector(values: list[float]) -> Vector:
    x, y, z = values
    return x, y, z


def _quaternion(values: list[float]) -> Quaternion:
    w, x, y, z = values
    return w, x, y, z


CATEGORIES = Categories(_load())


@functools.lru_cache(maxsize=None)
def moving_parts(category: str) -> tuple[str, ...]:
    """The names of the jointed parts of a fixture."""
    return tuple(part.name for part in CATEGORIES[category].parts if part.joint)
