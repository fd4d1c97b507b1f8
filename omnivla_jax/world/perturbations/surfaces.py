"""Other surfaces of a room: workspaces and walls by name, and colours of distractors.

LIBERO-Plus covers tables and floors with some fifty scanned materials, three quarters
of whose maps are no photographs but normal, gloss or height maps shown as if they were
(violet and grey), and walls with fifteen styles. None of its pictures is public: these
are procedural stand-ins of the same families. Axes: B environments, m materials.
"""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np

from omnivla_jax.render.types import Material as M
from omnivla_jax.render.types import Materials, make_materials
from omnivla_jax.sim.assets import category_variants
from omnivla_jax.sim.assets.arenas import ARENAS
from omnivla_jax.sim.assets.category import PLAIN
from omnivla_jax.sim.state import Scene
from omnivla_jax.world.materials import material
from omnivla_jax.world.perturbations import kinds
from omnivla_jax.world.perturbations.layout import DISTRACTORS
from omnivla_jax.world.visual_scene import material_names

NOT_CHANGED = -1
# On tables and floors; second colours are joints, threads, grain or relief.
WORKSPACES: dict[str, M] = {
    "brick_red": M((0.58, 0.27, 0.20), (0.78, 0.74, 0.68), "brick", 0.16, 0.05),
    "brick_pale": M((0.72, 0.60, 0.50), (0.50, 0.46, 0.42), "brick", 0.20, 0.05),
    "brick_normal": M((0.50, 0.50, 1.00), (0.74, 0.40, 0.86), "brick", 0.16, 0.05),
    "stone_cliff": M((0.66, 0.48, 0.34), (0.44, 0.31, 0.22), "marble", 0.10, 0.05),
    "stone_cobble": M((0.45, 0.44, 0.42), (0.24, 0.23, 0.22), "pebble", 0.09, 0.1),
    "stone_height": M((0.30, 0.30, 0.30), (0.78, 0.78, 0.78), "pebble", 0.10, 0.0),
    "stone_normal": M((0.50, 0.52, 1.00), (0.42, 0.70, 0.88), "pebble", 0.09, 0.0),
    "marble_white": M((0.90, 0.89, 0.87), (0.58, 0.58, 0.60), "marble", 0.25, 0.5),
    "marble_dark": M((0.16, 0.17, 0.19), (0.52, 0.52, 0.54), "marble", 0.22, 0.5),
    "tiles_blue": M((0.28, 0.46, 0.62), (0.86, 0.86, 0.84), "tile", 0.12, 0.5),
    "tiles_white": M((0.88, 0.88, 0.86), (0.55, 0.55, 0.55), "tile", 0.10, 0.5),
    "tiles_normal": M((0.50, 0.50, 1.00), (0.36, 0.38, 0.78), "tile", 0.12, 0.0),
    "wood_fine": M((0.70, 0.48, 0.29), (0.52, 0.33, 0.18), "wood", 0.07, 0.2),
    "wood_gloss": M((0.62, 0.62, 0.62), (0.40, 0.40, 0.40), "wood", 0.09, 0.2),
    "wood_normal": M((0.52, 0.50, 0.98), (0.44, 0.46, 0.90), "wood", 0.08, 0.0),
    "canvas": M((0.82, 0.77, 0.66), (0.62, 0.56, 0.45), "weave", 0.020, 0.0),
    "canvas_height": M((0.70, 0.70, 0.70), (0.30, 0.30, 0.30), "weave", 0.024, 0.0),
    "linen": M((0.78, 0.74, 0.64), (0.60, 0.55, 0.45), "cloth", 0.018, 0.0),
    "carpet": M((0.52, 0.20, 0.22), (0.34, 0.12, 0.14), "speckle", 0.014, 0.0),
    "carpet_patchy": M((0.44, 0.46, 0.42), (0.26, 0.28, 0.25), "speckle", 0.03, 0.0),
    "denim": M((0.17, 0.26, 0.44), (0.42, 0.52, 0.66), "twill", 0.018, 0.0),
    "denim_normal": M((0.50, 0.50, 1.00), (0.66, 0.58, 0.84), "twill", 0.022, 0.0),
    "twill_beige": M((0.72, 0.64, 0.50), (0.55, 0.47, 0.34), "twill", 0.022, 0.0),
    "leather_brown": M((0.36, 0.20, 0.12), (0.20, 0.10, 0.06), "pebble", 0.022, 0.4),
    "leather_black": M((0.11, 0.11, 0.12), (0.03, 0.03, 0.03), "pebble", 0.020, 0.5),
    "leather_normal": M((0.50, 0.50, 1.00), (0.58, 0.40, 0.84), "pebble", 0.022, 0.0),
    "crocodile": M((0.28, 0.33, 0.20), (0.12, 0.15, 0.08), "tile", 0.035, 0.5),
    "carbon": M((0.09, 0.09, 0.10), (0.30, 0.31, 0.33), "twill", 0.012, 0.7),
    "carbon_gloss": M((0.75, 0.75, 0.75), (0.45, 0.45, 0.45), "twill", 0.014, 0.2),
    "cardboard": M((0.70, 0.54, 0.36), (0.65, 0.49, 0.32), "speckle", 0.02, 0.0),
    "cardboard_pleated": M(
        (0.72, 0.56, 0.38), (0.50, 0.36, 0.22), "stripes", 0.02, 0.0
    ),
    "tarp_blue": M((0.12, 0.34, 0.66), (0.24, 0.48, 0.78), "weave", 0.012, 0.4),
    "grey_light": M((0.80, 0.80, 0.80), specular=0.0),
    "grey_middle": M((0.50, 0.50, 0.50), specular=0.0),
    "grey_dark": M((0.20, 0.20, 0.20), specular=0.0),
    "white_ao": M((0.95, 0.95, 0.95), (0.80, 0.80, 0.80), "brick", 0.16, 0.0),
    "flat_red": M((0.85, 0.12, 0.10), specular=0.0),
    "flat_green": M((0.10, 0.75, 0.20), specular=0.0),
    "flat_violet": M((0.50, 0.50, 1.00), specular=0.0),
}
WALLS: dict[str, M] = {
    "canvas": M((0.80, 0.76, 0.66), (0.68, 0.63, 0.53), "weave", 0.04, 0.0),
    "capriccio": M((0.66, 0.42, 0.34), (0.82, 0.66, 0.54), "marble", 0.6, 0.0),
    "ceramic": M((0.90, 0.88, 0.82), (0.62, 0.60, 0.55), "tile", 0.25, 0.4),
    "cream": M((0.94, 0.88, 0.74), specular=0.0),
    "dark_blue": M((0.10, 0.16, 0.34), specular=0.0),
    "dark_gray_plaster": M((0.28, 0.28, 0.29), (0.20, 0.20, 0.21), "marble", 0.5, 0.0),
    "dark_green": M((0.10, 0.26, 0.18), specular=0.0),
    "gray": M((0.56, 0.56, 0.56), specular=0.0),
    "gray_ceramic": M((0.58, 0.60, 0.62), (0.36, 0.37, 0.38), "tile", 0.25, 0.4),
    "gray_plaster": M((0.62, 0.62, 0.61), (0.50, 0.50, 0.49), "marble", 0.5, 0.0),
    "light_blue": M((0.60, 0.76, 0.90), specular=0.0),
    "light_gray_plaster": M((0.82, 0.82, 0.81), (0.70, 0.70, 0.69), "marble", 0.5, 0.0),
    "stucco": M((0.84, 0.80, 0.74), (0.62, 0.58, 0.52), "speckle", 0.05, 0.0),
    "white": M((0.96, 0.96, 0.96), specular=0.0),
    "yellow_linen": M((0.88, 0.78, 0.46), (0.70, 0.60, 0.30), "cloth", 0.03, 0.0),
}


class SurfaceChange(NamedTuple):
    """Which surface is on what, NOT_CHANGED where the room's own is."""

    workspace: jax.Array  # int32 [B]: row of `WORKSPACES`, of the table or the floor
    wall: jax.Array  # int32 [B]: row of `WALLS`
    room_floor: jax.Array  # int32 [B]: row of `WORKSPACES`, below a table
    share: jax.Array  # float32 [B] in [0, 1]: of the new colours


class _Rows(NamedTuple):
    """Rows of a scene's materials."""

    workspace: np.ndarray
    wall: np.ndarray
    room_floor: np.ndarray


def no_change(batch: int) -> SurfaceChange:
    """The rooms' own surfaces in `batch` environments."""
    own = jnp.full(batch, NOT_CHANGED)
    return SurfaceChange(own, own, own, jnp.ones(batch))


def draw(
    keys: jax.Array,
    active: jax.Array,
    *,
    severity: float | jax.Array = 1.0,
    split: str = "all",
) -> SurfaceChange:
    """Draw surfaces; severity blends their colours with the room's own.

    Args:
      keys, severity, split: as of `perturbation.draw`.
      active: bool [B, 2]: the theme of the room (walls, and floor below a table), the
        surface of the workspace.

    Returns:
      Leaves [B].
    """
    chex.assert_shape(active, (len(keys), 2))
    severity = jnp.broadcast_to(jnp.asarray(severity, jnp.float32), keys.shape)
    table_key, wall_key, floor_key = jnp.moveaxis(
        jax.vmap(lambda key: jax.random.split(key, 3))(keys), 1, 0
    )

    def rows(keys: jax.Array, count: int, active: jax.Array) -> jax.Array:
        drawn = jax.vmap(lambda key: kinds.pick(key, count, split))(keys)
        changes = active & (severity > 0)
        return jnp.where(changes, drawn, NOT_CHANGED).astype(jnp.int32)

    theme, surface = active[:, 0], active[:, 1]
    return SurfaceChange(
        workspace=rows(table_key, len(WORKSPACES), surface),
        wall=rows(wall_key, len(WALLS), theme),
        room_floor=rows(floor_key, len(WORKSPACES), theme),
        share=jnp.where(active.any(axis=1), severity, 1.0),
    )


def apply(
    scene: Scene, nominal: Materials, change: SurfaceChange, category: jax.Array
) -> Materials:
    """The materials of every environment; exact where nothing changes.

    Args:
      scene: the static tables, which name the materials.
      nominal: m materials, unbatched.
      change: leaves [B].
      category: int32 [B, 5], which of its categories each distractor is.

    Returns:
      Leaves [B, m, ...].
    """
    rows, names = _rows(scene), material_names(scene)
    nominal = jax.tree.map(jnp.asarray, nominal)
    tables = {
        name: jax.tree.map(jnp.asarray, make_materials(list(table.values())))
        for name, table in (("wall", WALLS), ("workspace", WORKSPACES))
    }
    tables["room_floor"] = tables["workspace"]
    paints = {
        body: [_paint(name) for name in group] for body, group in DISTRACTORS.items()
    }
    colours = [
        (slot, names.index(paint[0]), jnp.array([material(p).rgb for p in paint]))
        for slot, paint in enumerate(paints.values())
        if paint[0] in names  # the scene has it
    ]

    def one(change: SurfaceChange, category: jax.Array) -> Materials:
        changed = nominal
        for name, where in rows._asdict().items():
            row = getattr(change, name)
            changes = row != NOT_CHANGED
            new = jax.tree.map(lambda leaf: leaf[jnp.maximum(row, 0)], tables[name])
            old = jax.tree.map(lambda leaf: leaf[where], changed)
            blended = new._replace(
                rgb=old.rgb + change.share * (new.rgb - old.rgb),
                rgb2=old.rgb2 + change.share * (new.rgb2 - old.rgb2),
            )
            changed = jax.tree.map(
                lambda leaf, own, put: leaf.at[where].set(jnp.where(changes, put, own)),
                changed,
                old,
                blended,
            )
        rgb = changed.rgb
        for slot, row, options in colours:
            rgb = rgb.at[row].set(options[category[slot]])
        return changed._replace(rgb=rgb)

    return jax.vmap(one)(change, category)


def _paint(category: str) -> str:
    """The material of a distractor."""
    row = dict(category_variants.table())[category]
    assert isinstance(row, category_variants.CategoryVariant)
    return f"{PLAIN}@{row.colour.lstrip('#')}"


def _rows(scene: Scene) -> _Rows:
    """Where a scene's surfaces are among its materials; one arena is seen at a time."""
    names, arenas = material_names(scene), scene.assets.arenas
    tops = [f"{name}_{'table' if ARENAS[name].table else 'floor'}" for name in arenas]
    floors = [f"{name}_floor" for name in arenas if ARENAS[name].table]
    walls = [f"{name}_wall" for name in arenas]
    return _Rows(
        *(
            np.array([names.index(n) for n in part], int)
            for part in (tops, walls, floors)
        )
    )
