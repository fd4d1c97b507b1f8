"""The materials that a scene's visual geoms name: colours, texture and gloss."""

from omnivla_jax.render.types import Material as M

_SHADE = 0.75  # of a recoloured material: the second colour over the first
_WHITE, _BLACK = (0.95, 0.95, 0.94), (0.06, 0.06, 0.07)
_ROOMS = {
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
_CROCKERY = {
    "bowl": M((0.11, 0.11, 0.12), (0.32, 0.31, 0.30), "speckle", 0.012, 0.7, 0.4),
    "plate": M((0.95, 0.94, 0.90), (0.78, 0.16, 0.14), "rim", 0.070, 0.5),
    "ramekin": M((0.94, 0.92, 0.87), (0.45, 0.26, 0.15), "glaze", 0.0265, 0.6),
    "porcelain_mug": M((0.95, 0.95, 0.96), specular=0.7, shininess=0.7),
    "red_mug": M((0.80, 0.10, 0.11), specular=0.6, shininess=0.6),
    "mug_dipped": M((0.96, 0.77, 0.13), (0.95, 0.94, 0.91), "dipped", 0.05, 0.6),
    "mug_yellow": M((0.96, 0.77, 0.13), specular=0.6),
    "moka_pot": M((0.74, 0.75, 0.77), specular=1.0, shininess=0.5),
    "bakelite": M(_BLACK, specular=0.4),
    "pan": M((0.13, 0.13, 0.14), (0.21, 0.21, 0.22), "rim", 0.107, 0.7, 0.3),
    "tin": M((0.78, 0.79, 0.80), specular=1.0, shininess=0.5),
}
_GROCERIES = {
    "alphabet_soup": M((0.82, 0.10, 0.10), (0.96, 0.94, 0.88), "label", 0.012),
    "alphabet_soup_print": M((0.97, 0.95, 0.90), (0.80, 0.10, 0.10), "print", 0.012),
    "tomato_sauce": M((0.20, 0.46, 0.20), (0.85, 0.12, 0.08), "label", 0.02),
    "tomato_sauce_print": M((0.85, 0.12, 0.08), (0.98, 0.92, 0.60), "print", 0.012),
    "milk": M((0.96, 0.97, 0.98), specular=0.2),
    "milk_roof": M((0.16, 0.38, 0.78), specular=0.2),
    "milk_print": M((0.94, 0.96, 0.99), (0.14, 0.36, 0.76), "print", 0.03),
    "milk_cap": M((0.16, 0.38, 0.78)),
    "orange_juice": M((0.98, 0.60, 0.10), specular=0.2),
    "orange_juice_roof": M((0.99, 0.66, 0.14), specular=0.2),
    "orange_juice_print": M((0.98, 0.58, 0.08), (0.99, 0.97, 0.90), "fruit", 0.03),
    "orange_juice_cap": M((0.20, 0.55, 0.22)),
    "ketchup": M((0.78, 0.05, 0.04), specular=0.6),
    "ketchup_print": M((0.97, 0.96, 0.93), (0.75, 0.06, 0.05), "print", 0.018),
    "salad_dressing": M((0.86, 0.78, 0.42), specular=0.7, shininess=0.6),
    "salad_print": M((0.95, 0.96, 0.90), (0.18, 0.48, 0.16), "print", 0.022),
    "bbq_sauce": M((0.24, 0.09, 0.05), specular=0.7, shininess=0.6),
    "bbq_print": M((0.93, 0.72, 0.18), (0.40, 0.08, 0.04), "print", 0.018),
    "cap_white": M(_WHITE),
    "cap_green": M((0.14, 0.42, 0.16)),
    "cap_black": M(_BLACK),
    "butter": M((0.97, 0.88, 0.42)),
    "butter_print": M((0.97, 0.86, 0.35), (0.14, 0.30, 0.66), "print", 0.016),
    "cream_cheese": M((0.90, 0.93, 0.97)),
    "cream_cheese_print": M((0.92, 0.95, 0.99), (0.08, 0.28, 0.66), "print", 0.018),
    "chocolate_pudding": M((0.34, 0.18, 0.10)),
    "chocolate_pudding_print": M((0.36, 0.19, 0.11), (0.97, 0.90, 0.74), "print", 0.02),
    "cookies": M((0.16, 0.26, 0.62)),
    "cookies_print": M((0.17, 0.28, 0.66), (0.97, 0.93, 0.82), "print", 0.05),
    "biscuit": M((0.80, 0.58, 0.30), (0.28, 0.15, 0.07), "speckle", 0.006, 0.0),
    "bottle": M((0.05, 0.16, 0.08), specular=0.9, shininess=0.8),
    "foil": M((0.55, 0.08, 0.12), specular=0.6),
    "label": M((0.94, 0.91, 0.80), specular=0.0),
    "label_print": M((0.94, 0.91, 0.80), (0.42, 0.08, 0.12), "print", 0.010, 0.0),
}
_FURNISHINGS = {
    "wood": M((0.42, 0.25, 0.14), (0.28, 0.15, 0.08), "wood", 0.08, 0.15),
    "wood_top": M((0.50, 0.31, 0.18), (0.36, 0.20, 0.11), "wood", 0.06, 0.2),
    "drawer": M((0.58, 0.38, 0.22), (0.45, 0.27, 0.15), "wood", 0.05, 0.15),
    "drawer_panel": M((0.66, 0.46, 0.28), (0.54, 0.35, 0.20), "wood", 0.05, 0.15),
    "drawer_inside": M((0.74, 0.60, 0.42), (0.66, 0.51, 0.34), "wood", 0.06, 0.0),
    "handle": M((0.84, 0.74, 0.42), specular=1.0, shininess=0.5),
    "white_wood": M((0.90, 0.90, 0.88), specular=0.2),
    "white_wood_top": M((0.95, 0.95, 0.93), specular=0.3),
    "white_drawer": M((0.82, 0.83, 0.83), specular=0.2),
    "white_drawer_panel": M((0.94, 0.94, 0.93), specular=0.2),
    "stove": M((0.20, 0.20, 0.22), specular=0.5),
    "stove_top": M((0.10, 0.10, 0.11), specular=0.9, shininess=0.7),
    "burner_ring": M((0.66, 0.67, 0.69), specular=1.0, shininess=0.4),
    "burner": M((0.07, 0.06, 0.06), (0.40, 0.14, 0.10), "coil", 0.0125, 0.3),
    "knob": M((0.50, 0.51, 0.54), specular=0.8),
    "knob_dial": M((0.86, 0.86, 0.86), (0.15, 0.15, 0.16), "rim", 0.046),
    "knob_mark": M((0.86, 0.14, 0.10), specular=0.4),
    "rack": M((0.56, 0.36, 0.19), (0.42, 0.25, 0.12), "wood", 0.04, 0.15),
    "rack_base": M((0.40, 0.24, 0.12), (0.30, 0.17, 0.08), "wood", 0.05, 0.15),
    "desk_caddy": M((0.66, 0.46, 0.27), (0.52, 0.34, 0.18), "wood", 0.04, 0.15),
    "basket": M((0.74, 0.56, 0.32), (0.34, 0.22, 0.10), "weave", 0.024, 0.0),
    "basket_rim": M((0.58, 0.41, 0.21), (0.36, 0.23, 0.11), "weave", 0.012, 0.0),
    "book_cover": M((0.09, 0.09, 0.11), specular=0.3),
    "book_title": M((0.10, 0.10, 0.12), (0.86, 0.72, 0.32), "print", 0.018),
    "pages": M((0.95, 0.93, 0.86), (0.80, 0.77, 0.70), "stripes", 0.003, 0.0),
    "microwave": M((0.88, 0.88, 0.89), specular=0.4),
    "microwave_panel": M((0.16, 0.16, 0.18), specular=0.5),
    "display": M((0.05, 0.12, 0.10), (0.30, 0.95, 0.60), "print", 0.012),
    "button": M((0.75, 0.76, 0.78)),
    "microwave_window": M((0.07, 0.07, 0.08), specular=0.9, shininess=0.8),
    "window_mesh": M((0.12, 0.12, 0.13), (0.28, 0.28, 0.29), "checker", 0.012, 0.6),
    "glass_plate": M((0.70, 0.76, 0.78), specular=0.8),
    "robot_white": M((0.93, 0.93, 0.94), specular=0.5),
    "robot_grey": M((0.40, 0.42, 0.46), specular=0.5),
    "robot_dark": M((0.14, 0.15, 0.17), specular=0.4),
    "plain": M((0.55, 0.40, 0.26)),
}
MATERIALS: dict[str, M] = {**_ROOMS, **_CROCKERY, **_GROCERIES, **_FURNISHINGS}


def material(name: str) -> M:
    """Look up a material; `plate@c01818` is `plate` in another colour.

    Args:
      name: a key of MATERIALS, optionally followed by `@` and a colour rrggbb.

    Raises:
      KeyError: unknown material.
    """
    base, _, color = name.partition("@")
    if not color:
        return MATERIALS[base]
    red, green, blue = (int(color[at : at + 2], 16) / 255 for at in (0, 2, 4))
    shade = (_SHADE * red, _SHADE * green, _SHADE * blue)
    return MATERIALS[base]._replace(rgb=(red, green, blue), rgb2=shade)
