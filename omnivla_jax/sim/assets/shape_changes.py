"""Scales, turns, pins and paints categories; makes solid boxes and cylinders.

Lengths in m, mass in kg, inertia in kg m^2, quaternions wxyz.
"""

import math
from typing import Sequence

import mujoco
import numpy as np

from omnivla_jax.sim.assets.category import (
    PLAIN,
    UPRIGHT,
    Articulation,
    Category,
    Inertia,
    Part,
    Quaternion,
    Vector,
)
from omnivla_jax.sim.assets.category_records import DENSITY
from omnivla_jax.sim.assets.primitives import Primitive, box, cylinder


def solid(name: str, kind: str, size: Sequence[float]) -> Category:
    """A free box or cylinder about its centre, z up, with LIBERO's density.

    A cylinder collides as two square prisms whose eight edges lie on it.

    Args:
      name: of the category.
      kind: `box` or `cylinder`.
      size: x, y, z of a box; radius and height of a cylinder; m.

    Returns:
      The category.
    """
    if kind == "box":
        x, y, z = (value / 2 for value in size)
        collision: tuple[Primitive, ...] = (box((0, 0, 0), (x, y, z), PLAIN),)
        visual, volume, radius = collision, 8 * x * y * z, max(x, y)
        moments = [(b * b + c * c) / 3 for b, c in ((y, z), (x, z), (x, y))]
    else:
        radius, height = size
        z, side = height / 2, radius / math.sqrt(2)
        eighth = (math.cos(math.pi / 8), 0.0, 0.0, math.sin(math.pi / 8))
        collision = (
            box((0, 0, 0), (side, side, z), PLAIN),
            box((0, 0, 0), (side, side, z), PLAIN, eighth),
        )
        visual = (cylinder((0, 0, -z), (0, 0, z), radius, PLAIN),)
        volume = math.pi * radius**2 * height
        across = (3 * radius**2 + height**2) / 12
        moments = [across, across, radius**2 / 2]
    mass = DENSITY * volume
    a, b, c = (mass * moment for moment in moments)
    inertia = Inertia(mass, (0.0, 0.0, 0.0), (a, b, c), UPRIGHT)
    root = Part("", collision, visual, {}, None, inertia, (0.0, 0.0, 0.0), UPRIGHT)
    return Category(False, (root,), bottom=-z, top=z, radius=radius, grasp_like=name)


def scaled(category: Category, scale: float) -> Category:
    """`category` with all lengths times `scale`, of the same density.

    Mass grows with the third power, inertia with the fifth; drawers slide as much
    farther, doors and knobs turn as before, and joints keep their damping. An object's
    sites grow with it; a fixture keeps the height above the table at which it begins.
    """
    bottom = category.bottom * scale
    if category.fixture:
        bottom = category.bottom + (scale - 1) * lowest(category)
    articulation = category.articulation
    hinged = any(part.joint and part.joint.kind == "hinge" for part in category.parts)
    if articulation is not None and not hinged:
        ranges = [row and (row[0] * scale, row[1] * scale) for row in articulation]
        articulation = Articulation(*ranges)
    return category._replace(
        parts=tuple(_scaled_part(part, scale) for part in category.parts),
        bottom=bottom,
        top=category.top * scale,
        radius=category.radius * scale,
        articulation=articulation,
    )


def painted(category: Category, color: str) -> Category:
    """`category` drawn in the one color #rrggbb.

    Materials keep their names before an `@`.
    """
    parts = []
    for part in category.parts:
        names = (shape.material.split("@")[0] for shape in part.visual)
        visual = (
            shape._replace(material=f"{name}@{color[1:]}")
            for shape, name in zip(part.visual, names)
        )
        parts.append(part._replace(visual=tuple(visual)))
    return category._replace(parts=tuple(parts))


def pinned(category: Category) -> Category:
    """An object that does not move, standing on its lowest point.

    It is turned as LIBERO's sampler places the category, at the mean yaw.
    """
    low, high = category.init_rotation.yaw
    yaw = (low + high) / 2
    turn = (math.cos(yaw / 2), 0.0, 0.0, math.sin(yaw / 2))
    quaternion = _times(turn, category.init_rotation.quaternion)
    (root,) = category.parts
    collision, visual = (
        tuple(
            shape._replace(
                position=_rotated(shape.position, quaternion),
                quaternion=_times(quaternion, shape.quaternion),
            )
            for shape in shapes
        )
        for shapes in (root.collision, root.visual)
    )
    part = root._replace(
        collision=collision,
        visual=visual,
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


def lowest(category: Category) -> float:
    """z of the lowest point of the root's collision shapes."""
    turn, ends = np.zeros(9), []
    for shape in category.parts[0].collision:
        mujoco.mju_quat2Mat(turn, np.array(shape.quaternion, float))
        if shape.kind == "box":
            below = float(np.abs(turn[6:]) @ np.array(shape.size))
        else:
            radius, half = shape.size
            below = float(radius + half * abs(turn[8]))
        ends.append(shape.position[2] - below)
    return min(ends)


def _scaled_part(part: Part, scale: float) -> Part:
    def lengths(vector: Vector, factor: float = scale) -> Vector:
        x, y, z = vector
        return x * factor, y * factor, z * factor

    def shape(old: Primitive) -> Primitive:
        return old._replace(
            size=tuple(value * scale for value in old.size),
            position=lengths(old.position),
            vertices=tuple(map(lengths, old.vertices)),
        )

    joint, inertia = part.joint, part.inertia
    if joint is not None and joint.kind == "slide":
        low, high = joint.range
        joint = joint._replace(range=(low * scale, high * scale))
    if inertia is not None:
        inertia = inertia._replace(
            mass=inertia.mass * scale**3,
            center=lengths(inertia.center),
            moments=lengths(inertia.moments, scale**5),
        )
    return part._replace(
        collision=tuple(map(shape, part.collision)),
        visual=tuple(map(shape, part.visual)),
        regions={
            name: region._replace(
                position=lengths(region.position), half_size=lengths(region.half_size)
            )
            for name, region in part.regions.items()
        },
        joint=joint,
        inertia=inertia,
        position=lengths(part.position),
    )


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
