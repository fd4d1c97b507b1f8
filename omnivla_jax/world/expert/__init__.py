"""A scripted expert: tasks as rows of waypoints, closed loop on state, compiled.

It acts through the same 7-D OSC_POSE commands as the policy; nothing is teleported.
"""

from omnivla_jax.world.expert.matching import find_script
from omnivla_jax.world.expert.phases import CLOSED, OPEN, Phase
from omnivla_jax.world.expert.servo import Memory, act, start
from omnivla_jax.world.expert.table import require_scripts

__all__ = [
    "CLOSED",
    "OPEN",
    "Memory",
    "Phase",
    "act",
    "find_script",
    "require_scripts",
    "start",
]
