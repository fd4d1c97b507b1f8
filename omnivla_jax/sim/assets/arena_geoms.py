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
    TableTop,
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
    found: list[Primitive] = [*_pedestal(1.0), _floor_cover(arenas[0])]
    for name in arenas:
        found += [*_walls(name), *_furniture(name), _floor_cover(name)]
        slab = ARENAS[name].table
        found += [_top(name, slab)] if slab else []
    return tuple(found)


def add(spec: mujoco.MjSpec, arenas: Sequence[str]) -> None:
    """Add floor, rooms and tables, and the body on which the agent camera rides."""
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
        _add_room(spec, name, covered=name != arenas[0])
    world.add_body(name=CAMERA_BODY)


def add_pedestal(base: mujoco.MjsBody, height: float) -> None:
    """Add the mount under a robot base that stands `height` above the floor."""
    for shape in _pedestal(height) if height > 0 else ():
        add_primitive(base, shape, collides="nothing")


def add_lamps(spec: mujoco.MjSpec) -> None:
    """LIBERO's two lamps, the first with a shadow, for whoever draws with MuJoCo."""
    for index, position in enumerate(LAMPS):
        spec.worldbody.add_light(
            pos=position,
            dir=(0, -0.15, -1),
            diffuse=(0.8,) * 3,
            specular=(0.3,) * 3,
            castshadow=index == 0,
        )


def _add_room(spec: mujoco.MjSpec, name: str, *, covered: bool) -> None:
    slab, body = ARENAS[name].table, spec.worldbody
    if slab is not None:
        body = spec.worldbody.add_body(name=table_body(name))
        top = _top(name, slab)
        add_primitive(body, top, collides="fixture", friction=slab.friction)
    cover = (_floor_cover(name),) if covered else ()
    for shape in (*_furniture(name), *_walls(name), *cover):
        add_primitive(body, shape, collides="nothing")


def _top(name: str, slab: TableTop) -> Primitive:
    return box_between(slab.low, slab.high, f"{name}_table")


def _floor_cover(name: str) -> Primitive:
    """Hides the floor of the scene's first arena."""
    return box((0, 0, -0.008), (_HALF, _HALF, 0.01), f"{name}_floor")


def _walls(name: str) -> tuple[Primitive, ...]:
    paint, trim = f"{name}_wall", "skirting"
    return (
        box((_BACK, 0, _HEIGHT), (0.01, _HALF, _HEIGHT), paint),
        box((0, _HALF, _HEIGHT), (_HALF, 0.01, _HEIGHT), paint),
        box((0, -_HALF, _HEIGHT), (_HALF, 0.01, _HEIGHT), paint),
        box((_BACK, 0, _SKIRTING), (0.025, _HALF, _SKIRTING), trim),
    )


def _furniture(name: str) -> tuple[Primitive, ...]:
    """What the table top of an arena stands on."""
    slab = ARENAS[name].table
    if slab is None:
        return ()
    (x0, y0, z0), (x1, y1, _) = slab.low, slab.high
    legs, wood = [], f"{name}_legs"
    if not slab.leg_radius:
        low, high = (x0 + 0.2, y0 + 0.2, 0.0), (x1 - 0.1, y1 - 0.2, z0)
        return (box_between(low, high, wood),)
    for x in (x0 + 0.1, x1 - 0.1):
        for y in (y0 + 0.1, y1 - 0.1):
            legs.append(cylinder((x, y, 0), (x, y, z0), slab.leg_radius, wood))
    return tuple(legs)


def _pedestal(height: float) -> tuple[Primitive, ...]:
    return (
        box((0, 0, -0.01), (0.13, 0.13, 0.01), "pedestal"),
        cylinder((0, 0, -height), (0, 0, -0.02), 0.12, "pedestal"),
    )
