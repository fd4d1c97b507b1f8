"""What vessels and pans look like, in their bodies' frames, z up. Lengths in m."""

from typing import Sequence

import numpy as np

from omnivla_jax.sim.assets.primitives import (
    Primitive,
    capsule,
    cone,
    cup,
    cylinder,
    ellipsoid,
    polytope,
)

Shapes = tuple[Primitive, ...]


def _handle(
    points: Sequence[tuple[float, float, float]], radius: float, material: str
) -> Shapes:
    """A bent rod through `points`."""
    return tuple(capsule(a, b, radius, material) for a, b in zip(points, points[1:]))


def _octagon(low: float, high: float, radii: tuple[float, float]) -> Primitive:
    angle = np.pi / 4 * (np.arange(8) + 0.5)
    return polytope(
        [
            (r * np.cos(a), r * np.sin(a), z)
            for z, r in zip((low, high), radii)
            for a in angle
        ],
        "moka_pot",
    )


_AT = (0.018, -0.001)  # where the porcelain mug stands in its frame
_PORCELAIN_MUG = (
    cup((*_AT, 0.002), (*_AT, 0.109), (0.033, 0.042), "porcelain_mug"),
    *_handle(
        [
            (-0.02, 0, 0.094),
            (-0.05, 0, 0.09),
            (-0.062, 0, 0.074),
            (-0.061, 0, 0.046),
            (-0.046, 0, 0.028),
            (-0.014, 0, 0.022),
        ],
        0.0055,
        "porcelain_mug",
    ),
)
_RED_COFFEE_MUG = (
    cup((-0.018, -0.003, 0.0), (-0.018, -0.003, 0.131), (0.026, 0.037), "red_mug"),
    *_handle(
        [
            (0.012, 0, 0.117),
            (0.046, 0, 0.113),
            (0.056, 0, 0.098),
            (0.052, 0, 0.075),
            (0.028, 0, 0.04),
            (0.01, 0, 0.032),
        ],
        0.0055,
        "red_mug",
    ),
)
_WHITE_YELLOW_MUG = (
    cup((-0.018, 0, 0.0), (-0.018, 0, 0.103), (0.038, 0.047), "mug_dipped"),
    *_handle(
        [
            (0.02, 0, 0.085),
            (0.054, 0, 0.082),
            (0.066, 0, 0.07),
            (0.066, 0, 0.04),
            (0.055, 0, 0.027),
            (0.018, 0, 0.022),
        ],
        0.006,
        "mug_yellow",
    ),
)
_MOKA_POT = (
    _octagon(-0.066, -0.006, (0.0445, 0.034)),
    cylinder((0, 0, -0.007), (0, 0, 0.001), 0.0335, "tin"),
    _octagon(0.0, 0.066, (0.031, 0.043)),
    cone((0, 0, 0.066), (0, 0, 0.076), (0.04, 0.012), "moka_pot"),
    ellipsoid((0, -0.001, 0.081), (0.008, 0.008, 0.007), "bakelite"),
    polytope(
        [
            (x, y, z)
            for x, y, z in (
                (-0.015, -0.032, 0.066),
                (0.015, -0.032, 0.066),
                (0.0, -0.057, 0.067),
                (-0.006, -0.034, 0.03),
                (0.006, -0.034, 0.03),
            )
        ],
        "moka_pot",
    ),
    *_handle(
        [(0, 0.036, 0.058), (0, 0.078, 0.06), (0, 0.082, 0.045), (0, 0.062, -0.006)],
        0.0075,
        "bakelite",
    ),
)
_FRYPAN = (
    cup((0.006, 0, 0.0), (0.006, 0, 0.042), (0.078, 0.107), "pan"),
    capsule((0.105, 0, 0.026), (0.14, 0, 0.038), 0.009, "tin"),
    capsule((0.14, 0, 0.038), (0.247, 0, 0.05), 0.0115, "bakelite"),
)
LOOKS: dict[str, Shapes] = {
    "akita_black_bowl": (
        cone((0, 0, 0.001), (0, 0, 0.014), (0.026, 0.0425), "bowl"),
        cup((0, 0, 0.012), (0, 0, 0.052), (0.041, 0.0535), "bowl"),
    ),
    "plate": (
        cylinder((0, 0, 0.001), (0, 0, 0.004), 0.04, "plate"),
        cup((0, 0, 0.001), (0, 0, 0.0142), (0.038, 0.071), "plate"),
    ),
    "glazed_rim_porcelain_ramekin": (
        cup((0, 0, 0.001), (0, 0, 0.043), (0.035, 0.043), "ramekin"),
    ),
    "porcelain_mug": _PORCELAIN_MUG,
    "red_coffee_mug": _RED_COFFEE_MUG,
    "white_yellow_mug": _WHITE_YELLOW_MUG,
    "moka_pot": _MOKA_POT,
    "chefmate_8_frypan": _FRYPAN,
}
