"""Composes a skill for a task from its goals and its geometry.

Each goal is reached by one of a few skills: drawers, doors and knobs by their handles;
objects by a grasp of their category and a way to their destination. `plan` puts them in
an order in which none undoes another.

Lengths in m, angles in rad; directions in the world, see `held`.
"""

import math
from typing import NamedTuple

from omnivla_jax.sim.assets.objects import CATEGORIES
from omnivla_jax.sim.libero.tasks import Goal, Task, split_region
from omnivla_jax.world.expert import articulated, destinations, held, waypoints
from omnivla_jax.world.expert.destinations import Destination
from omnivla_jax.world.expert.placing import carry, insert
from omnivla_jax.world.expert.start_layout import (
    StartPose,
    rotated,
    starts,
    table_height,
)
from omnivla_jax.world.expert.waypoints import FIXED, KEPT, OPEN, Skill, rise

_CABINETS = ("wooden_cabinet", "white_cabinet")
_SHELVES = ("wooden_two_layer_shelf",)
_BOOKS = ("black_book", "yellow_book")
_OPENED = 0.15  # how far drawers come out
_DRAWER_FRONT = 0.11  # of a closed drawer's handle from the cabinet's origin
_LEAN, _STEEP = math.radians(15), math.radians(50)  # of the hand, out of a drawer
_LAID = math.radians(60)  # how far a bottle leans that is too tall for a drawer
_HIGHEST, _LOWEST = 0.28, 0.08  # lifts
_MARGIN = 0.03  # of what is carried over what it passes
_WAYSIDE = 0.2  # of the path: what is nearer has to be passed above


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
    skill: Skill = ()
    for goal in in_order(task):
        if goal.predicate in ("on", "in"):
            piece = _placed(task, goal)
        else:
            piece = _moved(task, goal)
        if piece is None:
            raise NoSkill(goal)
        skill += (*piece, rise(0.12, OPEN))
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
        drawer = fixtures.get(instance) in _CABINETS and region != "top_side"
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
    if kind in _CABINETS and region.endswith("_region"):
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


class _Errand(NamedTuple):
    """An object to place, with what matters around it."""

    name: str
    start: StartPose
    others: dict[str, StartPose]  # movable
    place: Destination
    table: float


def _placed(task: Task, goal: Goal) -> Skill | None:
    """Take an object and put it where a goal wants it."""
    layout = starts(task)
    rivals = [
        row.subject
        for row in task.goal
        if row.target == goal.target and row.predicate == "in"
    ]
    order = rivals.index(goal.subject) if goal.subject in rivals else 0
    place = destinations.find(task, goal, order=order, count=max(len(rivals), 1))
    if place is None:
        return None
    others = {
        name: one
        for name, one in layout.items()
        if name != goal.subject and not CATEGORIES[one.category].fixture
    }
    errand = _Errand(
        goal.subject, layout[goal.subject], others, place, table_height(task)
    )
    if place.category in _SHELVES and goal.predicate == "in":
        return _into_shelf(errand, layout[place.instance])
    if place.category in _CABINETS and place.part:
        return _into_drawer(errand, layout[place.instance])
    if place.category in ("microwave", "wine_rack"):
        return (
            None
            if goal.predicate == "in" or place.category == "wine_rack"
            else (_onto(errand, layout))
        )
    return _onto(errand, layout)


def _onto(errand: _Errand, layout: dict[str, StartPose]) -> Skill | None:
    """Carry from above, over walls and whatever stands on the way."""
    grip = held.hold(errand.name, errand.start, errand.others.values())
    if grip is None:
        return None
    place, low = errand.place, errand.start.extent.low
    x, y, rest = place.offset
    # Over walls the palm stays above them, and the object drops the rest.
    over_walls = place.walls - held.PALM + 0.01 - grip.height
    release = max(rest, over_walls) if place.region is not None else rest
    above = max(0.065, place.walls + 0.02 + low - release)
    return carry(
        grip.grasp,
        place.anchor,
        (x, y, release),
        lift=_lift(errand, layout),
        above=above,
    )


def _lift(errand: _Errand, layout: dict[str, StartPose]) -> float:
    """How high to rise so that what is carried passes above all that is on its way."""
    place, start = errand.place, errand.start
    if place.instance:
        target = layout[place.instance]
        goal = (target.x, target.y)
        tallest = target.z + place.walls - errand.table
    else:
        goal, tallest = place.offset[:2], 0.0
    for name, one in layout.items():
        if name in (errand.name, place.instance):
            continue
        if _from_path((one.x, one.y), (start.x, start.y), goal) < _WAYSIDE:
            tallest = max(tallest, one.z + one.extent.top - errand.table)
    return min(max(tallest + _MARGIN, _LOWEST), _HIGHEST)


def _from_path(
    point: tuple[float, float], start: tuple[float, float], end: tuple[float, float]
) -> float:
    """The distance of a point from the straight way between two others."""
    (x, y), (x0, y0), (x1, y1) = point, start, end
    length = math.dist(start, end) or 1.0
    along = ((x - x0) * (x1 - x0) + (y - y0) * (y1 - y0)) / length**2
    share = min(max(along, 0.0), 1.0)
    return math.dist(point, (x0 + share * (x1 - x0), y0 + share * (y1 - y0)))


def _into_drawer(errand: _Errand, cabinet: StartPose) -> Skill | None:
    """Lower an object into an open drawer, the fingers along its front."""
    place, start = errand.place, errand.start
    region = place.region
    assert region is not None
    inward = 1.0 if math.cos(cabinet.yaw) > 0 else -1.0  # of the world's y
    lean = 0.0 if place.part == "top_level" else _LEAN
    front = cabinet.y - inward * (_DRAWER_FRONT + _OPENED)
    beneath = (abs(start.y - front) < 0.12 or inward * (start.y - front) > 0) and abs(
        start.x - cabinet.x
    ) < 0.2
    is_bowl = isinstance(
        held.GRIPS.get(CATEGORIES[start.category].grasp_like), held.Rim
    )
    if is_bowl:
        lean = _STEEP if beneath and place.part == "top_level" else _LEAN
    grip = held.hold(
        errand.name,
        start,
        errand.others.values(),
        side=held.BEHIND,
        lean=-inward * lean,
    )
    if grip is None:
        return None
    aside = (-0.03, -0.09 * inward, 0.03) if is_bowl and beneath else None
    turn = (0.0, -lean, math.pi / 2)
    _, _, rest = place.offset
    highest = region.position[2] + 0.03
    reach = start.extent.low + start.extent.top
    if rest > highest:
        if place.part != "top_level":
            return None
        turn = (0.0, -inward * _LAID, 0.0)
        rest += 0.5 * 0.0 + 0.025 - start.extent.low * (1 - math.cos(_LAID))
    over_walls = place.walls - held.PALM + 0.01 - grip.height
    upright = turn[1] > -_LAID and turn[1] < _LAID
    release = max(rest, over_walls) if upright else rest
    local_y = -0.01 if place.part == "top_level" else -0.012
    clear = _clear_of_drawers(cabinet, inward) if beneath else ()
    return (
        *clear,
        *carry(
            grip.grasp,
            place.anchor,
            (0.0, local_y * inward if is_bowl else local_y, release),
            lift=0.25 if place.part == "top_level" else max(0.12, reach * 0.5),
            above=0.1,
            aside=aside,
            frame=KEPT if is_bowl else "x",
            hand=waypoints.DOWN if is_bowl else turn,
        ),
    )


def _clear_of_drawers(cabinet: StartPose, inward: float) -> Skill:
    """In front of an open drawer and above it, on the robot's side."""
    return (
        waypoints.Waypoint(
            waypoints.WORLD,
            (cabinet.x - 0.2, cabinet.y - 0.4 * inward, cabinet.z + 0.145),
            frame=FIXED,
            hand=(0.0, -inward * _STEEP, math.pi / 2),
            tolerance=0.05,
            angle_tolerance=0.2,
        ),
    )


def _into_shelf(errand: _Errand, shelf: StartPose) -> Skill | None:
    """Push an object through the open front of a shelf."""
    start, place = errand.start, errand.place
    grip = held.hold(errand.name, start, errand.others.values())
    if grip is None:
        return None
    kind = CATEGORIES[start.category].grasp_like
    upper = place.region is not None and place.region.position[2] > 0.07
    ground = place.offset[2] - start.extent.low - destinations.ABOVE_GROUND
    if kind in _BOOKS:  # it leans into the shelf, the hand outside
        down = math.radians(25 if upper else 50)
        half = 0.0145 * math.cos(down)
        inside = grip.height * math.cos(down) - 0.09 if upper else -0.052
        return insert(
            grip.grasp,
            place.anchor,
            (0.0, inside, ground + half + 0.01),
            out=(0.0, -0.2, 0.02),
            lift=0.15,
            frame="x",
            hand=(math.pi / 2 - down, 0.0, 0.0),
        )
    # A pan stays as it is held, its handle out of the shelf.
    outwards = shelf.yaw - math.pi / 2
    astray = math.remainder(start.yaw - outwards, 2 * math.pi)
    if kind != "chefmate_8_frypan" or abs(astray) > math.radians(20):
        return None
    y_in, y_out = rotated(0.0, -0.025, shelf.yaw)[1], rotated(0.0, -0.17, shelf.yaw)[1]
    return insert(
        grip.grasp,
        place.anchor,
        (0.0, y_in, ground + 0.012),
        out=(0.0, y_out, 0.01),
        lift=0.1,
        frame=KEPT,
        hand=waypoints.DOWN,
    )
