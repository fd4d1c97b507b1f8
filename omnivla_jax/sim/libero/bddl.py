"""Reads LIBERO's BDDL task files; every error names the file, the line and the remedy.

Grammar: `libero/envs/bddl_utils.py`. Names are case-insensitive and lower-cased.
"""

import dataclasses
import math
import re
from pathlib import Path
from typing import Iterator, NamedTuple, NoReturn, Sequence

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
    """Parse BDDL `text`.

    Args:
      text: of the file.
      path: names it in errors.

    Raises:
      BddlError: on unbalanced parentheses, missing or repeated sections, regions and
        instances, unknown predicates, wrong arities, numbers and ranges that describe
        no place, or a goal that asks for nothing.
    """
    parser = _Parser(path)
    sections = parser.sections(parser.tree(_words(text)))
    problem = parser.name(parser.need(sections, "problem"))
    fixtures = parser.instances(sections.get(":fixtures", [])[1:])
    objects = parser.instances(parser.need(sections, ":objects")[1:])
    for name in fixtures.keys() & objects.keys():
        line = max(fixtures[name].line, objects[name].line)
        parser.fail(line, f"{name!r} is an object and a fixture: keep one.")
    categories = {**fixtures, **objects}
    # Quotes around all of an instruction are no part of it.
    language = " ".join(_spelled(tree) for tree in sections.get(":language", [])[1:])
    if len(language) > 1 and language[0] == language[-1] == '"':
        language = language[1:-1] if language.count('"') == 2 else language
    init = sections.get(":init", [])[1:]
    return Problem(
        path=path,
        problem=problem.text,
        language=language.strip(),
        regions=parser.regions(sections.get(":regions", [])[1:]),
        fixtures={name: category.text for name, category in fixtures.items()},
        objects={name: category.text for name, category in objects.items()},
        init=tuple(parser.statement(tree) for tree in init),
        goal=parser.goals(parser.need(sections, ":goal")),
        lines={word: at.line for word, at in categories.items()}
        | {problem.text: problem.line},
    )


def _words(text: str) -> list[Word]:
    """The words outside comments, lower case."""
    words = []
    for number, line in enumerate(_LINE_END.split(text), 1):
        language = _LANGUAGE.match(line)
        end = language.end() if language else 0
        code = line[:end] + line[end:].split(";")[0]
        words += [Word(word.lower(), number) for word in _TOKEN.findall(code)]
    return words


def _spelled(tree: Tree) -> str:
    if isinstance(tree, Word):
        return tree.text
    return f"({' '.join(_spelled(part) for part in tree)})"


def _leaves(tree: Tree) -> Iterator[Word]:
    if isinstance(tree, Word):
        yield tree
        return
    for part in tree:
        yield from _leaves(part)


@dataclasses.dataclass(frozen=True)
class _Parser:
    """Turns words into the parts of a problem; its errors name the file."""

    path: str

    def fail(self, line: int, message: str) -> NoReturn:
        """Raise a BddlError at a line of the file."""
        raise BddlError(self.path, line, message)

    def tree(self, words: list[Word]) -> list[Tree]:
        """Nested lists of words, one list for each pair of parentheses."""
        stack: list[list[Tree]] = [[]]
        for word in words:
            if word.text == "(":
                stack.append([])
            elif word.text != ")":
                stack[-1].append(word)
            elif len(stack) == 1:
                self.fail(word.line, "a ')' too many.")
            else:
                closed = stack.pop()
                stack[-1].append(closed)
        last = words[-1].line if words else 1
        if len(stack) > 1:
            self.fail(last, f"{len(stack) - 1} '(' not closed.")
        tree = stack[0][0] if len(stack[0]) == 1 else []
        if isinstance(tree, Word) or not tree:
            self.fail(last, "expected one '(define ...)': no BDDL file?")
        return tree

    def word(self, tree: Tree) -> Word:
        """`tree`, which has to be a single word."""
        if isinstance(tree, Word):
            return tree
        self.fail(self.split(tree)[0].line, "expected a name, got '(...)'.")

    def split(self, tree: Tree) -> tuple[Word, list[Tree]]:
        """The first word of a list, and the rest."""
        if isinstance(tree, Word):
            self.fail(tree.line, f"expected '(...)', got {tree.text!r}.")
        if not tree:
            self.fail(1, "an empty '()'.")
        return self.word(tree[0]), tree[1:]

    def name(self, section: Tree) -> Word:
        """The one name behind the key of a section."""
        head, names = self.split(section)
        if len(names) != 1:
            self.fail(head.line, f"{head.text!r} takes one name, got {len(names)}.")
        return self.word(names[0])

    def sections(self, tree: Tree) -> dict[str, list[Tree]]:
        """The parts of `(name (key ...) (key ...))` by their keys, which stay first."""
        sections: dict[str, list[Tree]] = {}
        for part in self.split(tree)[1]:
            head, rest = self.split(part)
            if head.text in sections:
                first = self.split(sections[head.text])[0].line
                message = f"a second '({head.text} ...)': the first is in line {first}."
                self.fail(head.line, message)
            sections[head.text] = [head, *rest]
        return sections

    def need(self, sections: dict[str, list[Tree]], name: str) -> list[Tree]:
        """The section called `name`."""
        if name not in sections:
            self.fail(1, f"no '({name} ...)': it has {sorted(sections)}.")
        return sections[name]

    def regions(self, trees: Sequence[Tree]) -> dict[str, RegionSpec]:
        """The regions by "{target}_{region}"."""
        regions: dict[str, RegionSpec] = {}
        for tree in trees:
            head, fields = self.split(tree)[0], self.sections(tree)
            target = self.name(self.need(fields, ":target"))
            name = f"{target.text}_{head.text}"
            if name in regions:
                self.fail(
                    head.line,
                    f"a second region {head.text!r} of {target.text!r}: the first is "
                    f"in line {regions[name].line}.",
                )
            ranges = self.rows(fields, ":ranges", 4)
            yaws = self.rows(fields, ":yaw_rotation", 2)
            low, high = yaws[0] if yaws else (0.0, 0.0)
            regions[name] = RegionSpec(
                target.text,
                tuple((row[0], row[1], row[2], row[3]) for row in ranges),
                (low, high),
                target.line,
            )
        return regions

    def rows(
        self, fields: dict[str, list[Tree]], name: str, count: int
    ) -> list[tuple[float, ...]]:
        """The rows of `(name ((...) (...)))`; none where a region lacks this field.

        A row has `count` numbers: first the lower ends, then as many upper ends.
        """
        if name not in fields:
            return []
        head, lists = self.split(fields[name])
        trees = lists[0] if len(lists) == 1 else []
        ends = "x0 y0 x1 y1" if count == 4 else "low high"
        if isinstance(trees, Word) or not trees:
            message = f"{name} takes one list that is not empty: ({name} (({ends})))."
            self.fail(head.line, message)
        rows = []
        for tree in trees:
            words = list(_leaves(tree))
            text = " ".join(word.text for word in words)
            line = words[0].line if words else head.line
            try:
                values = tuple(float(word.text) for word in words)
            except ValueError:
                values = ()
            if len(values) != count:
                self.fail(line, f"expected {count} numbers, got '{text}'.")
            for word, value in zip(words, values, strict=True):
                if not math.isfinite(value):
                    message = f"{word.text!r} is no finite number, in '{text}'."
                    self.fail(word.line, message)
            if any(low > high for low, high in zip(values, values[count // 2 :])):
                message = f"an inverted range '{text}': it takes {ends}, the lower ends"
                self.fail(line, f"{message} first.")
            rows.append(values)
        return rows

    def instances(self, trees: Sequence[Tree]) -> dict[str, Word]:
        """`a b - category` lines as {a: category, b: category}, by category."""
        groups: dict[str, dict[str, Word]] = {}
        waiting: list[Word] = []
        lines: dict[str, int] = {}
        words = iter(trees)
        for tree in words:
            word = self.word(tree)
            if word.text != "-":
                if word.text in lines:
                    first = lines[word.text]
                    message = f"a second {word.text!r}: the first is in line {first}."
                    self.fail(word.line, message)
                lines[word.text] = word.line
                waiting.append(word)
                continue
            category = next(words, None)
            if category is None:
                self.fail(word.line, "no category after '-'.")
            kind = self.word(category)
            names = dict.fromkeys((name.text for name in waiting), kind)
            groups.setdefault(kind.text, {}).update(names)
            waiting = []
        if waiting:
            name = waiting[0]
            self.fail(name.line, f"no '- category' after {name.text!r}.")
        return {name: kind for group in groups.values() for name, kind in group.items()}

    def goals(self, section: Sequence[Tree]) -> tuple[Statement, ...]:
        """The statements of a conjunction, or the single one."""
        head, trees = self.word(section[0]), section[1:]
        goals: list[Statement] = []
        for tree in trees:
            first, rest = self.split(tree)
            parts = rest if first.text == "and" else [tree]
            goals += [self.statement(part) for part in parts]
        if not goals:
            known = ", ".join(PREDICATES)
            self.fail(head.line, f":goal asks for nothing: it takes {known}.")
        return tuple(goals)

    def statement(self, tree: Tree) -> Statement:
        """`(predicate subject target)`."""
        head, rest = self.split(tree)
        if head.text not in PREDICATES:
            known = ", ".join(PREDICATES)
            message = f"unknown predicate {head.text!r}: known are {known}."
            self.fail(head.line, message)
        names = [self.word(word).text for word in rest]
        arity = 2 if head.text in BINARY else 1
        if len(names) != arity:
            self.fail(head.line, f"'{head.text}' takes {arity} names, got {names}.")
        return Statement(head.text, names[0], names[1] if arity == 2 else "", head.line)
