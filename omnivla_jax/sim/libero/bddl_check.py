"""Checks a BDDL file: whether what it names exists, and can be set up and judged.

LIBERO's rules: `libero/envs/predicates` and `bddl_base_domain.py`.
"""

from typing import Collection, Iterable, NamedTuple, NoReturn

from omnivla_jax.sim.assets import category_variants
from omnivla_jax.sim.assets.arenas import ARENAS, arena_of
from omnivla_jax.sim.assets.category import Articulation
from omnivla_jax.sim.assets.objects import CATEGORIES
from omnivla_jax.sim.libero import bddl

_TABLE_HINT = (
    f", and the rows of {category_variants.TABLE.name}; a file of more rows is given "
    "as `categories`"
)


class Names(NamedTuple):
    """What the statements of a file can name."""

    arena: str
    appearance: str  # what the problem class says of light and surfaces
    objects: dict[str, str]  # instance -> category, in qpos order
    fixtures: dict[str, str]  # the same, without the workspace
    zones: tuple[str, ...]  # the workspace's rectangles
    sites: dict[str, str]  # "{instance}_{region}" -> its instance
    moving: dict[str, Articulation]  # what has joints: fixtures and some of the sites

    @property
    def workspace(self) -> str:
        """The table or the floor."""
        return ARENAS[self.arena].workspace

    @property
    def instances(self) -> dict[str, str]:
        """Objects and fixtures -> category."""
        return {**self.objects, **self.fixtures}


class _Allowed(NamedTuple):
    """What a predicate takes in its place; unary ones have the target ""."""

    subjects: Collection[str]
    targets: Collection[str] = ("",)


def checked(
    problem: bddl.Problem, table: category_variants.Table | None = None
) -> Names:
    """The names of a file, of which every statement makes sense.

    Args:
      problem: what the file says.
      table: categories that are others recoloured or rescaled; None: this package's.

    Returns:
      What exists in the task, with categories that are known here.

    Raises:
      BddlError: naming file, line and what is known or allowed there.
    """
    problem_class = arena_of(problem.problem)
    if problem_class is None:
        line = problem.lines[problem.problem]
        known = (arena.problem for arena in ARENAS.values())
        _fail(problem, line, f"unknown problem class {problem.problem!r}", known)
    arena, appearance = problem_class
    if table is None:
        table = category_variants.table()
    problem = _with_categories(problem, ARENAS[arena].workspace, table)
    names = _names(problem, arena, appearance)
    _check_regions(problem, names)
    for row in problem.init:
        _check_statement(problem, names, row, _startable(problem, names, row), ":init")
    for row in problem.goal:
        _check_statement(problem, names, row, _judgeable(names, row), ":goal")
    _check_starts(problem, names)
    return names


def _with_categories(
    problem: bddl.Problem, workspace: str, table: category_variants.Table
) -> bddl.Problem:
    """`problem` with categories that exist; what does not move is a fixture."""
    objects: dict[str, str] = {}
    fixtures: dict[str, str] = {}
    sections = ((False, problem.objects), (True, problem.fixtures))
    for declared_fixture, instances in sections:
        for name, declared in instances.items():
            if name == workspace:
                fixtures[name] = declared
                continue
            line = problem.lines[name]
            category = category_variants.resolve(declared, table)
            if category is None:
                what = f"unknown object category {declared!r}"
                _fail(problem, line, what, CATEGORIES, after=_TABLE_HINT)
            kind = CATEGORIES[category]
            if kind.fixture != declared_fixture and not kind.pinned:
                place = ":objects" if declared_fixture else ":fixtures"
                message = f"{name!r} is a {declared!r}: it belongs into {place}."
                raise bddl.BddlError(problem.path, line, message)
            (fixtures if kind.fixture else objects)[name] = category
    return problem._replace(objects=objects, fixtures=fixtures)


def _names(problem: bddl.Problem, arena: str, appearance: str) -> Names:
    workspace = ARENAS[arena].workspace
    fixtures = {n: kind for n, kind in problem.fixtures.items() if n != workspace}
    sites, moving = {}, {}
    for name, category in {**problem.objects, **fixtures}.items():
        articulation = CATEGORIES[category].articulation
        if articulation is not None:
            moving[name] = articulation
        for part in CATEGORIES[category].parts:
            regions = [f"{name}_{region}" for region in part.regions]
            sites.update(dict.fromkeys(regions, name))
            if articulation is not None and part.joint:
                moving.update(dict.fromkeys(regions, articulation))
    zones = tuple(n for n, region in problem.regions.items() if region.ranges)
    return Names(arena, appearance, problem.objects, fixtures, zones, sites, moving)


def _check_regions(problem: bddl.Problem, names: Names) -> None:
    """The targets of regions; LIBERO's libero_goal itself has idle ones of nothing."""
    statements = (*problem.init, *problem.goal)
    used = {name for row in statements for name in (row.subject, row.target)}
    known = (names.workspace, *names.instances)
    for name, region in problem.regions.items():
        if region.target not in known and (region.ranges or name in used):
            _fail(problem, region.line, f"unknown target {region.target!r}", known)
        if region.ranges and region.target != names.workspace:
            what = f"a region with :ranges cannot have the target {region.target!r}"
            _fail(problem, region.line, what, [names.workspace], "it takes")


def _check_statement(
    problem: bddl.Problem,
    names: Names,
    row: bddl.Statement,
    allowed: _Allowed,
    section: str,
) -> None:
    """Whether both names of a statement are among those that its predicate takes."""
    known = (names.workspace, *names.instances, *names.zones, *names.sites)
    for name, choices in zip((row.subject, row.target), allowed, strict=True):
        if name in choices:
            continue
        if name not in known:
            what = f"unknown object or region {name!r}"
            _fail(problem, row.line, what, choices or known)
        text = " ".join(filter(None, row[:3]))
        what = f"{row.predicate!r} does not take {name!r} in {section} ({text})"
        _fail(problem, row.line, what, choices, "it takes")


def _startable(problem: bddl.Problem, names: Names, row: bddl.Statement) -> _Allowed:
    """What can be set up."""
    if row.predicate not in bddl.BINARY:
        # Nothing starts up in the air.
        return _Allowed(()) if row.predicate == "up" else _judgeable(names, row)
    if row.subject in names.fixtures:
        return _Allowed(names.fixtures, names.zones if row.predicate == "on" else ())
    # Things start on or in the bases: the sampler stacks no higher than two.
    stacked = {
        start.subject
        for start in problem.init
        if names.sites.get(start.target, start.target) in names.objects
    }
    bases = set(names.instances) - stacked
    sites = tuple(site for site, owner in names.sites.items() if owner in bases)
    if row.predicate == "in":
        return _Allowed(names.instances, sites)
    # A fixture as such has no place to put things on; its regions are.
    objects = tuple(name for name in names.objects if name in bases)
    return _Allowed(names.instances, (*names.zones, *objects, *sites))


def _judgeable(names: Names, row: bddl.Statement) -> _Allowed:
    """What can be asked for: fixtures do not move, and only sites contain things."""
    sites = tuple(n for n, owner in names.sites.items() if owner != row.subject)
    if row.predicate == "in":
        return _Allowed(names.objects, sites)
    if row.predicate == "on":
        others = tuple(name for name in names.instances if name != row.subject)
        return _Allowed(names.objects, (*others, *names.zones, *sites))
    if row.predicate == "up":
        return _Allowed(names.objects)
    # What can be opened, closed, turned on or turned off.
    return _Allowed(
        tuple(
            name
            for name, articulation in names.moving.items()
            if getattr(articulation, row.predicate, None) is not None
        )
    )


def _check_starts(problem: bddl.Problem, names: Names) -> None:
    """Whether :init places everything, and nothing twice."""
    placed: dict[str, int] = {}
    for row in problem.init:
        if row.predicate not in bddl.BINARY:
            continue
        if row.subject in placed:
            first = placed[row.subject]
            what = f"a second place for {row.subject!r}: the first is in line {first}."
            raise bddl.BddlError(problem.path, row.line, what)
        placed[row.subject] = row.line
    for name in names.instances:
        if name not in placed:
            what = f"no (On ...) in :init places {name!r}"
            _fail(problem, problem.lines[name], what, placed, "placed are")


def _fail(
    problem: bddl.Problem,
    line: int,
    what: str,
    known: Iterable[str],
    lead: str = "known are",
    after: str = "",
) -> NoReturn:
    listed = ", ".join(sorted(known)) or "nothing here"
    message = f"{what}: {lead} {listed}{after}."
    raise bddl.BddlError(problem.path, line, message, f"{what}.")
