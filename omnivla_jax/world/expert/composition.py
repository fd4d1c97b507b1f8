"""Composes a skill for a task from its goals and its geometry.

Each goal is reached by one of a few skills: drawers, doors and knobs by their handles;
objects by a grasp of their category and a way to their destination. `plan` puts them in
an order in which none undoes another.
"""

from omnivla_jax.sim.assets.objects import CATEGORIES
from omnivla_jax.sim.libero.tasks import Goal, Task, split_region
from omnivla_jax.world.expert import articulated, placements, waypoints
from omnivla_jax.world.expert.waypoints import OPEN, Skill, rise


class NoSkill(ValueError):
    """A goal that no skill reaches; `goal` is it."""

    def __init__(self, goal: Goal):
        super().__init__(text(goal))
        self.goal = goal


def text(goal: Goal) -> str:
    """A goal as BDDL writes it, for example "On akita_black_bowl_1 plate_1"."""
    row = (goal.predicate.capitalize(), goal.subject, goal.target)
    return " ".join(filter(None, row))


def plan(task: Task) -> Skill:
    """Compose the skill of a task.

    Args:
      task: any; what its goals name decides, and where that starts.

    Returns:
      Waypoints that reach all goals of the task that do not hold at its start.

    Raises:
      NoSkill: naming the first goal that no skill reaches.
    """
    pieces: list[Skill] = []
    for goal in in_order(task):
        if goal.predicate in ("on", "in"):
            piece = placements.place(task, goal)
        else:
            piece = _moved(task, goal)
        if piece is None:
            raise NoSkill(goal)
        pieces.append(piece)
    between = (rise(0.12, OPEN),)
    skill = sum((between + piece for piece in pieces), ())[1:]
    return (*skill, waypoints.REST)


def in_order(task: Task) -> list[Goal]:
    """The goals to reach one after the other, with drawers that have to be opened.

    What is only closed comes first, then what is opened and turned, then placing, below
    before above, and at last the closing of what was filled.
    """
    held_at_start = {(row.predicate, row.subject) for row in task.joints}
    filled = [goal.target for goal in task.goal if goal.predicate == "in"]
    placing = [goal for goal in task.goal if goal.predicate in ("on", "in")]
    closing = [goal for goal in task.goal if goal.predicate == "close"]
    turning = [
        goal
        for goal in task.goal
        if goal not in (*placing, *closing)
        and (goal.predicate, goal.subject) not in held_at_start
    ]
    opened = {goal.subject for goal in turning if goal.predicate == "open"}
    opened |= {name for predicate, name in held_at_start if predicate == "open"}
    fixtures = {start.name: start.category for start in task.fixtures}
    for name in dict.fromkeys(filled):
        instance, region = split_region(name, fixtures)
        drawer = fixtures.get(instance) in placements.CABINETS and region != "top_side"
        if drawer and name not in opened:
            turning.append(Goal("open", name))
    ordered: list[Goal] = []
    while placing:  # what is placed on something that is placed, too, comes after it
        waiting = {goal.subject for goal in placing}
        ready = [goal for goal in placing if goal.target not in waiting]
        below = ready or placing[:1]
        ordered += below
        placing = [goal for goal in placing if goal not in below]
    open_at_start = {name for predicate, name in held_at_start if predicate == "open"}
    first = [g for g in closing if g.subject not in filled]
    first = [g for g in first if g.subject in open_at_start]
    last = [goal for goal in closing if goal.subject in filled]
    turning.sort(key=lambda goal: goal.predicate != "open")
    return [*first, *turning, *ordered, *last]


def _moved(task: Task, goal: Goal) -> Skill | None:
    """Open, close or turn a fixture's part."""
    fixtures = {start.name: start.category for start in task.fixtures}
    instance, region = split_region(goal.subject, fixtures)
    kind = CATEGORIES[fixtures[instance]].grasp_like if instance else ""
    if kind in placements.CABINETS and region.endswith("_region"):
        level = region.replace("_region", "_level")
        if goal.predicate == "close":
            return articulated.close_drawer(instance, level)
        if level == "bottom_level":
            return articulated.drag_drawer(instance, level)
        return articulated.open_drawer(instance, level)
    if kind == "microwave":
        door = f"{instance}_microjoint"
        if goal.predicate == "close":
            return articulated.close_door(door)
        return articulated.open_door(door)
    if kind == "flat_stove":
        knob = f"{instance}_button"
        if goal.predicate == "turnon":
            return articulated.turn_knob(knob)
        return articulated.turn_knob_back(knob)
    return None
