"""Reads LIBERO's BDDL task files; every error names the file, the line and the remedy.

Grammar: `libero/envs/bddl_utils.py`. Names are case-insensitive and lower-cased.
"""

import re
from pathlib import Path
from typing import NamedTuple, Sequence

PREDICATES = ("on", "in", "open", "close", "turnon", "turnoff", "up")
BINARY = ("on", "in")  # the others take one name
_TOKEN = re.compile(r"[()]|[^\s()]+")


class BddlError(ValueError):
    """A task file that cannot be used: `file:line: what is wrong and what is known`."""

    def __init__(self, path: str, line: int, message: str):
        super().__init__(f"{path}:{line}: {message}")


class Word(NamedTuple):
    """One word and the line it stands on."""

    text: str
    line: int


Tree = Word | list["Tree"]


class Statement(NamedTuple):
    """`(predicate subject target)`; `target` is empty for unary predicates."""

    predicate: str
    subject: str
    target: str
    line: int


class RegionSpec(NamedTuple):
    """A rectangle on a workspace, or, without ranges, a site of an object."""

    target: str
    ranges: tuple[tuple[float, float, float, float], ...]  # x0, y0, x1, y1 in m
    yaw: tuple[float, float]  # rad, for fixtures
    line: int  # of the target


class Problem(NamedTuple):
    """What a BDDL file says."""

    path: str
    problem: str  # LIBERO's problem class, which names the arena
    regions: dict[str, RegionSpec]  # "{target}_{region}"
    fixtures: dict[str, str]  # instance -> category
    objects: dict[str, str]  # instance -> category, in qpos order
    init: tuple[Statement, ...]
    goal: tuple[Statement, ...]
    lines: dict[str, int]  # of the problem class, and of each instance's category


def read(path: Path) -> Problem:
    """Parse the file at `path`."""
    return parse(path.read_text(encoding="utf-8"), str(path))


def parse(text: str, path: str) -> Problem:
    """Parse BDDL `text`; `path` names it in errors.

    Raises:
      BddlError: on unbalanced parentheses, missing sections, unknown predicates,
        wrong arities or a goal that asks for nothing.
    """
    words = [
        Word(match.group().lower(), number)
        for number, line in enumerate(text.splitlines(), 1)
        for match in _TOKEN.finditer(line.split(";")[0])
    ]
    sections = _sections(_tree(words, path), path)
    problem = _leaf(_need(sections, "problem", path), path)
    fixtures = _instances(sections.get(":fixtures", [])[1:], path)
    objects = _instances(_need(sections, ":objects", path)[1:], path)
    categories = {**fixtures, **objects}
    return Problem(
        path=path,
        problem=problem.text,
        regions=_regions(sections.get(":regions", [])[1:], path),
        fixtures={name: category.text for name, category in fixtures.items()},
        objects={name: category.text for name, category in objects.items()},
        init=tuple(_statement(tree, path) for tree in sections.get(":init", [])[1:]),
        goal=_goals(_need(sections, ":goal", path), path),
        lines={word: at.line for word, at in categories.items()}
        | {problem.text: problem.line},
    )


def _tree(words: list[Word], path: str) -> list[Tree]:
    """Nested lists of words."""
    stack: list[list[Tree]] = [[]]
    for word in words:
        if word.text == "(":
            stack.append([])
        elif word.text != ")":
            stack[-1].append(word)
        elif len(stack) == 1:
            raise BddlError(path, word.line, "a ')' too many.")
        else:
            closed = stack.pop()
            stack[-1].append(closed)
    last = words[-1].line if words else 1
    if len(stack) > 1:
        raise BddlError(path, last, f"{len(stack) - 1} '(' not closed.")
    if len(stack[0]) != 1 or isinstance(stack[0][0], Word):
        raise BddlError(path, last, "expected one '(define ...)'.")
    return stack[0][0]


def _sections(tree: Tree, path: str) -> dict[str, list[Tree]]:
    """The parts of `(name (key ...) (key ...))` by their keys, which stay in front."""
    sections: dict[str, list[Tree]] = {}
    for part in _tail(tree, path):
        head = _head(part, path)
        sections[head.text] = [head, *_tail(part, path)]
    return sections


def _need(sections: dict[str, list[Tree]], name: str, path: str) -> list[Tree]:
    if name not in sections:
        raise BddlError(path, 1, f"no '({name} ...)': it has {sorted(sections)}.")
    return sections[name]


def _regions(trees: Sequence[Tree], path: str) -> dict[str, RegionSpec]:
    regions = {}
    for tree in trees:
        head, fields = _head(tree, path), _sections(tree, path)
        target = _leaf(_need(fields, ":target", path), path)
        ranges = [_numbers(row, path, 4) for row in _rows(fields.get(":ranges"))]
        yaws = [_numbers(row, path, 2) for row in _rows(fields.get(":yaw_rotation"))]
        low, high = yaws[0] if yaws else (0.0, 0.0)
        regions[f"{target.text}_{head.text}"] = RegionSpec(
            target.text,
            tuple((row[0], row[1], row[2], row[3]) for row in ranges),
            (low, high),
            target.line,
        )
    return regions


def _rows(field: Sequence[Tree] | None) -> list[Tree]:
    if not field or len(field) < 2 or isinstance(field[1], Word):
        return []
    return field[1]


def _numbers(row: Tree, path: str, count: int) -> tuple[float, ...]:
    cells = [row] if isinstance(row, Word) else row
    words = [word for word in cells if isinstance(word, Word)]
    try:
        values = tuple(float(word.text) for word in words)
    except ValueError:
        values = ()
    if len(values) != count:
        text = " ".join(word.text for word in words)
        line = words[0].line if words else 1
        raise BddlError(path, line, f"expected {count} numbers, got '{text}'.")
    return values


def _instances(trees: Sequence[Tree], path: str) -> dict[str, Word]:
    """`a b - category` lines as {a: category, b: category}, grouped by category."""
    groups: dict[str, dict[str, Word]] = {}
    waiting: list[str] = []
    words = iter(trees)
    for word in words:
        text = _word(word, path).text
        if text != "-":
            waiting.append(text)
            continue
        category = next(words, None)
        if category is None:
            raise BddlError(path, _word(word, path).line, "no category after '-'.")
        kind = _word(category, path)
        groups.setdefault(kind.text, {}).update(dict.fromkeys(waiting, kind))
        waiting = []
    return {name: kind for group in groups.values() for name, kind in group.items()}


def _goals(section: Sequence[Tree], path: str) -> tuple[Statement, ...]:
    goals: list[Statement] = []
    for tree in section[1:]:
        conjunction = _head(tree, path).text == "and"
        parts = _tail(tree, path) if conjunction else [tree]
        goals += [_statement(part, path) for part in parts]
    if not goals:
        line, known = _word(section[0], path).line, ", ".join(PREDICATES)
        raise BddlError(path, line, f":goal asks for nothing: it takes {known}.")
    return tuple(goals)


def _statement(tree: Tree, path: str) -> Statement:
    head = _head(tree, path)
    if head.text not in PREDICATES:
        known = ", ".join(PREDICATES)
        raise BddlError(
            path, head.line, f"unknown predicate {head.text!r}: known are {known}."
        )
    names = [_word(word, path).text for word in _tail(tree, path)]
    arity = 2 if head.text in BINARY else 1
    if len(names) != arity:
        raise BddlError(
            path, head.line, f"'{head.text}' takes {arity} names, got {names}."
        )
    return Statement(head.text, names[0], names[1] if arity == 2 else "", head.line)


def _head(tree: Tree, path: str) -> Word:
    if isinstance(tree, Word):
        raise BddlError(path, tree.line, f"expected '(...)', got {tree.text!r}.")
    if not tree:
        raise BddlError(path, 1, "an empty '()'.")
    return _word(tree[0], path)


def _tail(tree: Tree, path: str) -> list[Tree]:
    if isinstance(tree, Word):
        raise BddlError(path, tree.line, f"expected '(...)', got {tree.text!r}.")
    return tree[1:]


def _word(tree: Tree, path: str) -> Word:
    if isinstance(tree, Word):
        return tree
    raise BddlError(path, _head(tree, path).line, "expected a name, got '(...)'.")


def _leaf(section: Sequence[Tree], path: str) -> Word:
    head, names = _word(section[0], path), section[1:]
    if len(names) != 1:
        raise BddlError(
            path, head.line, f"{head.text!r} takes one name, got {len(names)}."
        )
    return _word(names[0], path)
