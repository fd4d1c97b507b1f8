"""All scripts of a scene as columns, ready to be indexed inside a compiled program.

Axes: S tasks of the suite, P phases.
"""

import functools
from typing import Any, NamedTuple, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from omnivla_jax.sim.libero.tasks import Suite, Task
from omnivla_jax.sim.scene import Scene
from omnivla_jax.world.expert import phases
from omnivla_jax.world.expert.matching import find_script, goal_text
from omnivla_jax.world.expert.phases import Phase, Script

AT_START, AT_WORLD = -1, -2  # anchor ids that are no body
FRAMES = (phases.FIXED, phases.KEPT, "x", "y", "z")
KEPT, FIRST_AXIS = 1, 2  # rows of FRAMES
_STILL: Script = (phases.wait(phases.OPEN, phases.FOREVER),)


class Rows(NamedTuple):
    """The fields of `Phase` as arrays [S, P], or one row for each environment [B]."""

    anchor: Any  # int32: a body id, AT_START or AT_WORLD
    offset: Any  # float32 [S, P, 3]
    gripper: Any
    moved: Any  # int32 body id
    frame: Any  # int32: a row of FRAMES
    hand: Any  # float32 [S, P, 3]
    lead: Any
    speed: Any
    tolerance: Any
    turned: Any
    at_least: Any
    at_most: Any
    press: Any
    held: Any  # int32 body id
    reach: Any
    back: Any


def rows(scene: Scene) -> Rows:
    """The scripts of all tasks of `scene`; a task without one stands still."""
    return jax.tree.map(jnp.asarray, _host_rows(scene))


def require_scripts(suite: Suite | Scene, tasks: Sequence[int]) -> None:
    """Check that the expert knows how to do all of `tasks`.

    Args:
      suite: whose tasks they are, or a scene of it.
      tasks: what is to be demonstrated, rows of the suite.

    Raises:
      ValueError: naming the tasks nobody has written a script for, their goals, and
        the tasks of the suite that have one.
    """
    missing = [task for task in tasks if find_script(suite.tasks[task]) is None]
    if not missing:
        return
    first, more = suite.tasks[missing[0]], len(missing) - 1
    known = [i for i, task in enumerate(suite.tasks) if find_script(task) is not None]
    raise ValueError(
        f"no script for {first.instruction!r} ({goal_text(first)})"
        + (f" and {more} more of tasks {_listed(missing)}" if more else "")
        + ": record with your own policy or give a dataset"
        + (f", or choose tasks with a script: {_listed(known)}." if known else ".")
    )


def _listed(tasks: Sequence[int]) -> str:
    """At most sixteen numbers."""
    shown = ",".join(map(str, tasks[:16]))
    return shown if len(tasks) <= 16 else f"{shown} and {len(tasks) - 16} more"


def columns(scene: Scene, scripts: Sequence[Script]) -> Rows:
    """`scripts` as NumPy columns [S, P], each drawn out by its last phase.

    Raises:
      KeyError: on a body that the scene does not have.
    """
    longest = max(len(script) for script in scripts)
    padded = [script + script[-1:] * (longest - len(script)) for script in scripts]
    codes = {
        "anchor": {**scene.bodies, phases.START: AT_START, phases.WORLD: AT_WORLD},
        "moved": scene.bodies,
        "held": scene.bodies,
        "frame": {name: code for code, name in enumerate(FRAMES)},
    }
    return Rows(*(_column(padded, name, codes.get(name)) for name in Rows._fields))


def names(script: Script) -> set[str]:
    """The bodies that a script refers to."""
    bodies = {name for row in script for name in (row.anchor, row.moved, row.held)}
    return bodies - {phases.START, phases.WORLD}


@functools.lru_cache(maxsize=16)
def _host_rows(scene: Scene) -> Rows:
    return columns(scene, [_script(scene, task) for task in scene.tasks])


def _script(scene: Scene, task: Task) -> Script:
    """The task's script, unless this scene leaves out something that it needs."""
    script = find_script(task)
    if script is None or not names(script) <= set(scene.bodies):
        return _STILL
    return script


def _column(
    scripts: Sequence[Script], name: str, codes: dict[str, int] | None
) -> np.ndarray:
    values = [[getattr(row, name) for row in script] for script in scripts]
    if codes is not None:
        return np.array([[codes[value] for value in row] for row in values], np.int32)
    integer = Phase.__annotations__[name] is int
    return np.array(values, np.int32 if integer else np.float32)
