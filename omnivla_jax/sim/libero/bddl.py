"""Reads LIBERO's BDDL task files; every error names the file, the line and the remedy.

Grammar: `libero/envs/bddl_utils.py`. Names are case-insensitive and lower-cased.
"""

import math
import re
from pathlib import Path
from typing import Iterator, NamedTuple, Sequence

from omnivla_jax.sim.libero.text_files import TextFileError, read_text

PREDICATES = ("on", "in", "open", "close", "turnon", "turnoff", "up")
BINARY = ("on", "in")  # the others take one name
_TOKEN = re.compile(r"[()]|[^\s()]+")
_LINE_END = re.compile(r"\r\n|\r|\n")
# A semicolon begins a comment, except among the words of an instruction.
_LANGUAGE = re.compile(r"^[^;]*\(:language\b[^()]*\)", re.IGNORECASE)


class BddlError(ValueError):
    """A task file that cannot be used: `file:line: what is wrong and what is known`.

    Line 0 stands for the file as a whole: `file: what it is`. `summary` is the message
    without the list of what is known.
    """

    def __init__(self, path: str, line: int, message: str, summary: str = ""):
        where = f"{path}:{line}" if line else path
        super().__init__(f"{where}: {message}")
        self.path, self.line = path, line
        self.summary = summary or message


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
    language: str  # what `:language` says, lower case as LIBERO reads it; or ""
    regions: dict[str, RegionSpec]  # "{target}_{region}"
    fixtures: dict[str, str]  # instance -> category
    objects: dict[str, str]  # instance -> category, in qpos order
    init: tuple[Statement, ...]
    goal: tuple[Statement, ...]
    lines: dict[str, int]  # of the problem class, and of each instance's category


def read(path: Path) -> Problem:
    """Parse the file at `path`.

    Raises:
      BddlError: as `parse` does, or naming what the file is instead of BDDL.
    """
    try:
        text = read_text(path)
    except TextFileError as error:
        raise BddlError(str(path), 0, str(error)) from error
    return parse(text, str(path))


def parse(text: str, path: str) -> Problem:
    """Parse BDDL `text`; `path` names it in errors.

    Raises:
      BddlError: on unbalanced parentheses, missing or repeated sections, regions and
        instances, unknown predicates, wrong arities, numbers and ranges that describe
        no place, or a goal that asks for nothing.
    """
    sections = _sections(_tree(list(_words(text)), path), path)
    problem = _leaf(_need(sections, "problem", path), path)
    fixtures = _instances(sections.get(":fixtures", [])[1:], path)
    objects = _instances(_need(sections, ":objects", path)[1:], path)
    for name in fixtures.keys() & objects.keys():
        line = max(fixtures[name].line, objects[name].line)
        raise BddlError(path, line, f"{name!r} is an object and a fixture: keep one.")
    categories = {**fixtures, **objects}
    return Problem(
        path=path,
        problem=problem.text,
        language=_language(sections.get(":language", [])[1:]),
        regions=_regions(sections.get(":regions", [])[1:], path),
        fixtures={name: category.text for name, category in fixtures.items()},
        objects={name: category.text for name, category in objects.items()},
        init=tuple(_statement(tree, path) for tree in sections.get(":init", [])[1:]),
        goal=_goals(_need(sections, ":goal", path), path),
        lines={word: at.line for word, at in categories.items()}
        | {problem.text: problem.line},
    )


def _words(text: str) -> Iterator[Word]:
    """The words outside comments, lower case."""
    for number, line in enumerate(_LINE_END.split(text), 1):
        found = _LANGUAGE.match(line)
        end = found.end() if found else 0
        for match in _TOKEN.finditer(line[:end] + line[end:].split(";")[0]):
            yield Word(match.group().lower(), number)


def _language(trees: Sequence[Tree]) -> str:
    """The words of an instruction; quotes around all of it are no part of it."""
    text = " ".join(_spelled(tree) for tree in trees)
    quoted = len(text) > 1 and text[0] == text[-1] == '"' and text.count('"') == 2
    return (text[1:-1] if quoted else text).strip()


def _spelled(tree: Tree) -> str:
    if isinstance(tree, Word):
        return tree.text
    return f"({' '.join(_spelled(part) for part in tree)})"


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
    tree = stack[0][0] if len(stack[0]) == 1 else []
    if isinstance(tree, Word) or not tree:
        raise BddlError(path, last, "expected one '(define ...)': no BDDL file?")
    return tree


def _sections(tree: Tree, path: str) -> dict[str, list[Tree]]:
    """The parts of `(name (key ...) (key ...))` by their keys, which stay in front."""
    sections: dict[str, list[Tree]] = {}
    for part in _tail(tree, path):
        head = _head(part, path)
        if head.text in sections:
            first = _head(sections[head.text], path).line
            message = f"a second '({head.text} ...)': the first is in line {first}."
            raise BddlError(path, head.line, message)
        sections[head.text] = [head, *_tail(part, path)]
    return sections


def _need(sections: dict[str, list[Tree]], name: str, path: str) -> list[Tree]:
    if name not in sections:
        raise BddlError(path, 1, f"no '({name} ...)': it has {sorted(sections)}.")
    return sections[name]


def _regions(trees: Sequence[Tree], path: str) -> dict[str, RegionSpec]:
    regions: dict[str, RegionSpec] = {}
    for tree in trees:
        head, fields = _head(tree, path), _sections(tree, path)
        target = _leaf(_need(fields, ":target", path), path)
        name = f"{target.text}_{head.text}"
        if name in regions:
            message = (
                f"a second region {head.text!r} of {target.text!r}: the first is in "
                f"line {regions[name].line}."
            )
            raise BddlError(path, head.line, message)
        ranges = _rows(fields, ":ranges", path, 4)
        yaws = _rows(fields, ":yaw_rotation", path, 2)
        low, high = yaws[0] if yaws else (0.0, 0.0)
        regions[name] = RegionSpec(
            target.text,
            tuple((row[0], row[1], row[2], row[3]) for row in ranges),
            (low, high),
            target.line,
        )
    return regions


def _rows(
    fields: dict[str, list[Tree]], name: str, path: str, count: int
) -> list[tuple[float, ...]]:
    """The rows of `(name ((...) (...)))`; none where a region lacks this field."""
    if name not in fields:
        return []
    head, *lists = fields[name]
    rows, line = lists[0] if len(lists) == 1 else [], _word(head, path).line
    if isinstance(rows, Word) or not rows:
        example = "((x0 y0 x1 y1))" if count == 4 else "((low high))"
        message = f"{name} takes one list that is not empty: ({name} {example})."
        raise BddlError(path, line, message)
    return [_numbers(row, path, count, line) for row in rows]


def _numbers(row: Tree, path: str, count: int, line: int) -> tuple[float, ...]:
    """The numbers of a row: first the lower ends, then as many upper ends."""
    words = list(_leaves(row))
    text = " ".join(word.text for word in words)
    line = words[0].line if words else line
    try:
        values = tuple(float(word.text) for word in words)
    except ValueError:
        values = ()
    if len(values) != count:
        raise BddlError(path, line, f"expected {count} numbers, got '{text}'.")
    for word, value in zip(words, values, strict=True):
        if not math.isfinite(value):
            message = f"{word.text!r} is no finite number, in '{text}'."
            raise BddlError(path, word.line, message)
    if any(low > high for low, high in zip(values, values[count // 2 :])):
        ends = "x0 y0 x1 y1" if count == 4 else "low high"
        message = f"an inverted range '{text}': it takes {ends}, the lower ends first."
        raise BddlError(path, line, message)
    return values


def _leaves(tree: Tree) -> Iterator[Word]:
    if isinstance(tree, Word):
        yield tree
        return
    for part in tree:
        yield from _leaves(part)


def _instances(trees: Sequence[Tree], path: str) -> dict[str, Word]:
    """`a b - category` lines as {a: category, b: category}, grouped by category."""
    groups: dict[str, dict[str, Word]] = {}
    waiting: list[Word] = []
    seen: dict[str, int] = {}
    words = iter(trees)
    for tree in words:
        word = _word(tree, path)
        if word.text != "-":
            if word.text in seen:
                first = seen[word.text]
                message = f"a second {word.text!r}: the first is in line {first}."
                raise BddlError(path, word.line, message)
            seen[word.text] = word.line
            waiting.append(word)
            continue
        category = next(words, None)
        if category is None:
            raise BddlError(path, word.line, "no category after '-'.")
        kind = _word(category, path)
        names = dict.fromkeys((name.text for name in waiting), kind)
        groups.setdefault(kind.text, {}).update(names)
        waiting = []
    if waiting:
        name = waiting[0]
        raise BddlError(path, name.line, f"no '- category' after {name.text!r}.")
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
