"""What surrounds the workspace: floor, walls, tables and the robot's pedestal.

Only the floor and the table tops collide. An arena's walls ride on its table's body,
so that a scene of several arenas can move whole rooms. Lengths in m.
"""

from typing import Sequence

import mujoco

from omnivla_jax.sim.assets.arenas import (
    ARENAS,
    CAMERA_BODY,
    FLOOR_FRICTION,
    table_body,
)
from omnivla_jax.sim.assets.primitives import (
    Primitive,
    add_primitive,
    box,
    box_between,
    cylinder,
)

_HALF, _HEIGHT = 3.0, 1.5  # of the room, and half of its walls' height
_BACK = -2.0  # x of the wall behind the robot
_SKIRTING = 0.06  # half height
LAMPS = ((1.0, 1.0, 4.0), (-3.0, -3.0, 4.0))


def shapes(arenas: Sequence[str]) -> tuple[Primitive, ...]:
    """Everything that is drawn of the rooms of `arenas`."""
    drawn = [*pedestal(1.0)]
    for name in arenas:
        drawn += _room(name)
        table = ARENAS[name].table
        if table is not None:
            drawn.append(box_between(table.low, table.high, f"{name}_table"))
    return tuple(drawn)


def add(spec: mujoco.MjSpec, arenas: Sequence[str], *, lamps: bool) -> None:
    """Add floor, rooms and tables, and the body on which the agent camera rides.

    Args:
      spec: gets the geoms, bodies and lights.
      arenas: keys of `ARENAS`; the first one's floor is the scene's.
      lamps: whether LIBERO's two lamps are added, the first with a shadow.
    """
    world = spec.worldbody
    floor = world.add_geom(
        name="floor",
        type=mujoco.mjtGeom.mjGEOM_PLANE,
        size=(_HALF, _HALF, 0.125),
        material=f"{arenas[0]}_floor",
        friction=FLOOR_FRICTION,
    )
    floor.contype, floor.conaffinity, floor.group = 0, 3, 0
    for name in arenas:
        table, body = ARENAS[name].table, world
        if table is not None:
            body = world.add_body(name=table_body(name))
            top = box_between(table.low, table.high, f"{name}_table")
            add_primitive(body, top, collides="fixture", friction=table.friction)
        room = _room(name)
        for shape in room[:-1] if name == arenas[0] else room:
            add_primitive(body, shape, collides="nothing")
    world.add_body(name=CAMERA_BODY)
    for index, position in enumerate(LAMPS if lamps else ()):
        world.add_light(
            pos=position,
            dir=(0, -0.15, -1),
            diffuse=(0.8,) * 3,
            specular=(0.3,) * 3,
            castshadow=index == 0,
        )


def pedestal(height: float) -> tuple[Primitive, ...]:
    """The mount under a robot base that stands `height` (m) above the floor."""
    if height <= 0:
        return ()
    return (
        box((0, 0, -0.01), (0.13, 0.13, 0.01), "pedestal"),
        cylinder((0, 0, -height), (0, 0, -0.02), 0.12, "pedestal"),
    )


def _room(name: str) -> tuple[Primitive, ...]:
    """An arena's furniture and walls and, last, what hides the first arena's floor."""
    table, room = ARENAS[name].table, []
    if table is not None:
        (x0, y0, z0), (x1, y1, _) = table.low, table.high
        wood = f"{name}_legs"
        if not table.leg_radius:
            low, high = (x0 + 0.2, y0 + 0.2, 0.0), (x1 - 0.1, y1 - 0.2, z0)
            room.append(box_between(low, high, wood))
        for x in (x0 + 0.1, x1 - 0.1) if table.leg_radius else ():
            for y in (y0 + 0.1, y1 - 0.1):
                room.append(cylinder((x, y, 0), (x, y, z0), table.leg_radius, wood))
    paint, trim = f"{name}_wall", "skirting"
    return (
        *room,
        box((_BACK, 0, _HEIGHT), (0.01, _HALF, _HEIGHT), paint),
        box((0, _HALF, _HEIGHT), (_HALF, 0.01, _HEIGHT), paint),
        box((0, -_HALF, _HEIGHT), (_HALF, 0.01, _HEIGHT), paint),
        box((_BACK, 0, _SKIRTING), (0.025, _HALF, _SKIRTING), trim),
        box((0, 0, -0.008), (_HALF, _HALF, 0.01), f"{name}_floor"),
    )
