"""A scripted expert: tasks as sequences of waypoints, closed loop on state, compiled.

It acts through the same 7-D OSC_POSE commands as the policy; nothing is teleported.
"""

from omnivla_jax.world.expert.matching import find_skill, register_skill
from omnivla_jax.world.expert.servo import ExpertState, act, init
from omnivla_jax.world.expert.table import require_skills
from omnivla_jax.world.expert.waypoints import CLOSED, OPEN, Waypoint

__all__ = [
    "CLOSED",
    "OPEN",
    "ExpertState",
    "Waypoint",
    "act",
    "find_skill",
    "init",
    "register_skill",
    "require_skills",
]
