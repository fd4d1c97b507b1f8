"""The arenas: workspace, robot base, table, room, cameras and lights.

Lengths in m, quaternions wxyz, fields of view in degrees.
"""

from typing import NamedTuple

import mujoco

from omnivla_jax.sim.objects import Quaternion, Vector
from omnivla_jax.sim.primitives import add_primitive, box, box_between, cylinder


class CameraMount(NamedTuple):
    """A camera in the frame of a body (MuJoCo: looks along -z, +y up)."""

    name: str
    body: str
    position: Vector
    quaternion: Quaternion
    fovy: float


class Arena(NamedTuple):
    """Where a suite takes place."""

    workspace_z: float  # where LIBERO's sampler puts things
    fixture_z: dict[str, float]
    region_z: float  # z of table regions
    robot_base: Vector
    cameras: tuple[CameraMount, ...]


WRIST_CAMERA = CameraMount(
    "robot0_eye_in_hand", "right_hand", (0.05, 0, 0), (0, 0.707108, 0.707108, 0), 75.0
)
_TABLETOP = Arena(
    workspace_z=0.90,
    fixture_z={"wooden_cabinet": 0.905, "flat_stove": 0.905, "wine_rack": 0.92},
    region_z=0.895,
    robot_base=(-0.66, 0.0, 0.912),
    cameras=(
        CameraMount(
            "agentview",
            "world",
            (0.6586131746834771, 0.0, 1.6103500240372423),
            (0.6380177736, 0.3048497438, 0.3048498631, 0.6380177736),
            45.0,
        ),
        WRIST_CAMERA,
    ),
)
ARENAS: dict[str, Arena] = {"tabletop": _TABLETOP}
TABLE_FRICTION = (0.6, 0.005, 0.0001)


def add_arena(spec: mujoco.MjSpec, arena: Arena) -> None:
    """Add floor, walls, table, the robot's pedestal and the world's cameras."""
    world = spec.worldbody
    floor = world.add_geom(
        type=mujoco.mjtGeom.mjGEOM_PLANE, size=(3, 3, 0.125), material="floor"
    )
    floor.contype, floor.conaffinity, floor.group = 0, 0, 0
    for wall in _walls():
        add_primitive(world, wall, collides="nothing")
    top = arena.workspace_z
    table = world.add_body(name="table")
    slab = box_between((-0.5, -0.6, top - 0.05), (0.5, 0.6, top), "table")
    add_primitive(table, slab, collides="fixture", friction=TABLE_FRICTION)
    for leg_x in (-0.4, 0.4):
        for leg_y in (-0.5, 0.5):
            leg = cylinder((leg_x, leg_y, 0), (leg_x, leg_y, top - 0.05), 0.04, "leg")
            add_primitive(table, leg, collides="nothing")
    x, y, z = arena.robot_base
    mount = world.add_body(name="mount", pos=arena.robot_base)
    add_primitive(
        mount, box((0, 0, -0.01), (0.13, 0.13, 0.01), "leg"), collides="nothing"
    )
    pillar = cylinder((0, 0, -z), (0, 0, -0.02), 0.12, "leg")
    add_primitive(mount, pillar, collides="nothing")


def _walls() -> tuple:
    return (
        box((-2.0, 0, 1.5), (0.01, 3.0, 1.5), "wall"),
        box((0, 3.0, 1.5), (3.0, 0.01, 1.5), "wall"),
        box((0, -3.0, 1.5), (3.0, 0.01, 1.5), "wall"),
    )
