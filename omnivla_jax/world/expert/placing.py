"""Placing after a grasp: carry the held body somewhere and let go; and pushing.

Lengths in m, angles in rad; offsets from the target's origin.
"""

from omnivla_jax.sim.assets import panda
from omnivla_jax.world.expert.grasps import SLIP, Grasp
from omnivla_jax.world.expert.waypoints import (
    CLOSED,
    DOWN,
    FOREVER,
    KEPT,
    OPEN,
    WORLD,
    Skill,
    Vector,
    Waypoint,
    rise,
    wait,
)

SLOW_BELOW = 0.03  # above the place, the last stretch
PRESS = -0.15  # z command: harder jams a plate, softer slips off


def carry(
    held: Grasp,
    target: str,
    offset: Vector,
    *,
    lift: float = 0.08,
    aside: Vector | None = None,
    above: float = 0.065,
    frame: str = KEPT,
    hand: Vector = DOWN,
) -> Skill:
    """Grasp a body, place it and let go; lost on the way, it is grasped again.

    Args:
      held: the grasp.
      target: the body to place at, or WORLD.
      offset: of the held body, not the hand, from the target.
      lift: height after the grasp.
      aside: first move after the grasp, from under an overhang.
      above: height above the place from which the body is lowered.
      frame: of offset and hand on the way, see `waypoints`.
      hand: roll, pitch and yaw on the way.

    Returns:
      The waypoints.
    """
    x, y, z = offset
    there = Waypoint(target, offset, CLOSED, moved=held.body, frame=frame, hand=hand)
    over = there._replace(offset=(x, y, z + above))
    way: Skill = (
        rise(lift, CLOSED),
        over._replace(tolerance=0.012, angle_tolerance=0.15),
        there._replace(offset=(x, y, z + SLOW_BELOW), tolerance=0.015),
        there._replace(speed=0.5, tolerance=0.004, max_steps=20),
    )
    if aside is not None:
        way = (rise(0.0, CLOSED)._replace(offset=aside), *way)
    return (
        *held.waypoints,
        *with_slip_recovery(held, way),
        wait(OPEN, 8),
        rise(0.1, OPEN),
    )


def insert(
    held: Grasp,
    target: str,
    offset: Vector,
    *,
    out: Vector,
    lift: float,
    frame: str,
    hand: Vector,
) -> Skill:
    """Grasp a body, push it through an opening from in front and let go.

    Args:
      held: the grasp.
      target: the body to place in.
      offset: of the held body, not the hand, from the target, in `frame`.
      out: from there to in front of the opening, in `frame`.
      lift: height after the grasp, and above the way in where the hand turns.
      frame: of offset and hand on the way, see `waypoints`.
      hand: roll, pitch and yaw on the way.

    Returns:
      The waypoints.
    """
    inside = Waypoint(target, offset, CLOSED, moved=held.body, frame=frame, hand=hand)
    x, y, z = (a + b for a, b in zip(offset, out))
    in_front = inside._replace(offset=(x, y, z))
    way: Skill = (
        rise(lift, CLOSED),
        in_front._replace(
            offset=(x, y, z + lift), tolerance=0.03, angle_tolerance=0.15
        ),
        in_front._replace(tolerance=0.008, max_steps=40),
        inside._replace(speed=0.5, tolerance=0.006, max_steps=50),
    )
    return (
        *held.waypoints,
        *with_slip_recovery(held, way),
        wait(OPEN, 8),
        inside._replace(offset=(x, y, z), gripper=OPEN, moved=panda.EEF_BODY),
    )


def push(body: str, *, to: Vector, rim: float, yaw: float) -> Skill:
    """Slide a plate to a point of the world, open fingers pressed on its inner rim.

    Slipped off, it starts again.

    Args:
      body: the plate.
      to: where its origin goes, world frame.
      rim: height of the grip site over the plate before pressing.
      yaw: of the hand, whose fingers straddle the way.

    Returns:
      The waypoints.
    """
    over = Waypoint(body, (0.0, 0.0, rim), hand=(0.0, 0.0, yaw))
    pressed = over._replace(press_command=PRESS)
    contact = (
        over._replace(offset=(0.0, 0.0, rim + 0.05), tolerance=0.02),
        over._replace(tolerance=0.004, max_steps=16),
        pressed._replace(min_steps=4, max_steps=4),
    )
    slide = pressed._replace(
        anchor=WORLD,
        offset=to,
        moved=body,
        speed=0.7,
        tolerance=0.0,
        max_steps=FOREVER,
        held=body,
        slip_distance=0.075,
        rewind=len(contact),
    )
    return contact + (slide,)


def with_slip_recovery(held: Grasp, way: Skill) -> Skill:
    """Make waypoints go back to the grasp when the body is no longer in the hand."""
    return tuple(
        waypoint._replace(
            held=held.body,
            slip_distance=held.distance + SLIP,
            rewind=len(held.waypoints) + index,
        )
        for index, waypoint in enumerate(way)
    )
