"""Finds LIBERO's task files and recorded initial states.

The forty BDDL files ship with this package (`data/bddl`, LIBERO, MIT). Where the PyPI
package `hf-libero` is installed (`pip install --no-deps hf-libero`) its own files are
read instead, and its fifty recorded initial states per task with them.
"""

import functools
import importlib.util
import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from omnivla_jax.sim.libero import state_files

_DATA = Path(__file__).parents[1] / "data"
_SUITES = json.loads((_DATA / "suites.json").read_text())
SUITE_NAMES = tuple(_SUITES)  # their task files ship with this package
_STATES_HINT = "install them with `pip install --no-deps hf-libero`"


class SuiteFiles(NamedTuple):
    """The task files of one suite, in LIBERO's order."""

    horizon: int  # control steps, as openpi and OpenVLA evaluate
    paths: tuple[Path, ...]


def suite_files(name: str) -> SuiteFiles:
    """The BDDL files of a known suite."""
    row = _SUITES[name]
    installed = libero_root()
    root = _DATA / "bddl" if installed is None else installed / "bddl_files"
    paths = tuple(root / name / f"{task}.bddl" for task in row["tasks"])
    return SuiteFiles(row["horizon"], paths)


def incomplete_suite(name: str) -> str:
    """What of LIBERO's suite `name` is missing here, and what to do; "" of others."""
    spelt = name.lower().replace("-", "_")
    if spelt not in ("libero_90", "libero_100", "libero_130"):
        return ""
    table, installed = libero_90(), libero_root()
    lacking = ", ".join(table["missing"])
    files = "its files" if installed is None else f"{installed}/bddl_files/libero_90"
    return (
        f"{name!r} is incomplete: {table['lacking']} of libero_90's "
        f"{len(table['tasks'])} tasks need the objects {lacking}, which have no shapes "
        f"here yet; a folder of {files} with skip_unknown=True loads the others. "
        f"Complete are {', '.join(SUITE_NAMES)}."
    )


@functools.lru_cache(maxsize=1)
def libero_90() -> dict[str, Any]:
    """LIBERO-90's `horizon`, `tasks`, and `missing` categories of `lacking` tasks."""
    return json.loads((_DATA / "libero_90.json").read_text())


def libero_root() -> Path | None:
    """The folder of the installed LIBERO package that holds its data, if any."""
    spec = importlib.util.find_spec("libero")
    if spec is None or not spec.submodule_search_locations:
        return None
    root = Path(spec.submodule_search_locations[0]) / "libero"
    return root if (root / "bddl_files").is_dir() else None


def initial_states(suite: str, task: str) -> np.ndarray:
    """LIBERO's recorded initial states of a task.

    Args:
      suite: such as `libero_goal`.
      task: the task's name, as its BDDL file is called.

    Returns:
      float64 [50, 1 + nq + nv], time first.

    Raises:
      FileNotFoundError: when hf-libero is not installed or has no such file.
      ValueError: when the file is not what LIBERO writes.
    """
    root = libero_root()
    if root is None:
        raise FileNotFoundError(f"LIBERO's initial states are absent: {_STATES_HINT}.")
    path = root / "init_files" / suite / f"{task}.pruned_init"
    if not path.is_file():
        raise FileNotFoundError(f"No initial states at {path}: {_STATES_HINT}.")
    return state_files.read(path)
