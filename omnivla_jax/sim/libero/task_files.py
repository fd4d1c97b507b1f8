"""Finds task files by a suite's name, a file or a folder, and warns of their oddities.

All files share one `TaskFileWarning` for each topic.
"""

import difflib
import warnings
from collections import Counter
from pathlib import Path
from typing import Iterable, NamedTuple, Sequence

from omnivla_jax.sim.libero import files, libero_plus
from omnivla_jax.sim.libero.bddl import BddlError

ENDING = ".bddl"
_LISTED, _EXAMPLES = 50, 3  # failing files that an error lists; of what a warning names
_OVERLAY = ("view", "initstate", "noise")  # variants of cameras, arm and images


class TaskFileWarning(UserWarning):
    """Something about task files that a user may not expect."""


class TaskFilesError(BddlError):
    """Files of a folder that cannot be loaded; `failures` has one error for each."""

    def __init__(self, folder: str, failures: Sequence[BddlError], loaded: int):
        total, self.failures = len(failures) + loaded, tuple(failures)
        lines = [f"  {_place(error)}: {error.summary}" for error in failures[:_LISTED]]
        if len(failures) > _LISTED:
            lines.append(f"  ... and {len(failures) - _LISTED} more files.")
        rest = f"skip_unknown=True takes the other {loaded}" if loaded else "none loads"
        end = f"{folder}: {reasons(failures)}; {rest}."
        message = f"{len(failures)} of {total} task files cannot be loaded:"
        super().__init__(folder, 0, "\n".join([message, *lines, end]))


class TaskFileInfo(NamedTuple):
    """What one file says and what was made of it."""

    path: Path
    instruction: str  # of the task
    language: str  # of the file
    words: str  # of its name
    appearance: str  # of its problem class
    variant: libero_plus.Variant
    stand_ins: tuple[str, ...]  # categories whose true shape is not known


def find(name: str) -> list[Path]:
    """The task files that `name` means: a file's path or a folder's, sorted.

    Raises:
      BddlError: on a file that is none, or a folder without task files.
      ValueError: naming the known suites where `name` is nothing that exists.
    """
    try:
        path = Path(name).expanduser()
        if path.is_dir():
            return _in_folder(path)
        if path.suffix.lower() == ENDING:
            return [_existing(path)]
        if path.is_file():
            message = f"the name of a task file ends in {ENDING}: rename it."
            raise BddlError(str(path), 0, message)
    except (OSError, RuntimeError) as error:
        raise ValueError(f"{name!r} cannot be opened: {error}.") from error
    raise ValueError(_unknown(name, path))


def warn_about(infos: Sequence[TaskFileInfo], source: str, prompt: str) -> None:
    """Warn, once for each topic, of what a user of these files may not expect.

    Args:
      infos: one for each file that was read.
      source: the file or folder, for the message.
      prompt: a key of `libero_plus.PROMPTS`.
    """
    _warn_about_language(infos, source, prompt)
    topics = (
        (
            [i for i in infos if libero_plus.PREAMBLE.match(i.instruction)],
            "with a language model's introduction instead of an instruction",
            "leave them out",
        ),
        (
            [i for i in infos if i.appearance],
            "with light or surfaces that are not known here",
            "the look is the base's, and Task.appearance keeps the name",
        ),
        (
            [i for i in infos if set(i.variant.kinds) & set(_OVERLAY)],
            "with another camera, arm or image noise",
            "the scene is the base's, and Task.variant keeps the numbers",
        ),
    )
    for concerned, trait, remedy in topics:
        if concerned:
            examples = _names(concerned)
            warn(f"{_count(concerned)} of {source} {trait} ({examples}): {remedy}.")
    stand_ins = sorted({name for info in infos for name in info.stand_ins})
    if stand_ins:
        warn(
            f"{', '.join(stand_ins)} in {source}: shapes that are not known here; "
            "stand-ins of about their size take their places."
        )


def warn(message: str) -> None:
    """Issue `message` as a TaskFileWarning."""
    warnings.warn(message, TaskFileWarning, stacklevel=4)


def _warn_about_language(
    infos: Sequence[TaskFileInfo], source: str, prompt: str
) -> None:
    silent = [i for i in infos if not i.language]
    if silent:
        warn(
            f"{_count(silent)} of {source} without :language: instructions are the "
            f"name's words, such as {silent[0].instruction!r} ({_names(silent)})."
        )
    other = [i for i in infos if i.language and i.language != i.words.lower()]
    if not other:
        return
    first = other[0]
    sources = (":language", first.language), ("name", first.words)
    published = first.instruction == first.language
    (used, _), (unused, text) = sources if published else sources[::-1]
    example = f"such as {first.instruction!r} of {first.path.name}"
    warn(
        f":language and name differ in {_count(other)} of {source}; the instruction is "
        f"the {used} (prompt={prompt!r}), {example}, whose {unused} says {text!r}."
    )


def _in_folder(folder: Path) -> list[Path]:
    """Its task files, without hidden ones such as macOS' `._task.bddl`."""
    inside = sorted(folder.iterdir())
    paths = [path for path in inside if _is_task_file(path)]
    if paths:
        return paths
    folders = [path for path in inside if path.is_dir()]
    below = [p.name for p in folders if any(map(_is_task_file, p.iterdir()))]
    hint = f"; its folders {', '.join(below)} have" if below else ""
    message = f"a folder without {ENDING} files{hint}: give the folder that holds them."
    raise BddlError(str(folder), 0, message)


def _is_task_file(path: Path) -> bool:
    ending = path.suffix.lower() == ENDING
    return ending and not path.name.startswith(".") and not path.is_dir()


def _existing(path: Path) -> Path:
    source = libero_plus.source_file(path)
    if source.exists():
        return path
    near: list[str] = []
    if path.parent.is_dir():
        others = [p.name for p in path.parent.iterdir() if _is_task_file(p)]
        near = difflib.get_close_matches(path.name, others, n=1)
    sought = "" if source == path else f", nor {source.name}"
    hint = f": is it {near[0]!r}?" if near else ": check the path."
    raise BddlError(str(path), 0, f"no such file{sought}{hint}")


def _unknown(name: str, path: Path) -> str:
    known = files.SUITE_NAMES
    if len(path.parts) > 1:
        return f"{path}: no such file or folder: give a {ENDING} file or its folder."
    spelt = name.lower().replace("-", "_")
    near = difflib.get_close_matches(spelt, known, n=1)
    hint = f"is it {near[0]!r}? It is one of " if near else "choose "
    return (
        f"Unknown suite {name!r}: {hint}{', '.join(known)}, a {ENDING} file or a "
        "folder of them."
    )


def _place(error: BddlError) -> str:
    name = Path(error.path).name
    return f"{name}:{error.line}" if error.line else name


def reasons(failures: Iterable[BddlError]) -> str:
    """What is wrong, and with how many files."""
    counts = Counter(error.summary.rstrip(".") for error in failures)
    return "; ".join(f"{reason} ({n})" for reason, n in counts.most_common())


def _count(infos: Sequence[TaskFileInfo]) -> str:
    return f"{len(infos)} file" + "s" * (len(infos) != 1)


def _names(infos: Sequence[TaskFileInfo]) -> str:
    names = ", ".join(t.path.name for t in infos[:_EXAMPLES])
    return names + (", ..." if len(infos) > _EXAMPLES else "")
