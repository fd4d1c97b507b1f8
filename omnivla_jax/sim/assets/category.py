"""What a category of objects or fixtures is: shapes, inertia, regions, joints, visuals.

Lengths in m, mass in kg, inertia in kg m^2, angles in rad, quaternions wxyz.
"""

import math
from typing import NamedTuple

from omnivla_jax.sim.assets.primitives import Primitive

Vector = tuple[float, float, float]
Quaternion = tuple[float, float, float, float]
UPRIGHT: Quaternion = (1.0, 0.0, 0.0, 0.0)
PLAIN = "plain"  # the material of what has none of its own


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
    visual: tuple[Primitive, ...]
    regions: dict[str, Region]
    joint: Joint | None
    inertia: Inertia | None  # None: welded to the world
    position: Vector
    quaternion: Quaternion


class Articulation(NamedTuple):
    """LIBERO's ranges of a joint for each predicate that a BDDL file can state of it.

    Initial states are drawn from them, and goals hold beyond their nearer ends.
    """

    open: tuple[float, float] | None = None
    close: tuple[float, float] | None = None
    turnon: tuple[float, float] | None = None
    turnoff: tuple[float, float] | None = None


class InitRotation(NamedTuple):
    """The rotation in which an object is placed: a range of yaw, after a quaternion.

    The default is LIBERO's, which writes a quarter turn about x as (x, y, z, w) where
    MuJoCo reads (w, x, y, z): an angle a about x becomes a yaw of pi - a.
    """

    quaternion: Quaternion = UPRIGHT
    yaw: tuple[float, float] = (math.pi / 2, math.pi / 2)


class Material(NamedTuple):
    """The surface of a visual shape; see `omnivla_jax.render.types.Material`."""

    rgb: Vector
    rgb2: Vector | None = None  # the texture's second colour; None: rgb
    texture: str = "plain"
    scale: float = 0.1
    specular: float = 0.2
    shininess: float = 0.5


class AcrossGrip(NamedTuple):
    """Where both fingers close around an object, from above."""

    position: Vector
    axis: str = "x"  # "x" or "y": of the object, along which the fingers close
    round: bool = False  # it can be taken from any side


class RimGrip(NamedTuple):
    """Where the wall of a bowl is gripped, on any side."""

    radius: float
    height: float


class WallGrip(NamedTuple):
    """Where the wall of a mug is gripped, away from its handle."""

    center: float  # of the cup's axis, along x
    radius: float
    side: float  # direction from the axis to the gripped wall
    height: float


Grip = AcrossGrip | RimGrip | WallGrip  # of the scripted expert


class Category(NamedTuple):
    """A kind of object (free) or fixture (welded to the world where it is sampled)."""

    fixture: bool
    parts: tuple[Part, ...]
    bottom: float  # z of LIBERO's bottom_site, on which placement rests
    top: float  # z of its top_site
    radius: float  # LIBERO's horizontal_radius
    grasp_like: str  # the category of LIBERO's that the scripted expert takes it for
    init_rotation: InitRotation = InitRotation()
    articulation: Articulation | None = None
    # An object that does not move: a fixture whose `bottom` is its lowest point.
    pinned: bool = False
    grip: Grip | None = (
        None  # where the scripted expert grips it; None: as `grasp_like`
    )
