"""The renderer's shapes, materials, lights and cameras for a scene's MuJoCo bodies.

Visual geoms name their material; `MATERIALS` gives each its colours and texture.
"""

from typing import NamedTuple

import jax.numpy as jnp
import mujoco
import numpy as np

from omnivla_jax.render import types
from omnivla_jax.sim import rotation
from omnivla_jax.sim.assets import meshes
from omnivla_jax.sim.assets.arenas import (
    AGENT_FOVY,
    CAMERA_BODY,
    WRIST_CAMERA_POSITION,
    WRIST_CAMERA_QUATERNION,
    WRIST_FOVY,
)
from omnivla_jax.sim.assets.category import UPRIGHT
from omnivla_jax.sim.assets.primitives import VISIBLE_GROUP
from omnivla_jax.sim.state import PhysicsState, Scene
from omnivla_jax.world.materials import MATERIALS, material
from omnivla_jax.world.proprioception import HAND_BODY

_KINDS = {
    mujoco.mjtGeom.mjGEOM_PLANE: "plane",
    mujoco.mjtGeom.mjGEOM_BOX: "box",
    mujoco.mjtGeom.mjGEOM_SPHERE: "sphere",
    mujoco.mjtGeom.mjGEOM_CAPSULE: "capsule",
    mujoco.mjtGeom.mjGEOM_CYLINDER: "cylinder",
    mujoco.mjtGeom.mjGEOM_ELLIPSOID: "ellipsoid",
}


class CameraMount(NamedTuple):
    """A camera and the body that it is fixed to."""

    body: int
    position: np.ndarray  # float32 [3] or [B, 3], in the body's frame, m
    quaternion: np.ndarray  # float32 [4] or [B, 4], wxyz
    fovy: float  # vertical field of view, degrees; or [B]


class VisualScene(NamedTuple):
    """All visible properties of a scene that the state does not hold."""

    shapes: types.Shapes
    materials: types.Materials
    lights: types.Lights
    cameras: tuple[CameraMount, ...]


def make(scene: Scene) -> VisualScene:
    """Make the default visual scene: LIBERO's two cameras, daylight."""
    model = scene.visual_model
    visible = np.flatnonzero(model.geom_group == VISIBLE_GROUP)
    names = material_names(scene)
    mounts = (
        (CAMERA_BODY, np.zeros(3), UPRIGHT, AGENT_FOVY),
        (HAND_BODY, WRIST_CAMERA_POSITION, WRIST_CAMERA_QUATERNION, WRIST_FOVY),
    )
    cameras = []
    for body, position, quaternion, fovy in mounts:
        offset, turn = (np.array(v, np.float32) for v in (position, quaternion))
        turn = turn / np.linalg.norm(turn)
        cameras.append(CameraMount(scene.bodies[body], offset, turn, fovy))
    return VisualScene(
        types.make_shapes([_primitive(model, int(geom), names) for geom in visible]),
        types.make_materials([material(name) for name in names]),
        types.DEFAULT_LIGHTS,
        tuple(cameras),
    )


def material_names(scene: Scene) -> tuple[str, ...]:
    """The name of each row of a scene's materials: known ones, then recoloured ones."""
    model = scene.visual_model
    visible = np.flatnonzero(model.geom_group == VISIBLE_GROUP)
    used = {model.mat(model.geom_matid[geom]).name for geom in visible}
    return (*MATERIALS, *sorted(used - set(MATERIALS)))


def mounted_camera(mount: CameraMount, physics: PhysicsState) -> types.Camera:
    """Pose a mounted camera in every environment.

    Args:
      mount: leaves may have a leading axis B.
      physics: B environments.

    Returns:
      Leaves [B, ...], world frame.
    """
    position, quaternion = physics.xpos[:, mount.body], physics.xquat[:, mount.body]
    local = jnp.broadcast_to(jnp.asarray(mount.position), position.shape)
    turn = jnp.broadcast_to(jnp.asarray(mount.quaternion), quaternion.shape)
    turned = rotation.multiply(quaternion, turn, jnp)
    return types.Camera(
        position + rotation.rotate(quaternion, local, jnp),
        rotation.matrix(turned, jnp),
        jnp.full(position.shape[0], mount.fovy),
    )


def _primitive(
    model: mujoco.MjModel, geom: int, names: tuple[str, ...]
) -> types.RenderPrimitive:
    """The primitive of a visual geom, its material an index into `names`."""
    mesh = int(model.geom_dataid[geom])
    shape = mujoco.mjtGeom(model.geom_type[geom])
    is_mesh = shape == mujoco.mjtGeom.mjGEOM_MESH
    kind = model.mesh(mesh).name.split()[0] if is_mesh else _KINDS[shape]
    sizes = model.geom_user[geom] if is_mesh else model.geom_size[geom]
    position, quaternion = meshes.frame(model, geom)
    return types.RenderPrimitive(
        kind=kind,
        size=sizes[: types.SIZES[kind]],
        body=int(model.geom_bodyid[geom]),
        position=position.tolist(),
        quat=quaternion.tolist(),
        material=names.index(model.mat(model.geom_matid[geom]).name),
        geom=geom,
        planes=meshes.planes(model, mesh).tolist() if kind == "polytope" else (),
    )
