"""The row a script is made of.

Lengths in m, angles in rad, times in control steps of 50 ms.
"""

import math
from typing import NamedTuple

from omnivla_jax.sim.assets import panda

Vector = tuple[float, float, float]

OPEN, CLOSED = -1.0, 1.0  # gripper commands
START, WORLD = "start", "world"  # anchors: the hand when the phase began; the origin
# Frames of a phase's offset and hand. KEPT: along the world, with the hand turned as
# the phase before wanted it. "x", "y", "z": about z with that axis of the anchor.
FIXED, KEPT = "fixed", "kept"
DOWN: Vector = (0.0, 0.0, 0.0)  # pointing down, fingers opening along y
FOREVER = 10_000


class Phase(NamedTuple):
    """Servo one body to a point near another until it arrives or time is up."""

    anchor: str  # a body, START or WORLD
    offset: Vector
    gripper: float = OPEN
    moved: str = panda.EEF_BODY  # what is to arrive: the hand, what it holds or pushes
    frame: str = FIXED
    hand: Vector = DOWN  # roll, pitch, yaw from pointing down, in the frame
    lead: float = 0.0  # turns the frame further: a hinge is pushed ahead of itself
    speed: float = 1.0  # largest component of the translation command
    tolerance: float = 0.01
    turned: float = math.inf  # largest angle left before the phase counts as done
    at_least: int = 0
    at_most: int = 60
    press: float = math.nan  # a constant z command instead of the servo's
    held: str = panda.EEF_BODY  # lost once it is further than `reach` from the hand,
    reach: float = math.inf
    back: int = 0  # and then the script goes back this many phases


Script = tuple[Phase, ...]


def wait(gripper: float, steps: int) -> Phase:
    """Hold still while the fingers move."""
    return Phase(
        START,
        (0, 0, 0),
        gripper,
        frame=KEPT,
        tolerance=math.inf,
        at_least=steps,
        at_most=steps,
    )


def rise(height: float, gripper: float) -> Phase:
    """Straight up by `height`."""
    return Phase(START, (0, 0, height), gripper, frame=KEPT, tolerance=0.02)


def rest() -> Phase:
    """The end of a script: away upwards with open fingers, for good."""
    return rise(0.1, OPEN)._replace(tolerance=0.0, at_most=FOREVER)
