"""Finds the script of a task by its goal and its scene, whatever its file's words.

Scripts are written for LIBERO's tasks. Another task file has the script of the LIBERO
task with the same goal, between objects of the same categories that start alike:
instances may have other names, things may stand elsewhere, and others may stand around
them. A script follows the bodies that it names, so that it transfers; only one with a
point of the world in it is bound to its arena.
"""

import functools
import itertools
import math
from typing import Iterator, NamedTuple, Sequence

from omnivla_jax.sim.assets.objects import CATEGORIES
from omnivla_jax.sim.libero import tasks
from omnivla_jax.sim.libero.tasks import Goal, Start, Task, Zone
from omnivla_jax.world.expert import phases
from omnivla_jax.world.expert.phases import Script
from omnivla_jax.world.expert.scripts import SCRIPTS, SUITES

Names = dict[str, str]  # instances of a scripted task -> those of another
Part = tuple[str, str]  # an instance and one of its regions, "" for the whole
_ZONE: Part = ("", "zone")  # any rectangle of the workspace


class ScriptedTask(NamedTuple):
    """A task of LIBERO's and the script written for it."""

    task: Task
    script: Script


class _Match(NamedTuple):
    """A scripted task whose goal is that of another, the best one first."""

    elsewhere: bool  # in another arena
    unlike_subjects: int  # how many of what is moved start on or in something else
    unlike_rest: int  # the same of what it is moved to, and joints set up differently
    distance: float  # m: how far everything in the goal starts from where it did
    renamed: int  # instances with another name
    script: Script


def find_script(task: Task) -> Script | None:
    """The script that reaches the goal of `task`; None where nobody has written one.

    Of several with the same goal the one is taken that is written for the same arena,
    whose objects start alike, on or in the same, and then nearest. Where what is to be
    moved starts like in none of them, a script is only known if it is the only one for
    that goal.
    """
    matches = [
        _match(scripted, task, names)
        for scripted in scripted_tasks()
        if scripted.task.arena == task.arena or not _uses_world(scripted.script)
        for names in _renamings(scripted.task, task)
        if _presupposed(scripted.task, task, names)
    ]
    if not matches:
        return None
    best = min(matches, key=lambda match: match[:-1])
    rivals = [match for match in matches if match.elsewhere == best.elsewhere]
    alone = all(match.script == best.script for match in rivals)
    return best.script if alone or not best.unlike_subjects else None


def goal_text(task: Task) -> str:
    """The goal as BDDL writes it, such as "On akita_black_bowl_1 plate_1"."""
    rows = ((g.predicate.capitalize(), g.subject, g.target) for g in task.goal)
    return " and ".join(" ".join(filter(None, row)) for row in rows)


@functools.cache
def scripted_tasks() -> tuple[ScriptedTask, ...]:
    """LIBERO's tasks, each with the script written for it."""
    return tuple(
        ScriptedTask(task, SCRIPTS[task.instruction])
        for suite in SUITES
        for task in tasks.suite(suite).tasks
    )


def _uses_world(script: Script) -> bool:
    return any(row.anchor == phases.WORLD for row in script)


def _starts(task: Task) -> dict[str, Start]:
    return {start.name: start for start in (*task.movables, *task.fixtures)}


def _part(task: Task, name: str) -> Part:
    categories = {name: start.category for name, start in _starts(task).items()}
    return tasks.split_region(name, categories)


def _goal_parts(task: Task, goal: Goal) -> tuple[str, Part, Part]:
    target = _ZONE if goal.zone is not None else _part(task, goal.target)
    return goal.predicate, _part(task, goal.subject), target


def _instances(task: Task) -> list[str]:
    """What the goal is about, each once."""
    parts = [_goal_parts(task, goal)[1:] for goal in task.goal]
    names = [name for pair in parts for name, _ in pair if name]
    return list(dict.fromkeys(names))


def _renamings(known: Task, task: Task) -> Iterator[Names]:
    """Every way to call the instances of `known` so that its goal is that of `task`."""
    theirs, ours = _starts(known), _starts(task)
    free = _instances(task)
    choices = [
        [name for name in free if _kind(ours[name]) == _kind(theirs[asked])]
        for asked in _instances(known)
    ]
    wanted = {_goal_parts(task, goal) for goal in task.goal}
    for chosen in itertools.product(*choices):
        names = dict(zip(_instances(known), chosen))
        if len(set(chosen)) < len(chosen) or len(chosen) < len(free):
            continue
        goals = {_renamed_goal(known, goal, names) for goal in known.goal}
        if goals == wanted:
            yield names


def _renamed_goal(known: Task, goal: Goal, names: Names) -> tuple[str, Part, Part]:
    predicate, subject, target = _goal_parts(known, goal)
    return predicate, _renamed(subject, names), _renamed(target, names)


def _renamed(part: Part, names: Names) -> Part:
    return names.get(part[0], part[0]), part[1]


def _presupposed(known: Task, task: Task, names: Names) -> bool:
    """Whether drawers and doors that the script finds open are so in `task` as well."""
    return _joints(known, _with_references(known, task, names)) <= _joints(task, {})


def _joints(task: Task, names: Names) -> set[tuple[str, Part]]:
    return {
        (joint.predicate, _renamed(_part(task, joint.subject), names))
        for joint in task.joints
    }


def _with_references(known: Task, task: Task, names: Names) -> Names:
    """`names`, and what the instances start on or in."""
    theirs, ours = _starts(known), _starts(task)
    return {
        theirs[old].reference: ours[new].reference for old, new in names.items()
    } | names


def _match(scripted: ScriptedTask, task: Task, names: Names) -> _Match:
    known = scripted.task
    theirs, ours = _starts(known), _starts(task)
    subjects = {_goal_parts(known, goal)[1][0] for goal in known.goal}
    unlike = {
        old
        for old, new in names.items()
        if _relation(known, theirs[old]) != _relation(task, ours[new])
    }
    surplus = _joints(task, {}) - _joints(known, _with_references(known, task, names))
    moves = [_between(theirs[old], ours[new]) for old, new in names.items()]
    zones = _zones(known, task, names)
    return _Match(
        known.arena != task.arena,
        len(unlike & subjects),
        len(unlike - subjects) + len(surplus),
        sum(moves) + sum(math.dist(a.center, b.center) for a, b in zones),
        sum(old != new for old, new in names.items()),
        _adapted(scripted.script, known, names, zones),
    )


def _relation(task: Task, start: Start) -> tuple[str, str, str]:
    """On or in which region of what category something starts; on the table: ""."""
    below = _starts(task).get(start.reference)
    return (start.relation, _kind(below), start.region) if below else ("", "", "")


def _kind(start: Start) -> str:
    """What decides how a thing is grasped and what fits on it: its base category."""
    return CATEGORIES.base(start.category)


def _between(a: Start, b: Start) -> float:
    """The distance of two starting rectangles in m; 0 where one has none."""
    if not (a.ranges and b.ranges):
        return 0.0
    return math.dist(_center(a), _center(b))


def _center(start: Start) -> tuple[float, float]:
    """The mean of the rectangles' middles."""
    count = 2 * len(start.ranges)
    x = sum(x0 + x1 for x0, _, x1, _ in start.ranges) / count
    return x, sum(y0 + y1 for _, y0, _, y1 in start.ranges) / count


def _zones(known: Task, task: Task, names: Names) -> list[tuple[Zone, Zone]]:
    """The rectangles that both goals ask for, pair by pair."""
    wanted = {_goal_parts(task, goal): goal.zone for goal in task.goal}
    pairs = [
        (goal.zone, wanted[_renamed_goal(known, goal, names)]) for goal in known.goal
    ]
    return [(a, b) for a, b in pairs if a is not None and b is not None]


def _adapted(
    script: Script, known: Task, names: Names, zones: Sequence[tuple[Zone, Zone]]
) -> Script:
    """The script with other names, its points of the world moved with the zone."""
    parts = _starts(known)
    bodies = {
        body: "_".join(filter(None, (names[instance], rest)))
        for row in script
        for body in (row.anchor, row.moved, row.held)
        for instance, rest in [tasks.split_region(body, dict.fromkeys(parts, ""))]
        if instance in names
    }
    shifts = [
        tuple(b - a for a, b in zip(old.center, new.center)) for old, new in zones
    ]
    dx, dy, dz = shifts[0] if shifts else (0.0, 0.0, 0.0)
    if all(old == new for old, new in names.items()) and not any((dx, dy, dz)):
        return script
    adapted = []
    for row in script:
        x, y, z = row.offset
        if row.anchor == phases.WORLD:
            row = row._replace(offset=(x + dx, y + dy, z + dz))
        adapted.append(
            row._replace(
                anchor=bodies.get(row.anchor, row.anchor),
                moved=bodies.get(row.moved, row.moved),
                held=bodies.get(row.held, row.held),
            )
        )
    return tuple(adapted)
