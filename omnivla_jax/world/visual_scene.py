"""What a scene looks like: the renderer's shapes and materials for the MuJoCo bodies.

A look is named after its material; `MATERIALS` gives each its colours and texture.
"""

from typing import NamedTuple

import jax
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
from omnivla_jax.sim.assets.objects import UPRIGHT
from omnivla_jax.sim.assets.primitives import VISIBLE_GROUP
from omnivla_jax.sim.scene import Scene
from omnivla_jax.sim.state import PhysicsState
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
    """A camera and the body it rides on."""

    body: int
    position: np.ndarray  # [3]
    quaternion: np.ndarray  # [4] wxyz
    fovy: float


class Look(NamedTuple):
    """Everything visible about a scene that the state does not hold."""

    shapes: types.Shapes
    materials: types.Materials
    lights: types.Lights
    cameras: tuple[CameraMount, ...]


def look(scene: Scene) -> Look:
    """The default look of `scene`: LIBERO's two cameras, daylight."""
    model = scene.visual_model
    visible = np.flatnonzero(model.geom_group == VISIBLE_GROUP)
    used = {model.mat(model.geom_matid[geom]).name for geom in visible}
    names = (*MATERIALS, *sorted(used - set(MATERIALS)))  # behind: what is recoloured
    agent = CameraMount(
        scene.bodies[CAMERA_BODY], np.zeros(3, np.float32), _unit(UPRIGHT), AGENT_FOVY
    )
    wrist = CameraMount(
        scene.bodies[HAND_BODY],
        np.array(WRIST_CAMERA_POSITION, np.float32),
        _unit(WRIST_CAMERA_QUATERNION),
        WRIST_FOVY,
    )
    return Look(
        types.make_shapes([_primitive(model, int(geom), names) for geom in visible]),
        types.make_materials([material(name) for name in names]),
        types.default_lights(),
        (agent, wrist),
    )


def camera(mount: CameraMount, physics: PhysicsState) -> types.Camera:
    """The mounted camera of every environment: leaves [B, ...]."""
    position, quaternion = physics.xpos[:, mount.body], physics.xquat[:, mount.body]
    local = jnp.broadcast_to(jnp.asarray(mount.position), position.shape)
    turn = jnp.broadcast_to(jnp.asarray(mount.quaternion), quaternion.shape)
    turned = rotation.multiply(quaternion, turn, jnp)
    return types.Camera(
        position + rotation.rotate(quaternion, local, jnp),
        rotation.matrix(turned, jnp),
        jnp.full(position.shape[0], mount.fovy),
    )


def body_rotations(physics: PhysicsState) -> jax.Array:
    """float32 [B, N, 3, 3]."""
    return rotation.matrix(physics.xquat, jnp)


def _primitive(
    model: mujoco.MjModel, geom: int, names: tuple[str, ...]
) -> types.RenderPrimitive:
    mesh = int(model.geom_dataid[geom])
    shape = mujoco.mjtGeom(model.geom_type[geom])
    meshed = shape == mujoco.mjtGeom.mjGEOM_MESH
    kind = model.mesh(mesh).name.split()[0] if meshed else _KINDS[shape]
    sizes = model.geom_user[geom] if meshed else model.geom_size[geom]
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


def _unit(quaternion: tuple[float, ...]) -> np.ndarray:
    values = np.array(quaternion, np.float32)
    return values / np.linalg.norm(values)
