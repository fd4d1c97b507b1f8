"""The five arenas: workspace, robot base, table, room and camera.

Every arena's table, the robot's base and the agent camera are bodies whose poses are
data, so that one scene can hold tasks of several arenas.
Lengths in m, quaternions wxyz, fields of view in degrees.
"""

from typing import NamedTuple

from omnivla_jax.sim.assets.category import Quaternion, Vector

CAMERA_BODY, BASE_BODY = "agentview", "robot_base"
WRIST_CAMERA_POSITION: Vector = (0.05, 0.0, 0.0)
WRIST_CAMERA_QUATERNION: Quaternion = (0.0, 0.707108, 0.707108, 0.0)
AGENT_FOVY, WRIST_FOVY = 45.0, 75.0


class TableTop(NamedTuple):
    """A table top, by two extreme corners."""

    low: Vector
    high: Vector
    friction: Vector
    leg_radius: float


class Arena(NamedTuple):
    """Where a task takes place."""

    problem: str  # LIBERO's problem class, lower case
    workspace: str  # the fixture that regions refer to
    offset: Vector  # LIBERO's workspace_offset, where its sampler puts things
    shrinks: bool  # LIBERO's sampler shrinks rectangles by the object's radius
    fixture_lift: float  # z of fixtures above the offset, plus their bottom
    region_z: float  # z of the workspace's regions
    robot_base: Vector
    camera_position: Vector
    camera_quaternion: Quaternion
    table: TableTop | None  # None: things stand on the floor


_OBJECT_FRICTION: Vector = (0.95, 0.3, 0.1)
_FROM_ABOVE: Quaternion = (0.6380177736, 0.3048497438, 0.3048498631, 0.6380177736)
_FROM_LOW: Quaternion = (0.6182166934, 0.3432307541, 0.3432314396, 0.6182177067)
_CAMERA_X, _CAMERA_Z = 0.6586131746834771, 1.6103500240372423

ARENAS: dict[str, Arena] = {
    "tabletop": Arena(
        problem="libero_tabletop_manipulation",
        workspace="main_table",
        offset=(0.0, 0.0, 0.90),
        shrinks=True,
        fixture_lift=-0.04,
        region_z=0.895,
        robot_base=(-0.66, 0.0, 0.912),
        camera_position=(_CAMERA_X, 0.0, _CAMERA_Z),
        camera_quaternion=_FROM_ABOVE,
        table=TableTop(
            (-0.5, -0.6, 0.85), (0.5, 0.6, 0.90), (0.6, 0.005, 0.0001), 0.04
        ),
    ),
    "kitchen": Arena(
        problem="libero_kitchen_tabletop_manipulation",
        workspace="kitchen_table",
        offset=(0.0, 0.0, 0.90),
        shrinks=False,
        fixture_lift=-0.04,
        region_z=0.875,
        robot_base=(-0.66, 0.0, 0.912),
        camera_position=(_CAMERA_X, 0.0, _CAMERA_Z),
        camera_quaternion=_FROM_ABOVE,
        table=TableTop(
            (-0.5, -0.6, 0.85), (0.5, 0.6, 0.90), (1.0, 0.005, 0.0001), 0.04
        ),
    ),
    "floor": Arena(
        problem="libero_floor_manipulation",
        workspace="floor",
        offset=(0.0, 0.0, -0.035),
        shrinks=True,
        fixture_lift=-0.025,
        region_z=0.02,
        robot_base=(-0.6, 0.0, 0.0),
        camera_position=(0.8965773716836134, 5.2e-7, 0.65),
        camera_quaternion=_FROM_LOW,
        table=None,
    ),
    # The living room's six and the study's seven boxes, as the slab they are on top.
    "living_room": Arena(
        problem="libero_living_room_tabletop_manipulation",
        workspace="living_room_table",
        offset=(0.0, 0.0, 0.41),
        shrinks=False,
        fixture_lift=-0.014,
        region_z=0.41,
        robot_base=(-0.51, 0.0, 0.42),
        camera_position=(0.6065773716836134, 0.0, 0.96),
        camera_quaternion=_FROM_LOW,
        table=TableTop(
            (-0.8242, -0.8214, 0.41308),
            (0.3387, 0.9007, 0.43676),
            _OBJECT_FRICTION,
            0.0,
        ),
    ),
    "study": Arena(
        problem="libero_study_tabletop_manipulation",
        workspace="study_table",
        offset=(-0.2, 0.0, 0.867),
        shrinks=False,
        fixture_lift=-0.04,
        region_z=0.867,
        robot_base=(-0.75, 0.0, 0.912),
        camera_position=(0.4586131746834771, 0.0, _CAMERA_Z),
        camera_quaternion=_FROM_ABOVE,
        table=TableTop(
            (-0.68946, -1.39273, 0.81345),
            (0.68946, 1.39273, 0.88513),
            _OBJECT_FRICTION,
            0.04,
        ),
    ),
}
FLOOR_FRICTION: Vector = (1.0, 0.005, 0.0001)


def arena_of(problem: str) -> tuple[str, str] | None:
    """The arena of a problem class and what the class adds to it, or None.

    LIBERO-Plus names light and surfaces in the class, behind LIBERO's own name:
    `libero_floor_manipulation_floor_light_sync_modified_7`.

    Args:
      problem: LIBERO's problem class, lower case.
    """
    for name, arena in ARENAS.items():
        if problem == arena.problem:
            return name, ""
        if problem.startswith(arena.problem + "_"):
            return name, problem[len(arena.problem) + 1 :]
    return None


def table_body(name: str) -> str:
    """The body that carries the table of arena `name`."""
    return f"{name}_table"
