"""Scales, turns, pins and paints categories; makes solid boxes and cylinders.

Lengths in m, mass in kg, inertia in kg m^2, quaternions wxyz.
"""

import math
from typing import Mapping, Sequence

import mujoco
import numpy as np

from omnivla_jax.sim.assets.objects import (
    ARTICULATIONS,
    CATEGORIES,
    UPRIGHT,
    Articulation,
    Category,
    Inertia,
    Joint,
    Part,
    Quaternion,
    Region,
    Vector,
    start_orientation,
)
from omnivla_jax.sim.assets.primitives import Primitive, box, cylinder
from omnivla_jax.sim.assets.visuals import lookup as visuals
from omnivla_jax.sim.assets.visuals.fixtures import Look

DENSITY = 100.0  # kg/m^3, of LIBERO's objects
SOLID = "plain"  # the material of boxes and cylinders

Drawn = dict[str, tuple[Primitive, ...]]  # part -> what it looks like


def drawn(category: str) -> Drawn:
    """What the parts of a category look like."""
    parts = CATEGORIES[category].parts
    return {p.name: visuals.shapes(category, p.name, p.collision) for p in parts}


def register_looks(category: str, shapes: Drawn) -> None:
    """Let `category` look like `shapes`."""
    visuals.LOOKS[category] = {part: Look(row) for part, row in shapes.items()}


def solid(kind: str, size: Sequence[float]) -> tuple[Category, Drawn]:
    """A free box (x, y, z) or cylinder (radius, height) about its centre, z up.

    A cylinder collides as two square prisms whose eight edges lie on it.
    """
    if kind == "box":
        x, y, z = (value / 2 for value in size)
        collision: tuple[Primitive, ...] = (box((0, 0, 0), (x, y, z), SOLID),)
        shapes, volume, radius = collision, 8 * x * y * z, max(x, y)
        moments = [(b * b + c * c) / 3 for b, c in ((y, z), (x, z), (x, y))]
    else:
        radius, height = size
        z, side = height / 2, radius / math.sqrt(2)
        eighth = (math.cos(math.pi / 8), 0.0, 0.0, math.sin(math.pi / 8))
        collision = (
            box((0, 0, 0), (side, side, z), SOLID),
            box((0, 0, 0), (side, side, z), SOLID, eighth),
        )
        shapes = (cylinder((0, 0, -z), (0, 0, z), radius, SOLID),)
        volume = math.pi * radius**2 * height
        across = (3 * radius**2 + height**2) / 12
        moments = [across, across, radius**2 / 2]
    mass = DENSITY * volume
    a, b, c = (mass * moment for moment in moments)
    inertia = Inertia(mass, (0.0, 0.0, 0.0), (a, b, c), UPRIGHT)
    root = Part("", collision, {}, None, inertia, (0.0, 0.0, 0.0), UPRIGHT)
    return Category(False, (root,), bottom=-z, top=z, radius=radius), {"": shapes}


def scaled(category: Category, scale: float) -> Category:
    """`category` with all lengths times `scale`, of the same density.

    Mass goes with the third power, inertia with the fifth; drawers slide as much
    farther, doors and knobs turn as before, and joints keep their damping. An object's
    sites grow with it; a fixture keeps how high above the table it begins.
    """
    bottom = category.bottom * scale
    if category.fixture:
        bottom = category.bottom + (scale - 1) * lowest(category)
    return category._replace(
        parts=tuple(_scaled_part(part, scale) for part in category.parts),
        bottom=bottom,
        top=category.top * scale,
        radius=category.radius * scale,
    )


def scaled_articulation(category: str, scale: float) -> Articulation:
    """What the words for a category's joints mean when it is scaled."""
    words = ARTICULATIONS[category]
    joints = [part.joint for part in CATEGORIES[category].parts if part.joint]
    if any(joint.kind == "hinge" for joint in joints):
        return words
    ranges = ((low * scale, high * scale) if row else None
              for row in words for low, high in [row or (0.0, 0.0)])  # fmt: skip
    return Articulation(*ranges)


def scaled_looks(shapes: Drawn, scale: float) -> Drawn:
    """What is drawn, in its scaled size."""
    return {
        part: tuple(_scaled_shape(shape, scale) for shape in row)
        for part, row in shapes.items()
    }


def painted(shapes: Drawn, colour: str) -> Drawn:
    """What is drawn, in one colour; the material keeps its name before an `@`."""
    return {
        part: tuple(
            shape._replace(material=f"{shape.material.split('@')[0]}@{colour[1:]}")
            for shape in row
        )
        for part, row in shapes.items()
    }


def resting_orientation(category: str) -> Quaternion:
    """How LIBERO stands an object of `category` on a table, at its mean yaw."""
    quaternion, (low, high) = start_orientation(category)
    yaw = (low + high) / 2
    turn = (math.cos(yaw / 2), 0.0, 0.0, math.sin(yaw / 2))
    return _times(turn, quaternion)


def pinned(category: Category, quaternion: Quaternion) -> Category:
    """An object that does not move: turned, and standing on its lowest point."""
    (root,) = category.parts
    part = root._replace(
        collision=tuple(_turned(shape, quaternion) for shape in root.collision),
        regions={
            name: region._replace(
                position=_rotated(region.position, quaternion),
                quaternion=_times(quaternion, region.quaternion),
            )
            for name, region in root.regions.items()
        },
        inertia=None,
    )
    still = category._replace(fixture=True, parts=(part,), pinned=True)
    return still._replace(bottom=lowest(still))


def turned_looks(shapes: Drawn, quaternion: Quaternion) -> Drawn:
    """What is drawn, turned about the body's origin."""
    return {
        part: tuple(_turned(shape, quaternion) for shape in row)
        for part, row in shapes.items()
    }


def lowest(category: Category) -> float:
    """z of the lowest point of the root's collision shapes."""
    return min(
        shape.position[2] - _half_height(shape)
        for shape in category.parts[0].collision
    )


def _half_height(shape: Primitive) -> float:
    """How far a collision box or capsule reaches below its centre."""
    turn = np.zeros(9)
    mujoco.mju_quat2Mat(turn, np.array(shape.quaternion, float))
    if shape.kind == "box":
        return float(np.abs(turn[6:]) @ np.array(shape.size))
    assert shape.kind == "capsule", f"no collision shape: {shape.kind!r}"
    radius, half = shape.size
    return float(radius + half * abs(turn[8]))


def _scaled_part(part: Part, scale: float) -> Part:
    regions: Mapping[str, Region] = part.regions
    return part._replace(
        collision=tuple(_scaled_shape(shape, scale) for shape in part.collision),
        regions={
            name: region._replace(
                position=_times_scalar(region.position, scale),
                half_size=_times_scalar(region.half_size, scale),
            )
            for name, region in regions.items()
        },
        joint=part.joint and _scaled_joint(part.joint, scale),
        inertia=part.inertia and _scaled_inertia(part.inertia, scale),
        position=_times_scalar(part.position, scale),
    )


def _scaled_joint(joint: Joint, scale: float) -> Joint:
    if joint.kind != "slide":
        return joint
    low, high = joint.range
    return joint._replace(range=(low * scale, high * scale))


def _scaled_inertia(inertia: Inertia, scale: float) -> Inertia:
    return inertia._replace(
        mass=inertia.mass * scale**3,
        center=_times_scalar(inertia.center, scale),
        moments=_times_scalar(inertia.moments, scale**5),
    )


def _scaled_shape(shape: Primitive, scale: float) -> Primitive:
    return shape._replace(
        size=tuple(value * scale for value in shape.size),
        position=_times_scalar(shape.position, scale),
        vertices=tuple(_times_scalar(corner, scale) for corner in shape.vertices),
    )


def _turned(shape: Primitive, quaternion: Quaternion) -> Primitive:
    return shape._replace(
        position=_rotated(shape.position, quaternion),
        quaternion=_times(quaternion, shape.quaternion),
    )


def _times_scalar(vector: Vector, factor: float) -> Vector:
    x, y, z = vector
    return x * factor, y * factor, z * factor


def _rotated(vector: Vector, quaternion: Quaternion) -> Vector:
    result = np.zeros(3)
    mujoco.mju_rotVecQuat(result, np.array(vector, float), np.array(quaternion, float))
    x, y, z = result.tolist()
    return x, y, z


def _times(first: Quaternion, second: Quaternion) -> Quaternion:
    result = np.zeros(4)
    mujoco.mju_mulQuat(result, np.array(first, float), np.array(second, float))
    w, x, y, z = result.tolist()
    return w, x, y, z
