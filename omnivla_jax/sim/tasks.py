"""The tasks of a suite, read from BDDL: instruction, layout, initial joints and goal.

Lengths in m; rectangles are relative to the centre of the workspace; angles in rad.
"""

import functools
import re
from pathlib import Path
from typing import NamedTuple

from omnivla_jax.sim import bddl, bddl_check, libero_files
from omnivla_jax.sim.arenas import ARENAS, Arena

Rectangle = tuple[float, float, float, float]  # x0, y0, x1, y1
ZONE_HALF_HEIGHT = 0.007  # m
USER_HORIZON = 600  # control steps, as LIBERO's own evaluation
_SCENE_PREFIX = re.compile(r"^[A-Z_]*SCENE\d+_")


class Zone(NamedTuple):
    """A region of the workspace, in the world; LIBERO's TargetZone."""

    center: tuple[float, float, float]
    half_size: tuple[float, float, float]


class Goal(NamedTuple):
    """One predicate of a conjunction, with LIBERO's names."""

    predicate: str  # "on", "in", "open", "close", "turnon", "turnoff" or "up"
    subject: str  # an instance, or "{instance}_{region}"
    target: str = ""  # an instance, "{instance}_{region}" or a workspace region
    zone: Zone | None = None  # where a workspace region is


class Start(NamedTuple):
    """Where an instance starts: in a rectangle, or on or in something else."""

    name: str
    category: str
    ranges: tuple[Rectangle, ...] = ()
    yaw: tuple[float, float] = (0.0, 0.0)  # fixtures only
    relation: str = ""  # "", "on" or "in"
    reference: str = ""  # the instance that it starts on or in
    region: str = ""  # which one of the workspace or the reference; "" is its top


class Task(NamedTuple):
    """What a policy is told, what stands where, and when it has succeeded."""

    name: str
    instruction: str
    arena: str
    movables: tuple[Start, ...]  # in qpos order
    fixtures: tuple[Start, ...]
    joints: tuple[Goal, ...]  # initial Open, Close, Turnon, Turnoff
    goal: tuple[Goal, ...]


class Suite(NamedTuple):
    """Tasks that are trained and evaluated together."""

    name: str
    horizon: int  # control steps
    tasks: tuple[Task, ...]


def suite(name: str) -> Suite:
    """The suite `name`: one of LIBERO's, a BDDL file or a folder of BDDL files.

    Raises:
      ValueError: naming the known suites.
      BddlError: naming file, line and what is known there.
    """
    return _suite(str(name))


@functools.lru_cache(maxsize=16)
def _suite(name: str) -> Suite:
    if name in libero_files.suite_names():
        files = libero_files.suite_files(name)
        return Suite(name, files.horizon, tuple(read_task(p) for p in files.paths))
    path = Path(name)
    paths = [path] if path.suffix == ".bddl" else sorted(path.glob("*.bddl"))
    if not paths or not paths[0].is_file():
        known = ", ".join(libero_files.suite_names())
        raise ValueError(
            f"Unknown suite {name!r}: choose {known}, a .bddl file or a folder of them."
        )
    return Suite(name, USER_HORIZON, tuple(read_task(path) for path in paths))


def read_task(path: Path) -> Task:
    """The task described by the BDDL file at `path`, checked to be playable.

    Raises:
      BddlError: naming file, line and what is known there.
    """
    problem = bddl.read(path)
    names = bddl_check.checked(problem)
    starts = _starts(problem, {**names.objects, **names.fixtures})
    joints = [row for row in problem.init if row.predicate not in bddl.BINARY]
    return Task(
        name=path.stem,
        instruction=_SCENE_PREFIX.sub("", path.stem).replace("_", " "),
        arena=names.arena,
        movables=tuple(starts[name] for name in names.objects),
        fixtures=tuple(starts[name] for name in names.fixtures),
        joints=tuple(Goal(*row[:3]) for row in joints),
        goal=tuple(
            Goal(*row[:3], zone=_zone(problem, row.target, ARENAS[names.arena]))
            for row in problem.goal
        ),
    )


def split_region(name: str, instances: dict[str, str]) -> tuple[str, str]:
    """`{instance}_{region}` as (instance, region); region is "" for an instance."""
    for instance in sorted(instances, key=len, reverse=True):
        if name == instance:
            return instance, ""
        if name.startswith(instance + "_"):
            return instance, name[len(instance) + 1 :]
    return "", name


def _zone(problem: bddl.Problem, name: str, arena: Arena) -> Zone | None:
    region = problem.regions.get(name)
    if region is None or not region.ranges:
        return None
    x0, y0, x1, y1 = region.ranges[0]
    x, y, _ = arena.offset
    center = ((x0 + x1) / 2 + x, (y0 + y1) / 2 + y, arena.region_z)
    return Zone(center, ((x1 - x0) / 2, (y1 - y0) / 2, ZONE_HALF_HEIGHT))


def _starts(problem: bddl.Problem, instances: dict[str, str]) -> dict[str, Start]:
    return {
        row.subject: _start(problem, row, instances)
        for row in problem.init
        if row.predicate in bddl.BINARY
    }


def _start(
    problem: bddl.Problem, row: bddl.Statement, instances: dict[str, str]
) -> Start:
    category = instances[row.subject]
    region = problem.regions.get(row.target)
    if region is not None and region.ranges:
        return Start(
            row.subject, category, region.ranges, region.yaw, region=row.target
        )
    reference, site = split_region(row.target, instances)
    return Start(
        row.subject,
        category,
        relation=row.predicate,
        reference=reference,
        region=site,
    )


class Inventory(NamedTuple):
    """What a scene must hold so that all of some tasks can be played in it."""

    movables: dict[str, str]  # instance -> category, in qpos order
    fixtures: dict[str, str]
    arenas: tuple[str, ...]


def inventory(tasks: tuple[Task, ...]) -> Inventory:
    """The union of what `tasks` need, in the order of first appearance.

    Raises:
      ValueError: when two tasks use one name for different categories.
    """
    movables: dict[str, str] = {}
    fixtures: dict[str, str] = {}
    for task in tasks:
        for table, starts in ((movables, task.movables), (fixtures, task.fixtures)):
            for start in starts:
                known = table.setdefault(start.name, start.category)
                if known != start.category:
                    raise ValueError(
                        f"{start.name!r} is a {known} in one task and a "
                        f"{start.category} in {task.name!r}: rename one of them."
                    )
    return Inventory(movables, fixtures, tuple(dict.fromkeys(t.arena for t in tasks)))
