"""What a task is: instruction, layout, initial joints and goal, and names across tasks.

Lengths in m; rectangles are relative to the centre of the workspace; angles in rad.
"""

from typing import NamedTuple

from omnivla_jax.sim.libero.libero_plus import Variant

Rectangle = tuple[float, float, float, float]  # x0, y0, x1, y1


class TargetZone(NamedTuple):
    """A region of the workspace, in the world; LIBERO's TargetZone."""

    center: tuple[float, float, float]
    half_size: tuple[float, float, float]


class Goal(NamedTuple):
    """One predicate of a conjunction, with LIBERO's names."""

    predicate: str  # "on", "in", "open", "close", "turnon", "turnoff" or "up"
    subject: str  # an instance, or "{instance}_{region}"
    target: str = ""  # an instance, "{instance}_{region}" or a workspace region
    zone: TargetZone | None = None  # where a workspace region is


class ObjectInit(NamedTuple):
    """Where an instance starts: in a rectangle, or on or in something else."""

    name: str
    category: str
    ranges: tuple[Rectangle, ...] = ()
    yaw: tuple[float, float] = (0.0, 0.0)  # fixtures only
    relation: str = ""  # "", "on" or "in"
    reference: str = ""  # the instance that it starts on or in
    region: str = ""  # which one of the workspace or the reference; "" is its top


class Task(NamedTuple):
    """The instruction, what stands where, and when the policy has succeeded."""

    name: str
    instruction: str
    arena: str
    objects: tuple[ObjectInit, ...]  # in qpos order
    fixtures: tuple[ObjectInit, ...]
    joints: tuple[Goal, ...]  # initial Open, Close, Turnon, Turnoff
    goal: tuple[Goal, ...]
    base_name: str = ""  # without LIBERO-Plus' suffix
    variant: Variant = Variant()  # what the suffix says
    appearance: str = ""  # light or surfaces that the problem class names


class Suite(NamedTuple):
    """Tasks that are trained and evaluated together."""

    name: str
    horizon: int  # control steps
    tasks: tuple[Task, ...]
    prompt: str = "clean"  # which instructions; see `libero_plus.instruction`


class SceneAssets(NamedTuple):
    """What a scene must hold so that all of some tasks can be played in it."""

    objects: dict[str, str]  # instance -> category, in qpos order
    fixtures: dict[str, str]
    arenas: tuple[str, ...]


def scene_assets(tasks: tuple[Task, ...]) -> SceneAssets:
    """The union of what `tasks` need, in the order of first appearance.

    Raises:
      ValueError: when two tasks use one name for different categories.
    """
    objects: dict[str, str] = {}
    fixtures: dict[str, str] = {}
    for task in tasks:
        for table, inits in ((objects, task.objects), (fixtures, task.fixtures)):
            for start in inits:
                known = table.setdefault(start.name, start.category)
                if known != start.category:
                    raise ValueError(
                        f"{start.name!r} is a {known} in one task and a "
                        f"{start.category} in {task.name!r}: rename one of them."
                    )
    return SceneAssets(objects, fixtures, tuple(dict.fromkeys(t.arena for t in tasks)))


def split_region(name: str, instances: dict[str, str]) -> tuple[str, str]:
    """`{instance}_{region}` as (instance, region); region is "" for an instance."""
    for instance in sorted(instances, key=len, reverse=True):
        if name == instance:
            return instance, ""
        if name.startswith(instance + "_"):
            return instance, name[len(instance) + 1 :]
    return "", name


def with_unique_names(
    tasks: tuple[Task, ...],
) -> tuple[tuple[Task, ...], dict[str, str]]:
    """`tasks`, in which one name never stands for two categories, and what changed.

    Where files of a folder disagree, what a later one calls `bowl_1` is renamed to
    `plate__bowl_1` after its category.
    """
    kinds: dict[str, tuple[str, bool]] = {}
    unique: list[Task] = []
    renamed: dict[str, str] = {}
    for task in tasks:
        changes = {}
        for fixture, inits in ((False, task.objects), (True, task.fixtures)):
            for start in inits:
                kind, name = (start.category, fixture), start.name
                while kinds.setdefault(name, kind) != kind:
                    name = f"{start.category}__{name}"
                if name != start.name:
                    changes[start.name] = name
        unique.append(_renamed(task, changes) if changes else task)
        renamed.update({f"{k!r} of {task.name}": v for k, v in changes.items()})
    return tuple(unique), renamed


def _renamed(task: Task, changes: dict[str, str]) -> Task:
    """`task` with other names of instances, in its regions, too."""
    instances = {start.name: "" for start in (*task.objects, *task.fixtures)}

    def new(name: str) -> str:
        instance, region = split_region(name, instances)
        if instance not in changes:
            return name
        return f"{changes[instance]}_{region}" if region else changes[instance]

    objects, fixtures = (
        tuple(
            start._replace(name=new(start.name), reference=new(start.reference))
            for start in inits
        )
        for inits in (task.objects, task.fixtures)
    )
    joints, goal = (
        tuple(
            row._replace(subject=new(row.subject), target=new(row.target))
            for row in rows
        )
        for rows in (task.joints, task.goal)
    )
    return task._replace(objects=objects, fixtures=fixtures, joints=joints, goal=goal)
