"""Generates task files of known categories, regions and predicates, put together anew.

Each file has one arena of LIBERO's, one or two fixtures or containers where they can be
reached, some movable objects on a grid that keeps them apart, and one or two goals that
go together. Lengths in m, relative to the middle of the workspace.
"""

from typing import NamedTuple

import numpy as np

_HALF = 0.015  # of the rectangle in which an object starts
_DRAWERS = ("top", "middle", "bottom")
_GROCERIES = ("alphabet_soup", "tomato_sauce", "butter", "cream_cheese",
              "chocolate_pudding", "ketchup", "milk", "orange_juice",
              "new_salad_dressing")  # fmt: skip
_MUGS = ("porcelain_mug", "white_yellow_mug", "red_coffee_mug")
_BOWLS = ("akita_black_bowl", "white_bowl")


class Receptacle(NamedTuple):
    """A fixture or container and where it stands."""

    category: str
    x: float
    y: float
    yaw: float
    fixture: bool


class ArenaParts(NamedTuple):
    """What can be put together in one arena."""

    problem: str
    workspace: str
    receptacle: tuple[Receptacle, ...]
    objects: tuple[str, ...]
    cells: tuple[tuple[float, float], ...]


class Composition(NamedTuple):
    """One task file."""

    name: str
    text: str


_ARENAS = (
    ArenaParts(
        "LIBERO_Kitchen_Tabletop_Manipulation",
        "kitchen_table",
        (
            Receptacle("wooden_cabinet", 0.0, -0.3, np.pi, True),
            Receptacle("white_cabinet", 0.0, 0.3, 0.0, True),
            Receptacle("flat_stove", -0.2, 0.22, 0.0, True),
            Receptacle("wooden_two_layer_shelf", 0.0, -0.25, np.pi, True),
        ),
        (*_BOWLS, *_MUGS, "plate", "butter", "chocolate_pudding", "moka_pot"),
        ((-0.15, 0.05), (0.0, 0.06), (0.12, 0.08), (-0.08, -0.07), (0.08, -0.05)),
    ),
    ArenaParts(
        "LIBERO_Living_Room_Tabletop_Manipulation",
        "living_room_table",
        (
            Receptacle("basket", 0.0, 0.26, 0.0, False),
            Receptacle("wooden_tray", 0.0, 0.26, 0.0, False),
            Receptacle("plate", 0.05, 0.22, 0.0, False),
        ),
        (*_GROCERIES, *_BOWLS, *_MUGS),
        ((-0.2, -0.2), (-0.05, -0.22), (0.1, -0.2), (-0.15, -0.02), (0.05, -0.03)),
    ),
    ArenaParts(
        "LIBERO_Study_Tabletop_Manipulation",
        "study_table",
        (
            Receptacle("desk_caddy", -0.2, -0.14, np.pi, True),
            Receptacle("wooden_two_layer_shelf", 0.0, 0.28, 0.0, True),
        ),
        ("black_book", "yellow_book", *_MUGS, "plate"),
        ((0.0, -0.2), (-0.02, 0.02), (0.12, -0.08), (0.14, 0.08)),
    ),
)


def generate(count: int, seed: int) -> list[Composition]:
    """Make `count` task files, each from its own number under `seed`."""
    return [_compose(np.random.default_rng((seed, row)), row) for row in range(count)]


def _compose(rng: np.random.Generator, row: int) -> Composition:
    while True:
        arena = _ARENAS[rng.integers(len(_ARENAS))]
        receptacle = arena.receptacle[rng.integers(len(arena.receptacle))]
        count = int(rng.integers(2, len(arena.cells) + 1))
        cells = rng.permutation(len(arena.cells))[:count]
        kinds = [arena.objects[k] for k in rng.integers(len(arena.objects), size=count)]
        names = [f"{kind}_{kinds[:k].count(kind) + 1}" for k, kind in enumerate(kinds)]
        if receptacle.category == "plate" and "plate" in kinds:
            continue
        init, goals = _goals(rng, receptacle, names)
        if goals:
            break
    places = [(receptacle.x, receptacle.y), *(arena.cells[cell] for cell in cells)]
    sizes = [0.01] + [_HALF] * count
    instances = [f"{receptacle.category}_1", *names]
    yaws = [receptacle.yaw] + [0.0] * count
    regions = "\n".join(
        _region(arena.workspace, f"{name}_init_region", place, half, yaw)
        for name, place, half, yaw in zip(instances, places, sizes, yaws, strict=True)
    )
    starts = [f"(On {name} {arena.workspace}_{name}_init_region)" for name in instances]
    declared = f"{receptacle.category}_1 - {receptacle.category}"
    objects = [f"{name} - {kind}" for name, kind in zip(names, kinds, strict=True)]
    if not receptacle.fixture:
        objects.append(declared)
    fixtures = [f"{arena.workspace} - {arena.workspace}"]
    fixtures += [declared] if receptacle.fixture else []
    text = f"""(define (problem {arena.problem})
  (:domain robosuite)
  (:language composition {row}: {' and '.join(g.lower() for g in goals)})
  (:regions
{regions}
  )
  (:fixtures {' '.join(fixtures)})
  (:objects {' '.join(objects)})
  (:obj_of_interest {' '.join(instances)})
  (:init {' '.join([*starts, *(f'({one})' for one in init)])})
  (:goal (And {' '.join(f'({one})' for one in goals)}))
)
"""
    return Composition(f"composition_{row:03d}", text)


def _region(
    workspace: str, name: str, place: tuple[float, float], half: float, yaw: float
) -> str:
    x, y = place
    return (
        f"    ({name} (:target {workspace}) (:ranges (({x - half:.4f} {y - half:.4f} "
        f"{x + half:.4f} {y + half:.4f}))) (:yaw_rotation (({yaw} {yaw}))))"
    )


def _goals(
    rng: np.random.Generator, receptacle: Receptacle, names: list[str]
) -> tuple[list[str], list[str]]:
    """Joints at the start, and goals; none where the objects do not allow any."""
    one = f"{receptacle.category}_1"
    chosen = names[rng.integers(len(names))]
    kind = chosen.rsplit("_", 1)[0]
    plates = [name for name in names if name.startswith("plate")]
    if kind == "plate":
        return [], []
    if plates and rng.random() < 0.5:
        return [], [f"On {chosen} {plates[0]}"]
    match receptacle.category:
        case "wooden_cabinet" | "white_cabinet":
            level = _DRAWERS[rng.integers(3)]
            drawer = f"{one}_{level}_region"
            way = rng.integers(4)
            if way == 0:
                return [], [f"Open {drawer}"]
            if way == 1:
                return [f"Open {drawer}"], [f"Close {drawer}"]
            if way == 2 and kind in (*_BOWLS, "butter", "chocolate_pudding"):
                close = [f"Close {drawer}"] if rng.random() < 0.5 else []
                return [f"Open {drawer}"], [f"In {chosen} {drawer}", *close]
            return [], [f"On {chosen} {one}_top_side"]
        case "flat_stove":
            way = rng.integers(3)
            if way == 0:
                return [f"Turnon {one}"], [f"Turnoff {one}"]
            turn = [f"Turnon {one}"] if way == 1 or kind in _MUGS else []
            put = [f"On {chosen} {one}_cook_region"] if way == 2 else []
            return [], [*turn, *put] or [f"Turnon {one}"]
        case "wooden_two_layer_shelf":
            level = ("top", "bottom")[rng.integers(2)]
            if kind.endswith("book") and (kind, level) != ("black_book", "bottom"):
                return [], [f"In {chosen} {one}_{level}_region"]
            return [], [f"On {chosen} {one}_top_side"]
        case "desk_caddy":
            if not kind.endswith("book"):
                return [], []
            side = ("front", "back", "left", "right")[rng.integers(4)]
            return [], [f"In {chosen} {one}_{side}_contain_region"]
        case "plate":
            return [], [f"On {chosen} {one}"] if kind in (*_MUGS, *_BOWLS) else []
    if receptacle.category == "wooden_tray" or kind in _GROCERIES:
        return [], [f"In {chosen} {one}_contain_region"]
    return [], []
