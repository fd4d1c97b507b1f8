"""LIBERO-Plus' own variants, by their names, as perturbations.

Exact where the original's numbers are known: camera, initial joints, noise, how many
objects are added, and how far regions move at most. Light values, pictures of surfaces,
meshes and places of added objects, directions of moved regions and the wording of
instructions are not public or not copied: a draw from our ranges, seeded by the
variant's name, stands in for them. Axes: N variants, K kinds.
"""

import json
import math
import zlib
from pathlib import Path
from typing import Any, NamedTuple, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from omnivla_jax.sim.libero import libero_plus
from omnivla_jax.sim.libero.libero_plus import Variant
from omnivla_jax.sim.state import Scene
from omnivla_jax.world.perturbations import (
    images,
    kinds,
    language,
    layout,
    perturbation,
)
from omnivla_jax.world.perturbations import robot as robots
from omnivla_jax.world.perturbations.camera import CameraShift
from omnivla_jax.world.perturbations.perturbation import Perturbation

# The field of a name, the dimension that it is counted under, what stands in for it.
FIELDS: dict[str, tuple[str, str]] = {
    "light": ("light", "light values from our ranges"),
    "table": ("background", "procedural surfaces"),
    "tb": ("background", "procedural surfaces and walls"),
    "add": ("layout", "primitives at places of our own"),
    "level": ("layout", "directions of our own"),
    "language": ("language", "words from our templates"),
    "noise": ("noise", ""),
    "initstate": ("robot", ""),
    "view": ("camera", ""),
}
_NOMINAL_VIEW = (0, 0, 100, 0, 0)
_ADDED_A_SLOT = 6  # `_add_A` adds ceil(A / 6) objects
_LEVELS = 5
_SEED = 0x1B05


class OfficialVariant(NamedTuple):
    """One task of LIBERO-Plus."""

    name: str
    task: int  # row of the suite
    variant: Variant

    @property
    def dimension(self) -> str:
        """The dimension that it is counted under; "" for LIBERO's own task."""
        return next((FIELDS[field][0] for field in self.changes), "")

    @property
    def stand_in(self) -> str:
        """What stands in for data that are not public; "" where it is exact."""
        texts = [FIELDS[field][1] for field in self.changes]
        return "; ".join(text for text in texts if text)

    @property
    def changes(self) -> tuple[str, ...]:
        """The fields of the name that change something."""
        given = self.variant._asdict()
        nominal = {"view": _NOMINAL_VIEW, "initstate": 0, "noise": 0}
        return tuple(
            field for field in FIELDS if given[field] not in (None, nominal.get(field))
        )


def read_names(path: Path, suite: str) -> list[str]:
    """The names of a suite's variants: of `task_classification.json`, or line by line.

    Raises:
      ValueError: the file holds none of the suite.
    """
    text = Path(path).expanduser().read_text(encoding="utf-8-sig")
    if Path(path).suffix == ".json":
        rows: Any = json.loads(text)
        listed = rows.get(suite, []) if isinstance(rows, dict) else rows
        names = [row["name"] if isinstance(row, dict) else str(row) for row in listed]
    else:
        names = [line.strip() for line in text.splitlines() if line.strip()]
    if not names:
        raise ValueError(
            f"{path} lists no variants of {suite}: give LIBERO-Plus' "
            "task_classification.json, or a text file with a name in each line."
        )
    return names


def variants(scene: Scene, names: Sequence[str]) -> list[OfficialVariant]:
    """Find the task of every name.

    Raises:
      ValueError: a name whose task the suite does not hold, or numbers that the
        original does not have.
    """
    rows = {task.name: row for row, task in enumerate(scene.tasks)}
    listed = []
    for name in names:
        parsed = libero_plus.parse_name(name)
        base = parsed.base.removesuffix("_moved")
        if base not in rows:
            raise ValueError(
                f"{name!r} is a variant of {base!r}, which {scene.name} does not hold: "
                "leave it out, or choose its suite by --suite."
            )
        _check(name, parsed.variant)
        listed.append(OfficialVariant(name, rows[base], parsed.variant))
    return listed


def perturbations(scene: Scene, listed: Sequence[OfficialVariant]) -> Perturbation:
    """The perturbation of every variant.

    Args:
      scene: the static tables, with `layout.DISTRACTORS` as extras.
      listed: N variants.

    Returns:
      Leaves [N, ...].
    """
    rows = [one.variant for one in listed]
    seeds = jnp.array([zlib.crc32(one.name.encode()) for one in listed], jnp.uint32)
    keys = jax.vmap(lambda seed: jax.random.fold_in(jax.random.key(_SEED), seed))(seeds)
    active, severity = zip(*map(_stand_in_kinds, rows))
    drawn = perturbation.draw_in_turn(
        scene, keys, jnp.array(active), jnp.array(severity, jnp.float32)
    )
    goal = [
        (
            robots.published_offsets()[one.initstate - 1]
            if one.initstate
            else np.zeros(7)
        )
        for one in rows
    ]
    views = np.array([_signed_view(one.view or _NOMINAL_VIEW) for one in rows], float)
    phrase = [_phrase(one.language) for one in rows]
    number = jnp.array([one.noise or images.NO_CORRUPTION for one in rows], jnp.int32)
    return drawn._replace(
        camera=CameraShift(*jnp.asarray(views.T, jnp.float32)),
        robot=drawn.robot._replace(goal=jnp.asarray(np.array(goal), jnp.float32)),
        phrase=jnp.array(phrase, jnp.int32),
        noise=drawn.noise._replace(number=number),
    )


def _stand_in_kinds(variant: Variant) -> tuple[np.ndarray, float]:
    """Which kinds are drawn for a variant, and how severe."""
    active, severity = np.zeros(len(kinds.KINDS), bool), 1.0
    names = []
    if variant.light is not None:
        names.append("light")
    if variant.table is not None:
        names.append("background.surface")
    if variant.tb is not None:
        names.append("background")
    if variant.add is not None:
        names.append("layout.distractors")
        added = math.ceil(variant.add / _ADDED_A_SLOT)
        severity = added / layout.MAX_DISTRACTORS
    if variant.level is not None:
        names.append("layout.displacement")
        severity = variant.level / _LEVELS
    if names:
        active[list(kinds.rows(names))] = True
    return active, severity


def _signed_view(view: tuple[int, ...]) -> list[int]:
    """H, V, S, R, E with angles in -180 to 179 degrees; S stays per cent."""
    turned = [(number + 180) % 360 - 180 for number in view]
    turned[2] = view[2]
    return turned


def _phrase(number: int | None) -> int:
    """The phrase that stands in for rewording N: forms take turns as N goes on."""
    if number is None:
        return language.OWN_WORDS
    form, row = (number - 1) % len(language.FORMS), (number - 1) // len(language.FORMS)
    return 1 + language.PER_FORM * form + row % language.PER_FORM


def _check(name: str, variant: Variant) -> None:
    limits = {"initstate": (0, robots.COUNT), "noise": (0, 50), "level": (1, _LEVELS)}
    limits |= {"add": (1, layout.MAX_DISTRACTORS * _ADDED_A_SLOT)}
    for field, (low, high) in limits.items():
        value = getattr(variant, field)
        if value is not None and not low <= value <= high:
            raise ValueError(
                f"{name!r} has {field} {value}: LIBERO-Plus has {low} to {high}."
            )
