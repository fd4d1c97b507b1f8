"""The objects and fixtures of libero_goal as tables of primitives.

Masses, inertias, joints and sites are LIBERO's (MIT): the inertias are those of its
collision boxes at density 100. The primitives are the reduced set that keeps the
outcome of recorded LIBERO episodes (bowl 17, plate 9). Lengths in m, mass in kg,
inertia in kg m^2, quaternions wxyz.
"""

from typing import NamedTuple

from omnivla_jax.sim.primitives import (
    Primitive,
    box,
    box_between,
    capsule,
    cone_wall,
    cylinder,
)

Vector = tuple[float, float, float]
Quaternion = tuple[float, float, float, float]
UPRIGHT: Quaternion = (1.0, 0.0, 0.0, 0.0)


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


class Part(NamedTuple):
    """A body of an object: its shapes, regions and, for a fixture, its joint."""

    name: str
    collision: tuple[Primitive, ...]
    look: tuple[Primitive, ...] | None  # None: the collision shapes are the look
    regions: dict[str, Region]
    joint: Joint | None = None
    position: Vector = (0.0, 0.0, 0.0)
    quaternion: Quaternion = UPRIGHT


class Movable(NamedTuple):
    """A free object."""

    part: Part
    mass: float
    center: Vector
    inertia: Vector
    inertia_quaternion: Quaternion
    bottom: float  # z of LIBERO's bottom_site, which placement rests on
    radius: float  # LIBERO's horizontal_radius


class Fixture(NamedTuple):
    """A piece of furniture welded to the world at a sampled pose."""

    base: Part
    parts: tuple[Part, ...]


MOVING_PART_MASS, MOVING_PART_INERTIA = 3.0, (1.0, 1.0, 1.0)

_BOWL_SHAPE = (
    cone_wall((0.0418, 0.0155), (0.0524, 0.0519), 0.0013, "bowl")
    + cone_wall((0.0245, 0.004), (0.0427, 0.0155), 0.0012, "bowl")
    + (box((0, 0, 0.0042), (0.022, 0.022, 0.0026), "bowl"),)
)
_PLATE_SHAPE = (box((0, 0, 0.0031), (0.0306, 0.0285, 0.0022), "plate"),) + cone_wall(
    (0.0302, -0.0002), (0.0664, 0.0141), 0.0025, "plate"
)
_PLATE_LOOK = (cylinder((0, 0, 0.001), (0, 0, 0.0056), 0.034, "plate"),) + cone_wall(
    (0.0302, 0.0008), (0.0664, 0.0141), 0.0025, "plate_rim"
)

MOVABLES: dict[str, Movable] = {
    "akita_black_bowl": Movable(
        Part("akita_black_bowl", _BOWL_SHAPE, None, {}),
        mass=0.0055913,
        center=(0.00227688, 0.00051365, 0.02271486),
        inertia=(9.08180356e-06, 6.10494357e-06, 5.71619302e-06),
        inertia_quaternion=(-0.02557736, 0.70034598, 0.02317201, 0.7129687),
        bottom=-0.06,
        radius=0.025,
    ),
    "cream_cheese": Movable(
        Part(
            "cream_cheese",
            (box((0, 0, 0), (0.040608, 0.021336, 0.008936), "cream_cheese"),),
            None,
            {},
        ),
        mass=0.0061938,
        center=(0.0, 0.0, 0.0),
        inertia=(1.10472141e-06, 3.56941269e-06, 4.3444084e-06),
        inertia_quaternion=UPRIGHT,
        bottom=-0.025,
        radius=0.03,
    ),
    "wine_bottle": Movable(
        Part(
            "wine_bottle",
            (
                box((0, 0, 0.03726), (0.0195, 0.0195, 0.03615), "bottle"),
                box((0, 0, 0.11), (0.0075, 0.0075, 0.0485), "bottle"),
            ),
            (
                cylinder((0, 0, 0.0012), (0, 0, 0.07), 0.021, "bottle"),
                capsule((0, 0, 0.068), (0, 0, 0.09), 0.0125, "bottle"),
                cylinder((0, 0, 0.09), (0, 0, 0.158), 0.0078, "bottle"),
                cylinder((0, 0, 0.022), (0, 0, 0.055), 0.0214, "label"),
            ),
            {},
        ),
        mass=0.0153941,
        center=(0.000192416599, -1.20286646e-05, 0.0561486314),
        inertia=(2.29216269e-05, 2.28496594e-05, 2.53917236e-06),
        inertia_quaternion=(0.99837678, 0.00189721057, -0.000630890796, -0.0569193146),
        bottom=-0.06,
        radius=0.025,
    ),
    "plate": Movable(
        Part("plate", _PLATE_SHAPE, _PLATE_LOOK, {}),
        mass=0.0115221,
        center=(0.00032703, 0.00513817, 0.00644548),
        inertia=(2.76331837e-05, 1.50672558e-05, 1.29228945e-05),
        inertia_quaternion=(0.50869322, 0.49021954, -0.512157, 0.48847848),
        bottom=-0.06,
        radius=0.025,
    ),
}

_DRAWER = Joint("slide", (0.0, 1.0, 0.0), (-0.16, 0.01), 50.0)


def _drawer(name: str, low: float, center: float, material: str) -> Part:
    """A drawer whose front panel starts at z `low`; `center`: z of its region."""
    front = box_between(
        (-0.106, -0.078, low), (0.1127, -0.0648, low + 0.0686), material
    )
    handle = low + 0.027
    stem, stem_top = handle + 0.003, handle + 0.014
    return Part(
        name,
        (
            front,
            box_between((-0.1034, 0.0872, low + 0.003), (0.1101, 0.0943, low + 0.067)),
            box_between(
                (-0.1046, -0.0704, low + 0.003), (-0.0992, 0.0925, low + 0.066)
            ),
            box_between((0.1063, -0.0704, low + 0.003), (0.1116, 0.0925, low + 0.066)),
            box_between(
                (-0.1035, -0.0705, low + 0.0024), (0.1104, 0.0914, low + 0.0104)
            ),
            box_between(
                (-0.0472, -0.1093, handle), (0.0417, -0.0939, handle + 0.0163), "handle"
            ),
            box_between((0.0241, -0.094, stem), (0.0342, -0.0729, stem_top), "handle"),
            box_between(
                (-0.0407, -0.094, stem), (-0.0305, -0.0729, stem_top), "handle"
            ),
        ),
        None,
        {
            f"{name}_region": Region(
                (0.00328, 0.01128, center),
                (0.02993, 0.07561, 0.10224),
                (0.70711, 0.0, 0.70711, 0.0),
            )
        },
        _DRAWER,
    )


FIXTURES: dict[str, Fixture] = {
    "wooden_cabinet": Fixture(
        base=Part(
            "wooden_cabinet",
            (
                box_between(
                    (-0.1234, -0.0783, 0.2202), (0.1312, 0.1117, 0.223), "wood"
                ),
                box_between(
                    (-0.1189, -0.0735, 0.0046), (0.127, 0.1062, 0.0104), "wood"
                ),
                box_between(
                    (-0.1173, -0.0792, 0.0084), (-0.107, 0.1117, 0.2201), "wood"
                ),
                box_between(
                    (0.1138, -0.0792, 0.0084), (0.1242, 0.1117, 0.2201), "wood"
                ),
                box_between((-0.117, 0.1071, 0.0084), (0.1212, 0.1117, 0.2201), "wood"),
                box_between(
                    (-0.1081, -0.0709, 0.1482), (0.1156, 0.1082, 0.1505), "wood"
                ),
                box_between(
                    (-0.1079, -0.0709, 0.0782), (0.1158, 0.1082, 0.0804), "wood"
                ),
            ),
            None,
            {
                "top_side": Region(
                    (0.00354, 0.01567, 0.22152), (0.12534, 0.09438, 0.00147)
                )
            },
        ),
        parts=(
            _drawer("top", 0.1488, 0.18563, "drawer"),
            _drawer("middle", 0.0791, 0.1169, "drawer"),
            _drawer("bottom", 0.0105, 0.04701, "drawer"),
        ),
    ),
    "flat_stove": Fixture(
        base=Part(
            "flat_stove",
            (box_between((0.055, -0.095, -0.02), (0.245, 0.095, 0.0255), "stove"),),
            (
                box_between((0.055, -0.095, -0.02), (0.245, 0.095, 0.0255), "stove"),
                cylinder((0.15, 0, 0.0255), (0.15, 0, 0.0268), 0.0625, "burner"),
            ),
            {"cook_region": Region((0.15, 0.0, 0.0), (0.075, 0.075, 0.0025))},
        ),
        parts=(
            Part(
                "knob",
                (
                    box((0.0013, 0.0045, 0.0066), (0.038, 0.038, 0.0062), "knob"),
                    box_between(
                        (-0.011, -0.0172, 0.0128), (0.0137, 0.052, 0.05), "knob"
                    ),
                    box_between(
                        (-0.011, -0.0328, 0.0128), (0.0134, -0.0172, 0.0434), "knob"
                    ),
                    box_between(
                        (-0.0111, -0.0407, 0.0005), (0.0132, -0.0322, 0.0338), "knob"
                    ),
                ),
                (
                    cylinder(
                        (0.0013, 0.0045, 0.0), (0.0013, 0.0045, 0.0128), 0.046, "knob"
                    ),
                    box_between(
                        (-0.011, -0.0407, 0.0128), (0.0137, 0.052, 0.045), "knob_mark"
                    ),
                ),
                {},
                Joint("hinge", (0.0, 0.0, 1.0), (-0.005, 2.1), 1.0),
                quaternion=(0.7071067811865476, 0.0, 0.0, 0.7071067811865476),
            ),
        ),
    ),
    "wine_rack": Fixture(
        base=Part(
            "wine_rack",
            (
                box(
                    (0, -0.0061, 0.25118),
                    (0.0045, 0.07894, 0.13438),
                    "rack",
                    (0.68093, 0.19061, 0.68093, 0.19061),
                ),
                box(
                    (0, -0.04273, 0.12727),
                    (0.0045, 0.07894, 0.13438),
                    "rack",
                    (0.68093, 0.19061, -0.68093, -0.19061),
                ),
                box_between(
                    (-0.0905, -0.1244, -0.002), (0.0905, 0.1295, 0.0240), "rack"
                ),
                box(
                    (0, 0.00886, 0.17026),
                    (0.00762, 0.00905, 0.16165),
                    "rack",
                    (0.0, 0.0, -0.13781, -0.99046),
                ),
            ),
            None,
            {
                "top_region": Region(
                    (0.0, -0.08003, 0.21745),
                    (0.10087, 0.022, 0.00251),
                    (0.854912, -0.518773, 0.0, 0.0),
                )
            },
        ),
        parts=(),
    ),
}
