"""Reads LIBERO's BDDL task files; every error names the file, the line and the remedy.

Grammar: `libero/envs/bddl_utils.py`. Names are case-insensitive and lower-cased.
"""

import re
from pathlib import Path
from typing import Iterator, NamedTuple, Sequence

PREDICATES = ("on", "in", "open", "close", "turnon", "turnoff", "up")
_BINARY = ("on", "in")
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
    line: int


class Problem(NamedTuple):
    """What a BDDL file says."""

    path: str
    problem: str  # LIBERO's problem class, which names the arena
    regions: dict[str, RegionSpec]  # "{target}_{region}"
    fixtures: dict[str, str]  # instance -> category
    objects: dict[str, str]  # instance -> category, in qpos order
    init: tuple[Statement, ...]
    goal: tuple[Statement, ...]


def read(path: Path) -> Problem:
    """Parse the file at `path`."""
    return parse(path.read_text(encoding="utf-8"), str(path))


def parse(text: str, path: str) -> Problem:
    """Parse BDDL `text`; `path` names it in errors.

    Raises:
      BddlError: on unbalanced parentheses, missing sections, unknown predicates or
        wrong arities.
    """
    words = [
        Word(match.group().lower(), number)
        for number, line in enumerate(text.splitlines(), 1)
        for match in _TOKEN.finditer(line.split(";")[0])
    ]
    sections = _sections(_tree(words, path), path)
    return Problem(
        path=path,
        problem=_leaf(_need(sections, "problem", path), path),
        regions=_regions(sections.get(":regions", []), path),
        fixtures=_instances(sections.get(":fixtures", []), path),
        objects=_instances(_need(sections, ":objects", path), path),
        init=tuple(_statement(tree, path) for tree in sections.get(":init", [])),
        goal=tuple(_goals(_need(sections, ":goal", path), path)),
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


def _sections(tree: list[Tree], path: str) -> dict[str, list[Tree]]:
    sections: dict[str, list[Tree]] = {}
    for part in tree[1:]:
        if isinstance(part, Word):
            raise BddlError(path, part.line, f"expected a section, got {part.text!r}.")
        sections[_head(part, path).text] = _tail(part, path)
    return sections


def _need(sections: dict[str, list[Tree]], name: str, path: str) -> list[Tree]:
    if name not in sections:
        raise BddlError(path, 1, f"no '({name} ...)': it has {sorted(sections)}.")
    return sections[name]


def _regions(trees: Sequence[Tree], path: str) -> dict[str, RegionSpec]:
    regions = {}
    for tree in trees:
        head, fields = _head(tree, path), {}
        for field in _tail(tree, path):
            fields[_head(field, path).text] = _tail(field, path)
        target = _leaf(_need(fields, ":target", path), path)
        ranges = [_numbers(row, path, 4) for row in _rows(fields.get(":ranges"))]
        yaws = [_numbers(row, path, 2) for row in _rows(fields.get(":yaw_rotation"))]
        low, high = yaws[0] if yaws else (0.0, 0.0)
        regions[f"{target}_{head.text}"] = RegionSpec(
            target,
            tuple((row[0], row[1], row[2], row[3]) for row in ranges),
            (low, high),
            head.line,
        )
    return regions


def _rows(field: Sequence[Tree] | None) -> list[Tree]:
    if not field or isinstance(field[0], Word):
        return []
    return field[0]


def _numbers(row: Tree, path: str, count: int) -> tuple[float, ...]:
    words = [word for word in row if isinstance(word, Word)]
    try:
        values = tuple(float(word.text) for word in words)
    except ValueError:
        values = ()
    if len(values) != count:
        text = " ".join(word.text for word in words)
        line = words[0].line if words else 1
        raise BddlError(path, line, f"expected {count} numbers, got '{text}'.")
    return values


def _instances(trees: Sequence[Tree], path: str) -> dict[str, str]:
    """`a b - category` lines as {a: category, b: category}, grouped by category."""
    groups: dict[str, list[str]] = {}
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
        groups.setdefault(_word(category, path).text, []).extend(waiting)
        waiting = []
    return {name: group for group, names in groups.items() for name in names}


def _goals(trees: Sequence[Tree], path: str) -> Iterator[Statement]:
    for tree in trees:
        if not isinstance(tree, Word) and _head(tree, path).text == "and":
            yield from (_statement(part, path) for part in _tail(tree, path))
        else:
            yield _statement(tree, path)


def _statement(tree: Tree, path: str) -> Statement:
    head = _head(tree, path)
    if head.text not in PREDICATES:
        known = ", ".join(PREDICATES)
        raise BddlError(
            path, head.line, f"unknown predicate {head.text!r}: known are {known}."
        )
    names = [_word(word, path).text for word in _tail(tree, path)]
    arity = 2 if head.text in _BINARY else 1
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


def _leaf(trees: Sequence[Tree], path: str) -> str:
    if len(trees) != 1:
        raise BddlError(path, 1, f"expected one name, got {len(trees)}.")
    return _word(trees[0], path).text
