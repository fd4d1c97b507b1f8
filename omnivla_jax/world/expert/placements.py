"""Takes an object of a goal and puts it at its destination, by kinds of destination.

Onto surfaces and into containers from above, into drawers with the fingers along the
front, into caddies and shelves as these are open. Lengths in m, angles in rad;
directions in the world, see `held`.
"""

import math
from typing import NamedTuple

from omnivla_jax.sim.assets.arenas import ARENAS
from omnivla_jax.sim.assets.category import RimGrip
from omnivla_jax.sim.assets.objects import CATEGORIES
from omnivla_jax.sim.libero.tasks import Goal, Task, split_region
from omnivla_jax.world.expert import destinations, held, waypoints
from omnivla_jax.world.expert.destinations import Destination
from omnivla_jax.world.expert.placing import carry, insert
from omnivla_jax.world.expert.start_layout import (
    Extent,
    StartPose,
    rotated,
    starts,
    table_height,
)
from omnivla_jax.world.expert.waypoints import FIXED, KEPT, Skill

CABINETS = ("wooden_cabinet", "white_cabinet")
_SHELVES = ("wooden_two_layer_shelf",)
_BOOKS = ("black_book", "yellow_book")
_OPENED = 0.15  # how far drawers come out
_DRAWER_FRONT = 0.11  # of a closed drawer's handle from the cabinet's origin
_LEAN, _STEEP = math.radians(15), math.radians(50)  # of the hand, out of a drawer
_FORWARD = -0.01  # of the drawer's middle: the cabinet covers its back
_OVER_DRAWER = 0.25  # the lift over an open top drawer
_REGION_HALF_HEIGHT = 0.03  # of the drawers' regions
_LAID = math.radians(60)  # how far a bottle leans that is too tall for a drawer
_HIGHEST, _LOWEST = 0.28, 0.08  # lifts
_MARGIN = 0.03  # of what is carried over what it passes
_FAR = 0.72  # from the robot's base, horizontally
_WAYSIDE = 0.2  # of the path: what is nearer has to be passed above


class _Errand(NamedTuple):
    """An object to place, with what matters around it."""

    name: str
    start: StartPose
    others: dict[str, StartPose]  # movable
    place: Destination
    table: float
    base: tuple[float, float]  # of the robot


def place(task: Task, goal: Goal) -> Skill | None:
    """Take an object and put it where a goal wants it.

    Args:
      task: of the goal.
      goal: one of its `on` and `in` goals.

    Returns:
      The waypoints; None where the object has no grasp or the place no way to it.
    """
    layout = starts(task)
    inits = {start.name: start for start in task.objects}
    if inits[goal.subject].relation == "in":  # inside a fixture the hand has no room
        return None
    rivals = [
        row.subject
        for row in task.goal
        if row.target == goal.target and goal.target not in layout
    ]
    order = rivals.index(goal.subject) if goal.subject in rivals else 0
    destination = destinations.find(task, goal, order=order, count=max(len(rivals), 1))
    others = {
        name: one
        for name, one in layout.items()
        if name != goal.subject and not CATEGORIES[one.category].fixture
    }
    others |= _open_drawers(task, layout)
    errand = _Errand(
        goal.subject,
        layout[goal.subject],
        others,
        destination,
        table_height(task),
        ARENAS[task.arena].robot_base[:2],
    )
    if destination.category in _SHELVES and goal.predicate == "in":
        return _into_shelf(errand, layout[destination.instance])
    if destination.category == "desk_caddy" and goal.predicate == "in":
        return _into_caddy(errand, layout[destination.instance])
    if destination.category in CABINETS and destination.part:
        return _into_drawer(errand, layout[destination.instance])
    inside = destination.category == "microwave" and goal.predicate == "in"
    if inside or destination.category == "wine_rack":  # no room for a hand from above
        return None
    return _onto(errand, layout)


def _open_drawers(task: Task, layout: dict[str, StartPose]) -> dict[str, StartPose]:
    """Fronts of the drawers that are open at some time, as things to keep clear of."""
    named = [
        row.subject for row in (*task.joints, *task.goal) if row.predicate == "open"
    ]
    fixtures = {start.name: start.category for start in task.fixtures}
    fronts = {}
    for name in named:
        instance, region = split_region(name, fixtures)
        if fixtures.get(instance) not in CABINETS or region == "bottom_region":
            continue
        cabinet = layout[instance]
        dx, dy = rotated(0.0, -_DRAWER_FRONT - _OPENED + 0.02, cabinet.yaw)
        size = Extent(cabinet.extent.low, cabinet.extent.top, 0.12)
        fronts[name] = cabinet._replace(x=cabinet.x + dx, y=cabinet.y + dy, extent=size)
    return fronts


def _onto(errand: _Errand, layout: dict[str, StartPose]) -> Skill | None:
    """Carry from above, over walls and whatever stands on the way."""
    start, place = errand.start, errand.place
    reach = math.dist((start.x, start.y), errand.base)
    far = reach > _FAR
    grip = held.hold(errand.name, start, errand.others.values(), far=far)
    if grip is None:
        return None
    low = start.extent.low
    x, y, rest = place.offset
    # Over walls the palm stays above them, and the object drops the rest.
    over_walls = place.walls - held.PALM + 0.01 - grip.height
    release = max(rest, over_walls) if place.region is not None else rest
    # At the height of the way until it is over the place, then down.
    free = _free_height(errand, layout)
    anchor = layout[place.instance].z if place.instance else 0.0
    above = max(
        0.065,
        place.walls + 0.02 + low - release,
        errand.table + free + low - anchor - release,
    )
    height = start.z - low - errand.table  # of where it starts
    return carry(
        grip.grasp,
        place.anchor,
        (x, y, release),
        lift=min(max(free - height, _LOWEST), _HIGHEST),
        # Straight up, a stretched arm would lock.
        aside=_towards(errand.base, start) if far else None,
        above=above,
    )


def _towards(base: tuple[float, float], start: StartPose) -> waypoints.Vector:
    """A short way from where an object starts to the robot, and a little up."""
    reach = math.dist((start.x, start.y), base)
    dx, dy = ((b - a) / reach for a, b in zip((start.x, start.y), base))
    return (0.1 * dx, 0.1 * dy, 0.04)


def _free_height(errand: _Errand, layout: dict[str, StartPose]) -> float:
    """How high above the table the way passes over all that is on it."""
    place, start = errand.place, errand.start
    goal: tuple[float, ...] = place.offset[:2]
    tallest = 0.0
    if place.instance:
        target = layout[place.instance]
        goal = (target.x, target.y)
        tallest = target.z + place.walls - errand.table
    for name, one in layout.items():
        if name in (errand.name, place.instance):
            continue
        if _from_path((one.x, one.y), (start.x, start.y), goal) < _WAYSIDE:
            tallest = max(tallest, one.z + one.extent.top - errand.table)
    return tallest + _MARGIN


def _from_path(
    point: tuple[float, ...], start: tuple[float, ...], end: tuple[float, ...]
) -> float:
    """The distance of a point from the straight way between two others."""
    (x, y), (x0, y0), (x1, y1) = point, start, end
    length = math.dist(start, end) or 1.0
    along = ((x - x0) * (x1 - x0) + (y - y0) * (y1 - y0)) / length**2
    share = min(max(along, 0.0), 1.0)
    return math.dist(point, (x0 + share * (x1 - x0), y0 + share * (y1 - y0)))


def _into_drawer(errand: _Errand, cabinet: StartPose) -> Skill | None:
    """Lower an object into an open drawer, the fingers along its front."""
    start, inward = errand.start, _inward(cabinet)
    front = cabinet.y - inward * (_DRAWER_FRONT + _OPENED)
    near = abs(start.y - front) < 0.12 or inward * (start.y - front) > 0
    beneath = near and abs(start.x - cabinet.x) < 0.2
    is_bowl = isinstance(held.grip_of(start.category), RimGrip)
    put = _bowl_into_drawer if is_bowl else _box_into_drawer
    skill = put(errand, inward, beneath)
    if skill is None or not beneath:
        return skill
    return (*_clear_of_drawers(cabinet, inward), *skill)


def _inward(cabinet: StartPose) -> float:
    """The sign of the world's y towards the back of a cabinet."""
    return 1.0 if math.cos(cabinet.yaw) > 0 else -1.0


def _bowl_into_drawer(errand: _Errand, inward: float, beneath: bool) -> Skill | None:
    """Keep a bowl level: the hand leans out of the drawer from the grasp on."""
    place, start = errand.place, errand.start
    top = place.part == "top_level"
    lean = _STEEP if beneath and top else _LEAN
    grip = held.hold(
        errand.name,
        start,
        errand.others.values(),
        side=held.BEHIND,
        lean=-inward * lean,
    )
    if grip is None:
        return None
    over_walls = place.walls - held.PALM + 0.01 - grip.height
    return carry(
        grip.grasp,
        place.anchor,
        (0.0, _FORWARD * inward, max(place.offset[2], over_walls)),
        lift=_OVER_DRAWER if top else 0.12,
        aside=(-0.03, -0.09 * inward, 0.03) if beneath else None,
        above=0.1,
    )


def _box_into_drawer(errand: _Errand, inward: float, beneath: bool) -> Skill | None:
    """Turn the hand along the drawer; what stands too tall in it is laid down."""
    del beneath
    place, start = errand.place, errand.start
    assert place.region is not None
    grip = held.hold(errand.name, start, errand.others.values())
    if grip is None:
        return None
    top = place.part == "top_level"
    release = max(place.offset[2], place.walls - held.PALM + 0.01 - grip.height)
    turn = (0.0, 0.0 if top else -_LEAN, math.pi / 2)
    if place.offset[2] > place.region.position[2] + _REGION_HALF_HEIGHT:
        if not top:
            return None
        # Its lower end on the floor of the drawer; let go, it falls on its side.
        release = place.offset[2] + 0.025 - start.extent.low * (1 - math.cos(_LAID))
        turn = (0.0, -inward * _LAID, 0.0)
    return carry(
        grip.grasp,
        place.anchor,
        (0.0, _FORWARD, release),
        lift=_OVER_DRAWER if top else 0.12,
        above=0.1,
        frame="x",
        hand=turn,
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


def _into_caddy(errand: _Errand, caddy: StartPose) -> Skill | None:
    """Lower a book into a compartment, its back along the compartment's longer side."""
    grip = held.hold(errand.name, errand.start, errand.others.values())
    if grip is None or CATEGORIES[errand.start.category].grasp_like not in _BOOKS:
        return None
    yaw = caddy.yaw - math.pi
    x, y, _ = errand.place.offset
    dx, dy = rotated(0.0, -0.012, yaw)
    return carry(
        grip.grasp,
        errand.place.anchor,
        (x + dx, y + dy, 0.07),
        lift=0.2,
        above=0.15,
        frame=FIXED,
        hand=(0.0, 0.0, yaw - math.pi / 2),
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
