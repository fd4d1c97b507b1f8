"""The materials that a scene's visual geoms name: colours, texture and gloss.

Objects' materials are in the records of their categories, `sim/data/categories`.
"""

from omnivla_jax.render.types import Material as M
from omnivla_jax.sim.assets import objects

_SHADE = 0.75  # of a recoloured material: the second colour over the first
_ARENAS = {
    "tabletop_floor": M((0.62, 0.58, 0.53), (0.48, 0.45, 0.41), "tile", 0.5),
    "tabletop_wall": M((0.84, 0.82, 0.76), (0.78, 0.76, 0.70), "marble", 1.5, 0.0),
    "tabletop_table": M((0.74, 0.56, 0.37), (0.55, 0.38, 0.22), "wood", 0.12, 0.1),
    "tabletop_legs": M((0.30, 0.30, 0.32)),
    "kitchen_floor": M((0.45, 0.42, 0.40), (0.30, 0.29, 0.28), "checker", 0.6),
    "kitchen_wall": M((0.86, 0.89, 0.87), (0.58, 0.66, 0.65), "tile", 0.2, 0.3),
    "kitchen_table": M((0.80, 0.79, 0.76), (0.67, 0.65, 0.63), "marble", 0.22, 0.3),
    "kitchen_legs": M((0.40, 0.30, 0.22)),
    "floor_floor": M((0.70, 0.54, 0.38), (0.48, 0.34, 0.22), "wood", 0.14, 0.1),
    "floor_wall": M((0.78, 0.82, 0.84), (0.72, 0.76, 0.79), "marble", 1.5, 0.0),
    "living_room_floor": M((0.55, 0.52, 0.48), (0.45, 0.42, 0.39), "cloth", 0.05, 0.0),
    "living_room_wall": M((0.56, 0.64, 0.72), (0.52, 0.60, 0.68), "marble", 1.5, 0.0),
    "living_room_table": M((0.44, 0.28, 0.18), (0.28, 0.17, 0.10), "wood", 0.14, 0.2),
    "living_room_legs": M((0.30, 0.20, 0.13)),
    "study_floor": M((0.56, 0.42, 0.30), (0.42, 0.30, 0.20), "wood", 0.2, 0.1),
    "study_wall": M((0.70, 0.75, 0.64), (0.65, 0.70, 0.59), "marble", 1.5, 0.0),
    "study_table": M((0.87, 0.78, 0.63), (0.78, 0.67, 0.51), "wood", 0.25, 0.1),
    "study_legs": M((0.86, 0.86, 0.85)),
    "skirting": M((0.90, 0.89, 0.87), specular=0.1),
    "pedestal": M((0.26, 0.27, 0.29), specular=0.3),
}
_ROBOT = {
    "robot_white": M((0.93, 0.93, 0.94), specular=0.5),
    "robot_grey": M((0.40, 0.42, 0.46), specular=0.5),
    "robot_dark": M((0.14, 0.15, 0.17), specular=0.4),
}
_OBJECTS = {name: M(*row) for name, row in objects.MATERIALS.items()}
MATERIALS: dict[str, M] = {**_ARENAS, **_OBJECTS, **_ROBOT}


def material(name: str) -> M:
    """Look up a material; `plate@c01818` is `plate` in another colour.

    Args:
      name: a key of MATERIALS or a material of a user's category, optionally followed
        by `@` and a colour rrggbb.

    Raises:
      KeyError: unknown material.
    """
    base, _, color = name.partition("@")
    known = MATERIALS[base] if base in MATERIALS else M(*objects.ALL_MATERIALS[base])
    if not color:
        return known
    red, green, blue = (int(color[at : at + 2], 16) / 255 for at in (0, 2, 4))
    shade = (_SHADE * red, _SHADE * green, _SHADE * blue)
    return known._replace(rgb=(red, green, blue), rgb2=shade)
