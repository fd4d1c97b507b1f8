"""The tasks of a suite, read from BDDL: instruction, layout, initial joints and goal.

Lengths in m; rectangles are relative to the centre of the workspace; angles in rad.
"""

import functools
import operator
from pathlib import Path
from typing import Any, Mapping

from omnivla_jax.sim.assets import category_variants
from omnivla_jax.sim.assets.arenas import ARENAS, Arena
from omnivla_jax.sim.libero import bddl, bddl_check, files, libero_plus, task_files
from omnivla_jax.sim.libero.task_types import (
    Goal,
    ObjectInit,
    Rectangle,
    SceneAssets,
    Suite,
    TargetZone,
    Task,
    scene_assets,
    split_region,
    with_unique_names,
)

__all__ = [
    "Goal",
    "SceneAssets",
    "Rectangle",
    "ObjectInit",
    "Suite",
    "Task",
    "TargetZone",
    "scene_assets",
    "read_task",
    "split_region",
    "suite",
]

ZONE_HALF_HEIGHT = 0.007  # m
USER_HORIZON = 600  # control steps, as LIBERO's own evaluation
Categories = str | Path | Mapping[str, Any] | None  # see `category_variants`


def suite(
    name: str | Path,
    *,
    prompt: str = "clean",
    horizon: int | None = None,
    skip_unknown: bool = False,
    categories: Categories = None,
) -> Suite:
    """The suite `name`: one of LIBERO's, a BDDL file or a folder of BDDL files.

    The instructions of LIBERO's suites are the words of the files' names, as in
    LIBERO's evaluation; those of files and folders are their `:language`.

    Args:
      name: of the suite, or a path; a `Path` is never one of LIBERO's suites.
      prompt: of files: `clean`, `as_published` (as LIBERO-Plus) or `file_name`;
        see `libero_plus.instruction`.
      horizon: time limit in control steps; None: LIBERO's, and 600 for a user's files.
      skip_unknown: leave out the files of a folder that cannot be loaded.
      categories: a JSON file, or a mapping, of categories that are others recoloured,
        rescaled or fixed; see `category_variants`.

    Returns:
      Its tasks, in LIBERO's order or in that of the files' names.

    Raises:
      ValueError: naming the known suites, or the argument that is wrong.
      BddlError: naming file, line and what is known there.
    """
    libero_plus.check_prompt(prompt)
    limit = None if horizon is None else _checked_horizon(horizon)
    known = str(name) in files.SUITE_NAMES
    if known and not isinstance(name, Path):
        selected = _libero_suite(name)._replace(prompt=prompt)
    else:
        called = f"./{name}" if known else str(name)  # a folder called as a suite
        paths = task_files.find(called)
        key = tuple((path, *_version(path)) for path in paths)
        table = category_variants.table(categories)
        selected = _file_suite(called, key, prompt, skip_unknown, table)
    return selected if limit is None else selected._replace(horizon=limit)


@functools.lru_cache(maxsize=16)
def _libero_suite(name: str) -> Suite:
    suite_files = files.suite_files(name)
    table = category_variants.table()
    read = tuple(_read(path, "file_name", table)[0] for path in suite_files.paths)
    tasks, _ = with_unique_names(read)
    return Suite(name, suite_files.horizon, tasks)


@functools.lru_cache(maxsize=16)
def _file_suite(
    name: str,
    sources: tuple[tuple[Path, int, int], ...],
    prompt: str,
    skip_unknown: bool,
    table: category_variants.Table,
) -> Suite:
    """The suite of files, each with its version, so that a changed one is read."""
    read, failures = [], []
    for path, *_ in sources:
        try:
            read.append(_read(path, prompt, table))
        except bddl.BddlError as error:
            failures.append(error)
    if failures and len(sources) == 1:
        raise failures[0]
    if failures and not (skip_unknown and read):
        raise task_files.TaskFilesError(name, failures, len(read))
    if failures:
        reasons = task_files.reasons(failures)
        task_files.warn(
            f"{len(failures)} of {len(sources)} files of {name} are skipped: {reasons}."
        )
    task_files.warn_about([info for _, info in read], name, prompt)
    tasks, renamed = with_unique_names(tuple(task for task, _ in read))
    if renamed:
        (first, called), *more = renamed.items()
        others = f", and {len(more)} others" if more else ""
        task_files.warn(
            f"files of {name} use one name for different things: {first} is called "
            f"{called!r} here{others}."
        )
    long = files.suite_files("libero_90")
    names = {path.stem for path in long.paths}
    ninety = all(task.base_name in names for task in tasks)
    return Suite(name, long.horizon if ninety else USER_HORIZON, tasks, prompt)


def read_task(
    path: str | Path, *, prompt: str = "clean", categories: Categories = None
) -> Task:
    """Read one BDDL file, and check that its task can be set up and judged.

    A camera, robot or noise variant of LIBERO-Plus needs no file: it is read from the
    file without these suffixes.

    Args:
      path: of the file.
      prompt: which instruction; see `suite`.
      categories: see `suite`.

    Returns:
      The task.

    Raises:
      BddlError: naming file, line and what is known there.
    """
    libero_plus.check_prompt(prompt)
    table = category_variants.table(categories)
    task, info = _read(Path(path).expanduser(), prompt, table)
    task_files.warn_about([info], str(path), prompt)
    return task


def _read(
    path: Path, prompt: str, table: category_variants.Table
) -> tuple[Task, task_files.TaskFileInfo]:
    name = libero_plus.parse_name(path.stem)
    problem = bddl.read(libero_plus.source_file(path))
    names = bddl_check.checked(problem, table)
    inits = {
        row.subject: _object_init(problem, row, names.instances)
        for row in problem.init
        if row.predicate in bddl.BINARY
    }
    joints = [row for row in problem.init if row.predicate not in bddl.BINARY]
    task = Task(
        name=path.stem,
        instruction=libero_plus.instruction(path.stem, problem.language, prompt),
        arena=names.arena,
        objects=tuple(inits[name] for name in names.objects),
        fixtures=tuple(inits[name] for name in names.fixtures),
        joints=tuple(Goal(*row[:3]) for row in joints),
        goal=tuple(
            Goal(*row[:3], zone=_zone(problem, row.target, ARENAS[names.arena]))
            for row in problem.goal
        ),
        base_name=name.base,
        variant=name.variant,
        appearance=names.appearance,
    )
    used = {*problem.objects.values(), *problem.fixtures.values()}
    stand_ins = [one for one in used if category_variants.stands_in(one, table)]
    return task, task_files.TaskFileInfo(
        path=path,
        instruction=task.instruction,
        language=problem.language,
        words=libero_plus.words(name.base),
        appearance=names.appearance,
        variant=name.variant,
        stand_ins=tuple(stand_ins),
    )


def _version(path: Path) -> tuple[int, int]:
    """When a file was changed, and its size."""
    try:
        stat = libero_plus.source_file(path).stat()
    except OSError:
        return 0, 0
    return stat.st_mtime_ns, stat.st_size


def _checked_horizon(horizon: int) -> int:
    try:
        steps = operator.index(horizon)
    except TypeError:
        steps = 0
    if steps < 1 or isinstance(horizon, bool):
        raise ValueError(f"horizon {horizon!r}: it takes a number of steps from 1.")
    return steps


def _zone(problem: bddl.Problem, name: str, arena: Arena) -> TargetZone | None:
    region = problem.regions.get(name)
    if region is None or not region.ranges:
        return None
    x0, y0, x1, y1 = region.ranges[0]
    x, y, _ = arena.offset
    center = ((x0 + x1) / 2 + x, (y0 + y1) / 2 + y, arena.region_z)
    return TargetZone(center, ((x1 - x0) / 2, (y1 - y0) / 2, ZONE_HALF_HEIGHT))


def _object_init(
    problem: bddl.Problem, row: bddl.Statement, instances: dict[str, str]
) -> ObjectInit:
    category = instances[row.subject]
    region = problem.regions.get(row.target)
    if region is not None and region.ranges:
        return ObjectInit(
            row.subject, category, region.ranges, region.yaw, region=row.target
        )
    reference, site = split_region(row.target, instances)
    return ObjectInit(
        row.subject,
        category,
        relation=row.predicate,
        reference=reference,
        region=site,
    )
