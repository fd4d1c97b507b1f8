"""What follows a grasp: carry the held body somewhere and let go.

Lengths in m, angles in rad; offsets from the target's origin.
"""

from omnivla_jax.world.expert.grasps import SLIP, Grasp
from omnivla_jax.world.expert.phases import (
    CLOSED,
    DOWN,
    FOREVER,
    KEPT,
    OPEN,
    WORLD,
    Phase,
    Script,
    Vector,
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
    leave: float = 0.1,
) -> Script:
    """Grasp, lift by `lift`, and set the body, not the hand, at `offset` of `target`.

    It is first moved `aside`, from under an overhang, and in the end lowered from
    `above` the place. Lost on the way, it is grasped again.
    """
    x, y, z = offset
    there = Phase(target, offset, CLOSED, moved=held.body, frame=frame, hand=hand)
    out = () if aside is None else (rise(0.0, CLOSED)._replace(offset=aside),)
    way = out + (
        rise(lift, CLOSED),
        there._replace(offset=(x, y, z + above), tolerance=0.012, turned=0.15),
        there._replace(offset=(x, y, z + SLOW_BELOW), tolerance=0.015),
        there._replace(speed=0.5, tolerance=0.004, at_most=20),
    )
    return held.rows + watched(held, way) + (wait(OPEN, 8), rise(leave, OPEN))


def push(body: str, *, to: Vector, rim: float, yaw: float) -> Script:
    """Slide a plate to a point of the world, open fingers pressed on its inner rim.

    `rim` is the height of the finger tips' grip site over the plate before pressing,
    `yaw` the hand's, whose fingers straddle the way. Slipped off, it starts again.
    """
    over = Phase(body, (0.0, 0.0, rim), hand=(0.0, 0.0, yaw))
    pressed = over._replace(press=PRESS)
    start = (
        over._replace(offset=(0.0, 0.0, rim + 0.05), tolerance=0.02),
        over._replace(tolerance=0.004, at_most=16),
        pressed._replace(at_least=4, at_most=4),
    )
    slide = pressed._replace(
        anchor=WORLD,
        offset=to,
        moved=body,
        speed=0.7,
        tolerance=0.0,
        at_most=FOREVER,
        held=body,
        reach=0.075,
        back=len(start),
    )
    return start + (slide,)


def watched(held: Grasp, way: Script) -> Script:
    """The way, going back to the grasp when the body is no longer in the hand."""
    return tuple(
        row._replace(
            held=held.body,
            reach=held.distance + SLIP,
            back=len(held.rows) + index,
        )
        for index, row in enumerate(way)
    )
