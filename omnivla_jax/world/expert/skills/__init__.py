"""A skill for every task of LIBERO's suites, by its instruction.

`matching` finds them by goal and scene.
"""

from omnivla_jax.world.expert.skills import groceries, long_horizon, tabletop
from omnivla_jax.world.expert.waypoints import REST, Skill

__all__ = ["SKILLS", "SUITES"]

SUITES = ("libero_spatial", "libero_object", "libero_goal", "libero_10")
SKILLS: dict[str, Skill] = {
    instruction: (*skill, REST)
    for table in (
        tabletop.BOWL_ON_PLATE,
        tabletop.GOALS,
        groceries.ON_THE_FLOOR,
        groceries.ON_THE_TABLE,
        long_horizon.LONG_HORIZON,
    )
    for instruction, skill in table.items()
}
