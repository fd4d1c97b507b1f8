"""Which skills solve which task: a script for every instruction of LIBERO's suites."""

from omnivla_jax.world.expert.phases import Script, rest
from omnivla_jax.world.expert.scripts import groceries, rooms, tabletop

__all__ = ["SCRIPTS"]

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
