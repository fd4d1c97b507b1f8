"""LIBERO-Plus: what its file names say, and what instructions its tasks have.

A variant of a task is named by a suffix (`libero/libero/benchmark` and
`envs/env_wrapper.py` of LIBERO-Plus):
`<task>[_table_T|_tb_T|_light_G|_add_A|[_moved]_levelL_sampleS|_language_N]
[_view_H_V_S_R_E][_initstate_K][_noise_M]`. Camera, robot and noise variants have no
file of their own: they are read from the file without these three.
"""

import re
from pathlib import Path
from typing import NamedTuple

PROMPTS = ("clean", "as_published", "file_name")
_SCENE_PREFIX = re.compile(r"^[A-Z_]*SCENE\d+_")
_CONTENT = r"(?:_(?:table|tb|light|add|language)_\d+|(?:_moved)?_level\d+_sample\d+)"
_SENSORS = r"(?:_view(?:_-?\d+){5}|_initstate_\d+|_noise_\d+)"
_COPY = r"(?: copy(?: \d+)?| ?\(\d+\))"  # what file managers add
_SUFFIX = re.compile(rf"^(?P<base>.+?)(?P<content>{_CONTENT}*)"
                     rf"(?P<sensors>{_SENSORS}*){_COPY}?$")  # fmt: skip
# A language model's introduction of its answer, which two of LIBERO-Plus' language
# files hold instead of an instruction.
PREAMBLE = re.compile(
    r"^(?:here (?:are|is)|sure|certainly)\b.*\b(?:variation|version|rewrit|paraphras)"
)


class Variant(NamedTuple):
    """How a LIBERO-Plus task differs from its base; None where it does not."""

    language: int | None = None  # N: the instruction is reworded
    light: int | None = None  # G
    table: int | None = None  # T: another table or floor
    tb: int | None = None  # T: another table and wall
    add: int | None = None  # A: ceil(A / 6) distractors
    level: int | None = None  # L: how far the layout is moved
    sample: int | None = None  # S: which of the moved layouts
    view: tuple[int, ...] | None = None  # H, V, S, R, E: degrees mod 360; S per cent
    initstate: int | None = None  # K: the arm's initial joints
    noise: int | None = None  # M: of the agent camera's images

    @property
    def kinds(self) -> tuple[str, ...]:
        """What differs: `language`, `light`, `table`, `tb`, `add`, `level`, ..."""
        given = [name for name, value in self._asdict().items() if value is not None]
        return tuple(name for name in given if name != "sample")


class Name(NamedTuple):
    """A task's name, taken apart."""

    base: str  # the original task's name
    variant: Variant
    stored: str  # the name of the file that describes it


def parse_name(name: str) -> Name:
    """Take the name of a task (its file's, without the ending) apart."""
    match = _SUFFIX.match(name)
    if match is None:
        return Name(name, Variant(), name)
    numbers: dict[str, tuple[int, ...]] = {}
    suffix = match["content"] + match["sensors"]
    for kind, digits in re.findall(r"_?([a-z]+)((?:_?-?\d+)+)", suffix):
        numbers[kind] = tuple(int(digit) for digit in re.findall(r"-?\d+", digits))
    values = {k: v if k == "view" else v[0] for k, v in numbers.items()}
    stored = match["base"] + match["content"] if match["sensors"] else name
    return Name(match["base"], Variant(**values), stored)  # type: ignore[arg-type]


def source_file(path: Path) -> Path:
    """The file that describes the task named by `path`: another for camera variants."""
    if path.exists():
        return path
    return path.with_name(parse_name(path.stem).stored + path.suffix)


def words(name: str) -> str:
    """A task's name as an instruction: without its scene, underscores as spaces."""
    return _SCENE_PREFIX.sub("", name).replace("_", " ")


def instruction(name: str, language: str, prompt: str) -> str:
    """The instruction of a task, as the policy gets it.

    Args:
      name: of the task, with LIBERO-Plus' suffix.
      language: what its BDDL file says, lower case; "" where it says nothing.
      prompt: `clean` (what the file says), `as_published` (as LIBERO-Plus: the name's
        words with the suffix, of `_language_` variants what the file says) or
        `file_name` (as LIBERO: the name's words without the suffix).

    Returns:
      The instruction.
    """
    base = words(parse_name(name).base)
    if prompt == "file_name" or not language:
        published = prompt == "as_published" and "_language_" not in name
        return words(name) if published else base
    if prompt == "as_published":
        return language if "_language_" in name else words(name)
    suffix = words(name)[len(base) :]
    return language.removesuffix(suffix) if suffix else language


def check_prompt(prompt: str) -> None:
    """Raise a ValueError where `prompt` is none of PROMPTS."""
    if prompt not in PROMPTS:
        raise ValueError(f"Unknown prompt {prompt!r}: choose {', '.join(PROMPTS)}.")
