"""The finish of every material a scene can name: colours, texture and gloss."""

from omnivla_jax.render.types import Material

MATERIALS: dict[str, Material] = {
    "tabletop_floor": Material((0.62, 0.58, 0.53), (0.52, 0.49, 0.45), "tile", 0.5),
    "tabletop_wall": Material(
        (0.80, 0.79, 0.74), (0.76, 0.75, 0.70), "marble", 1.5, 0.0
    ),
    "tabletop_table": Material(
        (0.74, 0.56, 0.37), (0.55, 0.38, 0.22), "wood", 0.12, 0.1
    ),
    "tabletop_legs": Material((0.30, 0.30, 0.32)),
    "kitchen_floor": Material((0.45, 0.42, 0.40), (0.30, 0.29, 0.28), "checker", 0.6),
    "kitchen_wall": Material((0.86, 0.88, 0.86), (0.66, 0.72, 0.70), "tile", 0.2, 0.3),
    "kitchen_table": Material(
        (0.83, 0.81, 0.77), (0.55, 0.53, 0.52), "marble", 0.5, 0.3
    ),
    "kitchen_legs": Material((0.40, 0.30, 0.22)),
    "floor_floor": Material((0.72, 0.55, 0.38), (0.52, 0.37, 0.24), "wood", 0.16, 0.1),
    "floor_wall": Material((0.80, 0.79, 0.74), (0.76, 0.75, 0.70), "marble", 1.5, 0.0),
    "living_room_floor": Material(
        (0.50, 0.47, 0.45), (0.42, 0.40, 0.39), "cloth", 0.05, 0.0
    ),
    "living_room_wall": Material(
        (0.55, 0.63, 0.70), (0.52, 0.60, 0.67), "marble", 1.5, 0.0
    ),
    "living_room_table": Material(
        (0.46, 0.29, 0.18), (0.30, 0.18, 0.11), "wood", 0.14, 0.15
    ),
    "living_room_legs": Material((0.30, 0.20, 0.13)),
    "study_floor": Material((0.56, 0.42, 0.30), (0.42, 0.30, 0.20), "wood", 0.2, 0.1),
    "study_wall": Material((0.72, 0.76, 0.66), (0.68, 0.72, 0.62), "marble", 1.5, 0.0),
    "study_table": Material((0.86, 0.76, 0.60), (0.76, 0.64, 0.48), "wood", 0.25, 0.1),
    "study_legs": Material((0.86, 0.86, 0.85)),
    "skirting": Material((0.88, 0.87, 0.85), specular=0.1),
    "pedestal": Material((0.30, 0.30, 0.32)),
    "basket": Material((0.62, 0.47, 0.28), (0.40, 0.28, 0.15), "checker", 0.01),
    "plain": Material((0.55, 0.40, 0.26)),
    "bowl": Material(
        (0.16, 0.16, 0.18), (0.34, 0.33, 0.33), "checker", 0.03, 0.5
    ),
    "plate": Material((0.93, 0.92, 0.88), specular=0.4),
    "plate_rim": Material((0.80, 0.25, 0.22), specular=0.4),
    "cream_cheese": Material(
        (0.93, 0.95, 0.97), (0.12, 0.32, 0.68), "label", 0.005, 0.2
    ),
    "bottle": Material((0.10, 0.22, 0.12), specular=0.8, shininess=0.8),
    "label": Material((0.92, 0.88, 0.74), (0.60, 0.12, 0.14), "label", 0.006),
    "wood": Material((0.50, 0.32, 0.18), (0.36, 0.21, 0.11), "wood", 0.08, 0.1),
    "drawer": Material((0.62, 0.43, 0.26), (0.48, 0.31, 0.17), "wood", 0.08, 0.1),
    "handle": Material((0.78, 0.70, 0.45), specular=0.8),
    "stove": Material((0.22, 0.22, 0.24), specular=0.6),
    "burner": Material((0.09, 0.09, 0.10), (0.20, 0.10, 0.09), "checker", 0.03),
    "knob": Material((0.55, 0.55, 0.58), specular=0.6),
    "knob_mark": Material((0.85, 0.20, 0.15), specular=0.4),
    "rack": Material((0.70, 0.52, 0.32), (0.58, 0.40, 0.22), "wood", 0.05, 0.1),
    "glazed_rim_porcelain_ramekin": Material((0.91, 0.89, 0.83), specular=0.5),
    "chefmate_8_frypan": Material((0.14, 0.14, 0.15), specular=0.5),
    "alphabet_soup": Material(
        (0.80, 0.16, 0.14), (0.95, 0.93, 0.88), "label", 0.006
    ),
    "tomato_sauce": Material(
        (0.72, 0.10, 0.08), (0.30, 0.52, 0.20), "label", 0.008
    ),
    "bbq_sauce": Material((0.33, 0.12, 0.06), (0.85, 0.65, 0.20), "label", 0.006),
    "butter": Material((0.96, 0.86, 0.35), (0.20, 0.35, 0.70), "label", 0.006),
    "chocolate_pudding": Material(
        (0.36, 0.20, 0.12), (0.93, 0.88, 0.80), "label", 0.006
    ),
    "cookies": Material((0.24, 0.34, 0.66), (0.90, 0.75, 0.45), "label", 0.009),
    "ketchup": Material((0.82, 0.08, 0.08), (0.95, 0.93, 0.90), "label", 0.012),
    "milk": Material((0.95, 0.96, 0.98), (0.25, 0.50, 0.80), "label", 0.012),
    "orange_juice": Material(
        (0.98, 0.62, 0.12), (0.97, 0.96, 0.90), "label", 0.012
    ),
    "salad_dressing": Material(
        (0.82, 0.80, 0.62), (0.28, 0.50, 0.22), "label", 0.010
    ),
    "black_book": Material((0.10, 0.10, 0.12), (0.80, 0.70, 0.35), "label", 0.02),
    "desk_caddy": Material((0.45, 0.33, 0.22), (0.35, 0.25, 0.16), "wood", 0.04),
    "moka_pot": Material((0.70, 0.71, 0.73), specular=0.9, shininess=0.7),
    "porcelain_mug": Material((0.94, 0.94, 0.95), specular=0.6),
    "red_coffee_mug": Material((0.78, 0.12, 0.13), specular=0.5),
    "white_yellow_mug": Material(
        (0.95, 0.94, 0.90), (0.95, 0.78, 0.20), "checker", 0.05
    ),
    "microwave": Material((0.86, 0.86, 0.88), specular=0.4),
    "robot_white": Material((0.90, 0.91, 0.93), specular=0.5),
    "robot_grey": Material((0.42, 0.44, 0.48), specular=0.5),
    "robot_dark": Material((0.16, 0.17, 0.19), specular=0.3),
}
