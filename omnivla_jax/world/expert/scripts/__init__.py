"""Which skills solve which task: a script for every task of LIBERO's suites.

They are written down by LIBERO's own words; `matching` finds them by goal and scene.
"""

from omnivla_jax.world.expert.phases import Script, rest
from omnivla_jax.world.expert.scripts import groceries, rooms, tabletop

__all__ = ["SCRIPTS", "SUITES"]

SUITES = ("libero_spatial", "libero_object", "libero_goal", "libero_10")

_BY_ROOM = (
    tabletop.BOWL_ON_PLATE,
    tabletop.GOALS,
    groceries.ON_THE_FLOOR,
    groceries.ON_THE_TABLE,
    rooms.LONG,
)
SCRIPTS: dict[str, Script] = {
    instruction: script + (rest(),)
    for scripts in _BY_ROOM
    for instruction, script in scripts.items()
}
