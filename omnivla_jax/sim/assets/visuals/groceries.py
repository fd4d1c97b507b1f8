"""What the packaged goods look like, in their bodies' frames.

Boxes of food lie on their largest side, z up; cans, cartons and most bottles were
modelled lying, y up. Lengths in m.
"""

from omnivla_jax.sim.assets.primitives import (
    Primitive,
    box_between,
    cone,
    cylinder,
    ellipsoid,
    polytope,
)

_INK = 4e-4  # how far a label stands off what it is glued to
Shapes = tuple[Primitive, ...]


def _packet(x: float, y: float, z: float, name: str) -> Shapes:
    """A printed box of half sides x, y, z: its front on top, bands on its sides."""
    top = (x - 0.004, y - 0.003, z + _INK)
    side = (x + _INK, y - 0.002, z - 0.003)
    end = (x - 0.003, y + _INK, z - 0.003)
    return (
        box_between((-x, -y, -z), (x, y, z), name),
        *(
            box_between(tuple(-v for v in half), half, f"{name}_print")
            for half in (top, side, end)
        ),
    )


def _can(name: str) -> Shapes:
    """A tin of radius 3.1 cm standing along y, a paper label between its rims."""
    low, high, z, radius = -0.038, 0.037, -0.003, 0.031
    return (
        cylinder((0, low, z), (0, high, z), radius, "tin"),
        cylinder((0, low + 0.006, z), (0, high - 0.006, z), radius + _INK, name),
        cylinder((0, -0.012, z), (0, 0.012, z), radius + 2 * _INK, f"{name}_print"),
    )


def _carton(name: str) -> Shapes:
    """A gable-top carton along y, with a screw cap and a print on every side."""
    half, low, shoulder, high = 0.0262, -0.07, 0.032, 0.054
    roof = [(x, shoulder, z) for x in (-half, half) for z in (-half, half)]
    ridge = [(x, high, z) for x in (-half, half) for z in (-0.002, 0.002)]
    ink, inset = half + _INK, half - 0.004
    return (
        box_between((-half, low, -half), (half, shoulder, half), name),
        polytope(roof + ridge, f"{name}_roof"),
        box_between((-half, high - 0.002, -0.002), (half, 0.061, 0.002), name),
        box_between((-ink, -0.05, -inset), (ink, 0.02, inset), f"{name}_print"),
        box_between((-inset, -0.05, -ink), (inset, 0.02, ink), f"{name}_print"),
        cylinder((0, 0.042, 0.012), (0, 0.05, 0.022), 0.008, f"{name}_cap"),
    )


_KETCHUP = (
    ellipsoid((0, -0.018, 0), (0.0285, 0.062, 0.0185), "ketchup"),
    cylinder((0, -0.072, 0), (0, -0.045, 0), 0.0175, "ketchup"),
    box_between((-0.017, -0.045, -0.0192), (0.017, 0.005, 0.0192), "ketchup_print"),
    cone((0, 0.03, 0), (0, 0.058, 0), (0.0165, 0.011), "cap_white"),
    cone((0, 0.058, 0), (0, 0.073, 0), (0.006, 0.0025), "cap_white"),
)
_SALAD_DRESSING = (
    box_between((-0.0255, -0.073, -0.0165), (0.0255, 0.01, 0.0165), "salad_dressing"),
    polytope(
        [(x, 0.01, z) for x in (-0.0255, 0.0255) for z in (-0.0165, 0.0165)]
        + [(x, 0.042, z) for x in (-0.009, 0.009) for z in (-0.008, 0.008)],
        "salad_dressing",
    ),
    cylinder((0, 0.04, 0), (0, 0.056, 0), 0.009, "salad_dressing"),
    cylinder((0, 0.054, 0), (0, 0.073, 0), 0.0115, "cap_green"),
    box_between((-0.0259, -0.06, -0.014), (0.0259, -0.005, 0.014), "salad_print"),
    box_between((-0.022, -0.06, -0.0169), (0.022, -0.005, 0.0169), "salad_print"),
)
_BBQ_SAUCE = (
    box_between((-0.022, -0.0135, -0.055), (0.022, 0.0135, 0.008), "bbq_sauce"),
    polytope(
        [(x, y, 0.008) for x in (-0.022, 0.022) for y in (-0.0135, 0.0135)]
        + [(x, y, 0.026) for x in (-0.008, 0.008) for y in (-0.008, 0.008)],
        "bbq_sauce",
    ),
    cylinder((0, 0, 0.02), (0, 0, 0.034), 0.0085, "bbq_sauce"),
    cylinder((0, 0, 0.033), (0, 0, 0.052), 0.0105, "cap_black"),
    box_between((-0.0224, -0.011, -0.045), (0.0224, 0.011, -0.002), "bbq_print"),
    box_between((-0.019, -0.0139, -0.045), (0.019, 0.0139, -0.002), "bbq_print"),
)
_WINE_BOTTLE = (
    cylinder((0, 0, 0.0012), (0, 0, 0.082), 0.021, "bottle"),
    cone((0, 0, 0.082), (0, 0, 0.108), (0.021, 0.009), "bottle"),
    cylinder((0, 0, 0.105), (0, 0, 0.156), 0.0085, "bottle"),
    cylinder((0, 0, 0.126), (0, 0, 0.158), 0.0094, "foil"),
    cylinder((0, 0, 0.022), (0, 0, 0.066), 0.0213, "label"),
    cylinder((0, 0, 0.036), (0, 0, 0.05), 0.0215, "label_print"),
)
LOOKS: dict[str, Shapes] = {
    "alphabet_soup": _can("alphabet_soup"),
    "tomato_sauce": _can("tomato_sauce"),
    "milk": _carton("milk"),
    "orange_juice": _carton("orange_juice"),
    "ketchup": _KETCHUP,
    "salad_dressing": _SALAD_DRESSING,
    "bbq_sauce": _BBQ_SAUCE,
    "wine_bottle": _WINE_BOTTLE,
    "butter": _packet(0.038, 0.02, 0.009, "butter"),
    "cream_cheese": _packet(0.041, 0.021, 0.009, "cream_cheese"),
    "chocolate_pudding": _packet(0.041, 0.023, 0.0135, "chocolate_pudding"),
    "cookies": (
        *_packet(0.031, 0.041, 0.009, "cookies"),
        cylinder((0.006, 0.016, 0.009), (0.006, 0.016, 0.0104), 0.0155, "biscuit"),
        cylinder((-0.008, -0.014, 0.009), (-0.008, -0.014, 0.0102), 0.0155, "biscuit"),
    ),
}
