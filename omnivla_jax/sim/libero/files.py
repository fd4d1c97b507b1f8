"""Finds LIBERO's task files and recorded initial states.

The 130 BDDL files ship with this package (`data/bddl`, LIBERO, MIT). Where the PyPI
package `hf-libero` is installed (`pip install --no-deps hf-libero`) its own files are
read instead, and its fifty recorded initial states per task with them.
"""

import importlib.util
import json
from pathlib import Path
from typing import NamedTuple

import numpy as np

from omnivla_jax.sim.libero import state_files

_DATA = Path(__file__).parents[1] / "data"
_SUITES = json.loads((_DATA / "suites.json").read_text())
SUITE_NAMES = tuple(_SUITES)  # their task files ship with this package
# The four of ten tasks each, of which results are reported.
BENCHMARK_SUITES = ("libero_spatial", "libero_object", "libero_goal", "libero_10")
_STATES_HINT = "install them with `pip install --no-deps hf-libero`"


class SuiteFiles(NamedTuple):
    """The task files of one suite, in LIBERO's order."""

    horizon: int  # control steps, as openpi and OpenVLA evaluate
    paths: tuple[Path, ...]


def suite_files(name: str) -> SuiteFiles:
    """The BDDL files of a known suite; libero_130 is all others, in LIBERO's order."""
    row, installed = _SUITES[name], libero_root()
    root = _DATA / "bddl" if installed is None else installed / "bddl_files"
    paths = [
        root / part / f"{task}.bddl"
        for part in row.get("suites", (name,))
        for task in _SUITES[part]["tasks"]
    ]
    return SuiteFiles(row["horizon"], tuple(paths))


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
      suite: such as `libero_goal`; `libero_130` finds the one that has the task.
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
    parts = _SUITES.get(suite, {}).get("suites", (suite,))
    holding = [part for part in parts if task in _SUITES.get(part, {}).get("tasks", ())]
    folder = holding[0] if holding else suite
    path = root / "init_files" / folder / f"{task}.pruned_init"
    if not path.is_file():
        raise FileNotFoundError(f"No initial states at {path}: {_STATES_HINT}.")
    return state_files.read(path)
