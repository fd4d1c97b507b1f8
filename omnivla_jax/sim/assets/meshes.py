"""Meshes that stand for the render-only primitives in a MuJoCo model, and back.

MuJoCo moves a mesh into its frame of inertia; `frame` undoes that. Lengths in m.
Axes: V vertices, F faces, P points of a profile.
"""

import hashlib
from typing import Sequence

import mujoco
import numpy as np
from scipy.spatial import ConvexHull

KINDS = ("cone", "cup", "polytope")
SEGMENTS = 64  # of a circle
CUP_WALL = 0.06  # of a cup's upper radius: how thick its wall and its bottom are

Corners = Sequence[Sequence[float]]


def name(kind: str, size: Sequence[float], vertices: Corners = ()) -> str:
    """The name of a primitive's mesh: its kind and a hash of its size and vertices.

    Args:
      kind: of the primitive.
      size: of the primitive, m.
      vertices: rows of x, y, z in m, of a polytope.

    Returns:
      The name, equal for equal shapes.
    """
    values = np.concatenate([np.ravel(size), np.ravel(vertices)]).astype(np.float64)
    digest = hashlib.sha1(np.round(values, 7).tobytes()).hexdigest()[:12]
    return f"{kind} {digest}"


def add(
    spec: mujoco.MjSpec, kind: str, size: Sequence[float], vertices: Corners = ()
) -> None:
    """Add the mesh of a primitive, unless `spec` has it.

    Args:
      spec: gets the mesh.
      kind: of the primitive; those outside `KINDS` need none.
      size: of the primitive, m.
      vertices: rows of x, y, z in m, of a polytope.
    """
    called = name(kind, size, vertices)
    if kind not in KINDS or any(mesh.name == called for mesh in spec.meshes):
        return
    mesh = spec.add_mesh(name=called)
    mesh.inertia = mujoco.mjtMeshInertia.mjMESH_INERTIA_SHELL
    if kind == "polytope":
        corners, faces = np.asarray(vertices, float), _hull_faces(vertices)
    else:
        corners, faces = _turned(_profile(kind, size))
    mesh.uservert, mesh.userface = corners.ravel(), faces.ravel()


def planes(model: mujoco.MjModel, mesh: int) -> np.ndarray:
    """The faces of a convex mesh, in its asset's frame.

    Args:
      model: the compiled model.
      mesh: its row.

    Returns:
      float64 [F, 4]: outward unit normals, and the faces' distances from the origin
        in m.
    """
    first, count = model.mesh_vertadr[mesh], model.mesh_vertnum[mesh]
    turn = np.zeros(9)
    mujoco.mju_quat2Mat(turn, model.mesh_quat[mesh])
    corners = model.mesh_vert[first : first + count] @ turn.reshape(3, 3).T
    hull = ConvexHull(corners + model.mesh_pos[mesh]).equations
    distinct = np.unique(np.round(hull, 5), axis=0)
    return np.concatenate([distinct[:, :3], -distinct[:, 3:]], axis=1)


def frame(model: mujoco.MjModel, geom: int) -> tuple[np.ndarray, np.ndarray]:
    """A geom's pose as its asset's frame has it, of a mesh before MuJoCo moves it.

    Args:
      model: the compiled model.
      geom: its row.

    Returns:
      Its position [3] in m and quaternion [4] in its body's frame.
    """
    position, quaternion = model.geom_pos[geom].copy(), model.geom_quat[geom].copy()
    mesh = model.geom_dataid[geom]
    if model.geom_type[geom] != mujoco.mjtGeom.mjGEOM_MESH:
        return position, quaternion
    undone = np.zeros(4)
    mujoco.mju_negQuat(undone, model.mesh_quat[mesh])
    mujoco.mju_mulQuat(quaternion, model.geom_quat[geom], undone)
    offset = np.zeros(3)
    mujoco.mju_rotVecQuat(offset, model.mesh_pos[mesh], quaternion)
    return position - offset, quaternion


def _hull_faces(vertices: Corners) -> np.ndarray:
    """Triangles [F, 3] of the hull, turning left seen from outside."""
    corners = np.asarray(vertices, float)
    hull = ConvexHull(corners)
    faces = hull.simplices.copy()
    a, b, c = (corners[faces[:, i]] for i in range(3))
    inward = (np.cross(b - a, c - a) * hull.equations[:, :3]).sum(1) < 0
    faces[inward] = faces[inward][:, ::-1]
    return faces


def _profile(kind: str, size: Sequence[float]) -> np.ndarray:
    """Radius and z [P, 2] from the axis below, around the outside, to the axis."""
    below, above, half = size
    outside = [(0.0, -half), (below, -half), (above, half)]
    if kind == "cone":
        return np.array([*outside, (0.0, half)])
    wall = CUP_WALL * above
    floor = below + (above - below) * wall / (2 * half) - wall
    inside = [(above - wall, half), (floor, wall - half), (0.0, wall - half)]
    return np.array([*outside, *inside])


def _turned(profile: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Vertices [V, 3] and triangles [F, 3] of a profile turned about z."""
    angle = 2 * np.pi * np.arange(SEGMENTS) / SEGMENTS
    radius = profile[1:-1, :1] / np.sqrt(np.cos(np.pi / SEGMENTS))
    rings = np.stack(
        [
            radius * np.cos(angle),
            radius * np.sin(angle),
            np.repeat(profile[1:-1, 1:], SEGMENTS, axis=1),
        ],
        axis=-1,
    )
    ends = np.array([[0, 0, profile[0, 1]], [0, 0, profile[-1, 1]]])
    corners = np.concatenate([ends, rings.reshape(-1, 3)])
    here = np.arange(SEGMENTS)
    there = (here + 1) % SEGMENTS
    last = 2 + (len(profile) - 3) * SEGMENTS
    faces = [
        np.stack([0 * here, 2 + there, 2 + here], axis=1),
        np.stack([0 * here + 1, last + here, last + there], axis=1),
    ]
    for ring in range(len(profile) - 3):
        a, b = 2 + ring * SEGMENTS, 2 + (ring + 1) * SEGMENTS
        faces.append(np.stack([a + here, a + there, b + there], axis=1))
        faces.append(np.stack([a + here, b + there, b + here], axis=1))
    return corners, np.concatenate(faces)
