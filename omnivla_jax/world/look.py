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
from omnivla_jax.sim.arenas import (
    AGENT_FOVY,
    CAMERA_BODY,
    WRIST_CAMERA_POSITION,
    WRIST_CAMERA_QUATERNION,
    WRIST_FOVY,
)
from omnivla_jax.sim.objects import UPRIGHT
from omnivla_jax.sim.primitives import VISIBLE_GROUP
from omnivla_jax.sim.scene import Scene
from omnivla_jax.sim.state import Physics
from omnivla_jax.world.proprioception import HAND_BODY

MATERIALS: dict[str, types.Material] = {
    "floor": types.Material((0.62, 0.58, 0.53), (0.52, 0.49, 0.45), "tile", 0.5),
    "wall": types.Material((0.80, 0.79, 0.74), (0.76, 0.75, 0.70), "marble", 1.5, 0.0),
    "table": types.Material((0.74, 0.56, 0.37), (0.55, 0.38, 0.22), "wood", 0.12, 0.1),
    "basket": types.Material((0.62, 0.47, 0.28), (0.40, 0.28, 0.15), "checker", 0.01),
    "leg": types.Material((0.30, 0.30, 0.32)),
    "plain": types.Material((0.55, 0.40, 0.26)),
    "bowl": types.Material(
        (0.16, 0.16, 0.18), (0.34, 0.33, 0.33), "checker", 0.03, 0.5
    ),
    "plate": types.Material((0.93, 0.92, 0.88), specular=0.4),
    "plate_rim": types.Material((0.80, 0.25, 0.22), specular=0.4),
    "cream_cheese": types.Material(
        (0.93, 0.95, 0.97), (0.12, 0.32, 0.68), "label", 0.005, 0.2
    ),
    "bottle": types.Material((0.10, 0.22, 0.12), specular=0.8, shininess=0.8),
    "label": types.Material((0.92, 0.88, 0.74), (0.60, 0.12, 0.14), "label", 0.006),
    "wood": types.Material((0.50, 0.32, 0.18), (0.36, 0.21, 0.11), "wood", 0.08, 0.1),
    "drawer": types.Material((0.62, 0.43, 0.26), (0.48, 0.31, 0.17), "wood", 0.08, 0.1),
    "handle": types.Material((0.78, 0.70, 0.45), specular=0.8),
    "stove": types.Material((0.22, 0.22, 0.24), specular=0.6),
    "burner": types.Material((0.09, 0.09, 0.10), (0.20, 0.10, 0.09), "checker", 0.03),
    "knob": types.Material((0.55, 0.55, 0.58), specular=0.6),
    "knob_mark": types.Material((0.85, 0.20, 0.15), specular=0.4),
    "rack": types.Material((0.70, 0.52, 0.32), (0.58, 0.40, 0.22), "wood", 0.05, 0.1),
    "glazed_rim_porcelain_ramekin": types.Material((0.91, 0.89, 0.83), specular=0.5),
    "chefmate_8_frypan": types.Material((0.14, 0.14, 0.15), specular=0.5),
    "alphabet_soup": types.Material(
        (0.80, 0.16, 0.14), (0.95, 0.93, 0.88), "label", 0.006
    ),
    "tomato_sauce": types.Material(
        (0.72, 0.10, 0.08), (0.30, 0.52, 0.20), "label", 0.008
    ),
    "bbq_sauce": types.Material((0.33, 0.12, 0.06), (0.85, 0.65, 0.20), "label", 0.006),
    "butter": types.Material((0.96, 0.86, 0.35), (0.20, 0.35, 0.70), "label", 0.006),
    "chocolate_pudding": types.Material(
        (0.36, 0.20, 0.12), (0.93, 0.88, 0.80), "label", 0.006
    ),
    "cookies": types.Material((0.24, 0.34, 0.66), (0.90, 0.75, 0.45), "label", 0.009),
    "ketchup": types.Material((0.82, 0.08, 0.08), (0.95, 0.93, 0.90), "label", 0.012),
    "milk": types.Material((0.95, 0.96, 0.98), (0.25, 0.50, 0.80), "label", 0.012),
    "orange_juice": types.Material(
        (0.98, 0.62, 0.12), (0.97, 0.96, 0.90), "label", 0.012
    ),
    "salad_dressing": types.Material(
        (0.82, 0.80, 0.62), (0.28, 0.50, 0.22), "label", 0.010
    ),
    "black_book": types.Material((0.10, 0.10, 0.12), (0.80, 0.70, 0.35), "label", 0.02),
    "desk_caddy": types.Material((0.45, 0.33, 0.22), (0.35, 0.25, 0.16), "wood", 0.04),
    "moka_pot": types.Material((0.70, 0.71, 0.73), specular=0.9, shininess=0.7),
    "porcelain_mug": types.Material((0.94, 0.94, 0.95), specular=0.6),
    "red_coffee_mug": types.Material((0.78, 0.12, 0.13), specular=0.5),
    "white_yellow_mug": types.Material(
        (0.95, 0.94, 0.90), (0.95, 0.78, 0.20), "checker", 0.05
    ),
    "microwave": types.Material((0.86, 0.86, 0.88), specular=0.4),
    "robot_white": types.Material((0.90, 0.91, 0.93), specular=0.5),
    "robot_grey": types.Material((0.42, 0.44, 0.48), specular=0.5),
    "robot_dark": types.Material((0.16, 0.17, 0.19), specular=0.3),
}
_KINDS = {
    mujoco.mjtGeom.mjGEOM_PLANE: "plane",
    mujoco.mjtGeom.mjGEOM_BOX: "box",
    mujoco.mjtGeom.mjGEOM_SPHERE: "sphere",
    mujoco.mjtGeom.mjGEOM_CAPSULE: "capsule",
    mujoco.mjtGeom.mjGEOM_CYLINDER: "cylinder",
    mujoco.mjtGeom.mjGEOM_ELLIPSOID: "ellipsoid",
}


class Mount(NamedTuple):
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
    cameras: tuple[Mount, ...]


def look(scene: Scene) -> Look:
    """The default look of `scene`: LIBERO's two cameras, daylight."""
    names = tuple(MATERIALS)
    model = scene.visual_model
    visible = np.flatnonzero(model.geom_group == VISIBLE_GROUP)
    agent = Mount(
        scene.bodies[CAMERA_BODY], np.zeros(3, np.float32), _unit(UPRIGHT), AGENT_FOVY
    )
    wrist = Mount(
        scene.bodies[HAND_BODY],
        np.array(WRIST_CAMERA_POSITION, np.float32),
        _unit(WRIST_CAMERA_QUATERNION),
        WRIST_FOVY,
    )
    return Look(
        types.shapes([_primitive(model, int(geom), names) for geom in visible]),
        types.materials(list(MATERIALS.values())),
        types.lights(),
        (agent, wrist),
    )


def camera(mount: Mount, physics: Physics) -> types.Camera:
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


def body_rotations(physics: Physics) -> jax.Array:
    """float32 [B, N, 3, 3]."""
    return rotation.matrix(physics.xquat, jnp)


def _primitive(
    model: mujoco.MjModel, geom: int, names: tuple[str, ...]
) -> types.Primitive:
    kind = _KINDS[mujoco.mjtGeom(model.geom_type[geom])]
    name = model.mat(model.geom_matid[geom]).name
    return types.Primitive(
        kind=kind,
        size=model.geom_size[geom][: types.SIZES[kind]],
        body=int(model.geom_bodyid[geom]),
        position=model.geom_pos[geom],
        quat=model.geom_quat[geom],
        material=names.index(name),
        geom=geom,
    )


def _unit(quaternion: tuple[float, ...]) -> np.ndarray:
    values = np.array(quaternion, np.float32)
    return values / np.linalg.norm(values)
