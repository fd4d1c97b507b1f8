"""Finds the skill of a task by its goal and its scene, not by its instruction.

Skills are written for LIBERO's tasks and for those of `register_skill`. Another task
has the skill of the known task with the same goal, between objects of the same
categories that start alike: instances may have other names, objects may stand
elsewhere, and others may stand around them. A skill follows the bodies that it names,
so that it transfers; only one with a point of the world in it is bound to its arena.
"""

import functools
import itertools
import math
from typing import Iterator, NamedTuple, Sequence

from omnivla_jax.sim.assets import panda
from omnivla_jax.sim.assets.objects import CATEGORIES
from omnivla_jax.sim.libero import tasks
from omnivla_jax.sim.libero.tasks import ObjectInit, TargetZone, Task
from omnivla_jax.world.expert import composition, waypoints
from omnivla_jax.world.expert.skills import SKILLS, SUITES
from omnivla_jax.world.expert.waypoints import Skill

Renaming = dict[str, str]  # instances of a known task -> those of another
Part = tuple[str, str]  # an instance and one of its regions, "" for the whole
_ZONE: Part = ("", "zone")  # any rectangle of the workspace
_REGISTERED: list["TaskSkill"] = []


class TaskSkill(NamedTuple):
    """A task and the skill written for it."""

    task: Task
    skill: Skill


class TaskNames(NamedTuple):
    """The names in a task, split into instances and their regions."""

    starts: dict[str, ObjectInit]  # by instance
    goals: list[tuple[str, Part, Part]]  # predicate, subject and target, in order
    instances: list[str]  # named in the goals, each once
    joints: set[tuple[str, Part]]  # initial predicate and subject


class _Match(NamedTuple):
    """A known task whose goal is that of another; the least one is the best."""

    other_arena: bool
    unlike_subjects: int  # goal's subjects that start on or in something else
    unlike_rest: int  # the same of its targets, and joints with another initial state
    distance: float  # m, summed over the goal: between the start regions of both
    renamed: int  # instances with another name
    registered: bool  # by `register_skill`
    skill: Skill


def find_skill(task: Task) -> Skill | None:
    """Find the skill that reaches the goal of `task`.

    Of several skills with the same goal, the best one is written for the same arena,
    then for objects that start alike (on or in the same), then for the nearest ones.
    Where none of LIBERO's is for this arena and this start, a skill is composed, see
    `composition`; where that is not possible either, the only skill of the goal counts.

    Returns:
      The skill, with the names of `task`; None where there is none.
    """
    names = task_names(task)
    matches = []
    for known in (*libero_skills(), *_REGISTERED):
        bound = any(w.anchor == waypoints.WORLD for w in known.skill)
        if bound and known.task.arena != task.arena:
            continue
        known_names = task_names(known.task)
        for renaming in _renamings(known_names, names):
            match = _match(known, known_names, task, names, renaming)
            matches += [] if match is None else [match]
    if not matches:
        return _composed(task)
    best = min(matches, key=lambda match: match[:-2])
    unlike = best.other_arena or best.unlike_subjects or best.unlike_rest
    composed = _composed(task) if unlike and not best.registered else None
    if composed is not None:
        return composed
    rivals = [match for match in matches if match.other_arena == best.other_arena]
    only = all(match.skill == best.skill for match in rivals)
    return best.skill if only or not best.unlike_subjects else None


def goal_without_skill(task: Task) -> str:
    """The first goal of `task` that no skill reaches, as BDDL writes it; or ""."""
    if find_skill(task) is not None:
        return ""
    try:
        composition.plan(task)
    except composition.NoSkill as error:
        return str(error)
    return ""


def register_skill(task: Task, skill: Skill) -> None:
    """Add the skill of a task of your own; register before making its scene.

    Args:
      task: an example; other tasks with its goal get the skill too, see `find_skill`.
      skill: names bodies of the goal's instances; ends with `waypoints.REST`.

    Raises:
      ValueError: the skill names another body.
    """
    instances = dict.fromkeys(task_names(task).instances, "")
    bodies = waypoints.body_names(skill) - {panda.EEF_BODY}
    unknown = sorted(b for b in bodies if not tasks.split_region(b, instances)[0])
    if unknown:
        raise ValueError(
            f"The skill names {unknown}: use bodies of the goal's {list(instances)}."
        )
    _REGISTERED.append(TaskSkill(task, skill))


def goal_text(task: Task) -> str:
    """All goals as BDDL writes them, for example "On akita_black_bowl_1 plate_1"."""
    return " and ".join(composition.text(goal) for goal in task.goal)


@functools.cache
def libero_skills() -> tuple[TaskSkill, ...]:
    """LIBERO's forty tasks, each with the skill written for it."""
    return tuple(
        TaskSkill(task, SKILLS[task.instruction])
        for suite in SUITES
        for task in tasks.suite(suite).tasks
    )


def task_names(task: Task) -> TaskNames:
    """Split the names in a task's goal and initial joints."""
    starts = {start.name: start for start in (*task.objects, *task.fixtures)}
    categories = {name: start.category for name, start in starts.items()}
    split = functools.partial(tasks.split_region, instances=categories)
    goals = []
    for goal in task.goal:
        target = _ZONE if goal.zone is not None else split(goal.target)
        goals.append((goal.predicate, split(goal.subject), target))
    parts = [part for _, subject, target in goals for part in (subject, target)]
    instances = dict.fromkeys(instance for instance, _ in parts if instance)
    joints = {(joint.predicate, split(joint.subject)) for joint in task.joints}
    return TaskNames(starts, goals, list(instances), joints)


def _composed(task: Task) -> Skill | None:
    try:
        return composition.plan(task)
    except composition.NoSkill:
        return None


def _renamings(known: TaskNames, names: TaskNames) -> Iterator[Renaming]:
    """All renamings of the instances of `known` that make its goal the other's."""
    alike, known_alike = (
        {
            name: CATEGORIES[side.starts[name].category].grasp_like
            for name in side.instances
        }
        for side in (names, known)
    )
    choices = [
        [name for name in names.instances if alike[name] == known_alike[wanted]]
        for wanted in known.instances
    ]
    for chosen in itertools.product(*choices):
        if len(set(chosen)) < len(chosen) or len(chosen) < len(names.instances):
            continue
        renaming = dict(zip(known.instances, chosen))
        if set(_renamed_goals(known, renaming)) == set(names.goals):
            yield renaming


def _renamed_goals(
    known: TaskNames, renaming: Renaming
) -> list[tuple[str, Part, Part]]:
    """The goals of `known` in the other task's names."""
    goals = []
    for predicate, *parts in known.goals:
        subject, target = ((renaming.get(name, name), region) for name, region in parts)
        goals.append((predicate, subject, target))
    return goals


def _match(
    known: TaskSkill,
    known_names: TaskNames,
    task: Task,
    names: TaskNames,
    renaming: Renaming,
) -> _Match | None:
    """Compare the initial states; None where a joint is not as the skill needs it."""
    pairs = [
        (known_names.starts[old], names.starts[new]) for old, new in renaming.items()
    ]
    # Joints may belong to the objects on or in which the goal's instances start.
    with_references = {a.reference: b.reference for a, b in pairs} | renaming
    needed = {
        (predicate, (with_references.get(name, name), region))
        for predicate, (name, region) in known_names.joints
    }
    if not needed <= names.joints:
        return None

    subjects = {subject for _, (subject, _), _ in known_names.goals}
    unlike = {
        a.name for a, b in pairs if _support(known_names, a) != _support(names, b)
    }
    zone_by_goal = dict(zip(names.goals, (goal.zone for goal in task.goal)))
    renamed_goals = _renamed_goals(known_names, renaming)
    zones = [
        (goal.zone, zone_by_goal[renamed])
        for goal, renamed in zip(known.task.goal, renamed_goals)
    ]
    both = [(a, b) for a, b in zones if a is not None and b is not None]
    return _Match(
        known.task.arena != task.arena,
        len(unlike & subjects),
        len(unlike - subjects) + len(names.joints - needed),
        sum(_distance(a, b) for a, b in pairs)
        + sum(math.dist(a.center, b.center) for a, b in both),
        sum(old != new for old, new in renaming.items()),
        known in _REGISTERED,
        _adapt(known.skill, known_names, renaming, both),
    )


def _support(names: TaskNames, start: ObjectInit) -> tuple[str, str, str]:
    """Relation, category and region that something starts on or in; or ""."""
    below = names.starts.get(start.reference)
    if below is None:  # on the table
        return "", "", ""
    return start.relation, CATEGORIES[below.category].grasp_like, start.region


def _distance(a: ObjectInit, b: ObjectInit) -> float:
    """Between the middles of two start regions, m; 0 where one has none."""
    if not (a.ranges and b.ranges):
        return 0.0
    centers = []
    for start in (a, b):
        count = 2 * len(start.ranges)
        x = sum(x0 + x1 for x0, _, x1, _ in start.ranges) / count
        y = sum(y0 + y1 for _, y0, _, y1 in start.ranges) / count
        centers.append((x, y))
    return math.dist(*centers)


def _adapt(
    skill: Skill,
    known: TaskNames,
    renaming: Renaming,
    zones: Sequence[tuple[TargetZone, TargetZone]],
) -> Skill:
    """The skill with other names, its points of the world moved with the zone."""
    dx, dy, dz = 0.0, 0.0, 0.0
    if zones:
        old, new = zones[0]
        dx, dy, dz = (b - a for a, b in zip(old.center, new.center))
    if all(old == new for old, new in renaming.items()) and not any((dx, dy, dz)):
        return skill

    def rename(body: str) -> str:
        instance, rest = tasks.split_region(body, dict.fromkeys(known.starts, ""))
        if instance not in renaming:
            return body
        return "_".join(filter(None, (renaming[instance], rest)))

    adapted = []
    for waypoint in skill:
        x, y, z = waypoint.offset
        if waypoint.anchor == waypoints.WORLD:
            waypoint = waypoint._replace(offset=(x + dx, y + dy, z + dz))
        adapted.append(
            waypoint._replace(
                anchor=rename(waypoint.anchor),
                moved=rename(waypoint.moved),
                held=rename(waypoint.held),
            )
        )
    return tuple(adapted)
