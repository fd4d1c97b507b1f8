"""Collision and render primitives, and how one becomes an MjSpec geom.

Lengths in m, quaternions wxyz; sizes follow MuJoCo (half sizes; radius, half length).
"""

import itertools
from typing import Literal, NamedTuple, Sequence

import mujoco
import numpy as np

from omnivla_jax.sim.assets import meshes

Collides = Literal["object", "robot", "fixture", "nothing"]

# Objects meet everything; robot and fixtures meet the rest but not themselves.
_COLLISION_BITS: dict[str, tuple[int, int]] = {
    "object": (1, 1),
    "robot": (2, 1),
    "fixture": (0, 3),
    "nothing": (0, 0),
}
_TYPES = {
    "plane": mujoco.mjtGeom.mjGEOM_PLANE,
    "box": mujoco.mjtGeom.mjGEOM_BOX,
    "sphere": mujoco.mjtGeom.mjGEOM_SPHERE,
    "capsule": mujoco.mjtGeom.mjGEOM_CAPSULE,
    "cylinder": mujoco.mjtGeom.mjGEOM_CYLINDER,
    "ellipsoid": mujoco.mjtGeom.mjGEOM_ELLIPSOID,
    "cone": mujoco.mjtGeom.mjGEOM_MESH,
    "cup": mujoco.mjtGeom.mjGEOM_MESH,
    "polytope": mujoco.mjtGeom.mjGEOM_MESH,
}
VISIBLE_GROUP, HIDDEN_GROUP = 0, 3


class Primitive(NamedTuple):
    """A shape in its body's frame, with the name of its material.

    Besides MuJoCo's kinds there are three that are only drawn, which become meshes: a
    "cone" (a frustum: radius below, above, half length), a "cup" (the same, hollow and
    open above) and a "polytope" (the hull of `vertices`; half sides about the frame).
    """

    kind: str
    size: tuple[float, ...]
    position: tuple[float, float, float]
    quaternion: tuple[float, float, float, float]
    material: str
    vertices: tuple[tuple[float, float, float], ...] = ()


def box(
    position: Sequence[float],
    half_size: Sequence[float],
    material: str = "plain",
    quaternion: Sequence[float] = (1.0, 0.0, 0.0, 0.0),
) -> Primitive:
    """A box by its centre and half sizes.

    Args:
      position: of its centre, m.
      half_size: along its axes, m.
      material: a name, as in all shapes here.
      quaternion: of its axes.

    Returns:
      The primitive.
    """
    x, y, z = position
    w, i, j, k = quaternion
    return Primitive("box", tuple(half_size), (x, y, z), (w, i, j, k), material)


def box_between(
    low: Sequence[float], high: Sequence[float], material: str = "plain"
) -> Primitive:
    """An axis-aligned box by two opposite corners.

    Args:
      low, high: the corners, m.
      material: a name.

    Returns:
      The primitive.
    """
    lower, upper = np.asarray(low, float), np.asarray(high, float)
    return box(tuple((lower + upper) / 2), tuple((upper - lower) / 2), material)


def capsule(
    start: Sequence[float], end: Sequence[float], radius: float, material: str = "plain"
) -> Primitive:
    """A capsule by the two centres of its caps.

    Args:
      start, end: the centres, m.
      radius: m.
      material: a name.

    Returns:
      The primitive.
    """
    return _along("capsule", start, end, radius, material)


def cylinder(
    start: Sequence[float], end: Sequence[float], radius: float, material: str = "plain"
) -> Primitive:
    """A cylinder by the centres of its two faces.

    Args:
      start, end: the centres, m.
      radius: m.
      material: a name.

    Returns:
      The primitive.
    """
    return _along("cylinder", start, end, radius, material)


def _along(
    kind: str,
    start: Sequence[float],
    end: Sequence[float],
    radius: float,
    material: str,
) -> Primitive:
    first, last = np.asarray(start, float), np.asarray(end, float)
    length = float(np.linalg.norm(last - first))
    quaternion = np.zeros(4)
    mujoco.mju_quatZ2Vec(quaternion, (last - first) / max(length, 1e-9))
    x, y, z = ((first + last) / 2).tolist()
    w, i, j, k = quaternion.tolist()
    return Primitive(kind, (radius, length / 2), (x, y, z), (w, i, j, k), material)


def ellipsoid(
    position: Sequence[float], semi_axes: Sequence[float], material: str = "plain"
) -> Primitive:
    """An ellipsoid along its body's axes.

    Args:
      position: of its centre, m.
      semi_axes: along x, y and z, m.
      material: a name.

    Returns:
      The primitive.
    """
    x, y, z = position
    upright = (1.0, 0.0, 0.0, 0.0)
    return Primitive("ellipsoid", tuple(semi_axes), (x, y, z), upright, material)


def cone(
    start: Sequence[float],
    end: Sequence[float],
    radii: tuple[float, float],
    material: str = "plain",
) -> Primitive:
    """A frustum by the centres of its two faces.

    Args:
      start, end: the centres, m.
      radii: at the start and at the end, m.
      material: a name.

    Returns:
      The primitive.
    """
    shape = _along("cone", start, end, radii[0], material)
    return shape._replace(size=(*radii, shape.size[1]))


def cup(
    start: Sequence[float],
    end: Sequence[float],
    radii: tuple[float, float],
    material: str = "plain",
) -> Primitive:
    """A hollow frustum, open at its end.

    Args:
      start, end: the centres of its two faces, m.
      radii: at the start and at the end, m.
      material: a name.

    Returns:
      The primitive.
    """
    return cone(start, end, radii, material)._replace(kind="cup")


def polytope(vertices: Sequence[Sequence[float]], material: str = "plain") -> Primitive:
    """The convex hull of `vertices`."""
    corners = np.asarray(vertices, float)
    middle = (corners.min(0) + corners.max(0)) / 2
    x, y, z = middle.tolist()
    half = tuple((corners.max(0) - middle).tolist())
    listed = tuple((a, b, c) for a, b, c in (corners - middle).tolist())
    return Primitive("polytope", half, (x, y, z), (1.0, 0, 0, 0), material, listed)


def corners(shapes: Sequence[Primitive], quaternion: Sequence[float]) -> np.ndarray:
    """The corners of boxes, and of the boxes around capsules, turned about the origin.

    Args:
      shapes: N boxes and capsules in a body's frame.
      quaternion: the turn, wxyz.

    Returns:
      float64 [8 N, 3], in m.
    """
    signs = np.array(list(itertools.product((-1.0, 1.0), repeat=3)))
    matrix, points = np.zeros(9), []
    for shape in shapes:
        half = shape.size
        if shape.kind == "capsule":
            half = (half[0], half[0], half[0] + half[1])
        mujoco.mju_quat2Mat(matrix, np.array(shape.quaternion, float))
        turned = signs * np.array(half) @ matrix.reshape(3, 3).T
        points.append(np.array(shape.position) + turned)
    mujoco.mju_quat2Mat(matrix, np.array(quaternion, float))
    return np.concatenate(points) @ matrix.reshape(3, 3).T


def add_primitive(
    body: mujoco.MjsBody,
    shape: Primitive,
    *,
    collides: Collides,
    visible: bool = True,
    friction: tuple[float, float, float] | None = None,
    condim: int = 3,
) -> mujoco.MjsGeom:
    """Add a shape to a body.

    Args:
      body: gets the geom.
      shape: in the body's frame.
      collides: the role that says what it can touch.
      visible: whether it is drawn, in its material.
      friction: sliding, torsional and rolling; None: MuJoCo's default.
      condim: MuJoCo's dimension of its contacts.

    Returns:
      The geom.
    """
    contype, conaffinity = _COLLISION_BITS[collides]
    meshed = shape.kind in meshes.KINDS
    geom = body.add_geom(
        type=_TYPES[shape.kind],
        size=(tuple(shape.size) + (0.0, 0.0, 0.0))[:3],
        meshname=meshes.name(shape.kind, shape.size, shape.vertices) if meshed else "",
        userdata=shape.size if meshed else (),
        pos=shape.position,
        quat=shape.quaternion,
        contype=contype,
        conaffinity=conaffinity,
        condim=condim,
        group=VISIBLE_GROUP if visible else HIDDEN_GROUP,
        material=shape.material if visible else "",
        density=0.0,
    )
    if friction is not None:
        geom.friction = friction
    return geom
