"""Evaluation from recorded initial states, as LIBERO's `.pruned_init` files hold them.

Axes: N episodes, S states of one file, nq and nv of the scene.
"""

from pathlib import Path
from typing import Any, Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from omnivla_jax.core.types import PyTree
from omnivla_jax.sim import env
from omnivla_jax.sim.libero import files as libero_files
from omnivla_jax.sim.libero import state_files
from omnivla_jax.sim.libero.tasks import Task
from omnivla_jax.sim.resets import recorded_states
from omnivla_jax.sim.scene import Scene
from omnivla_jax.sim.state import EnvState
from omnivla_jax.train.environment import Environment

LIBERO = "libero"  # the states of the installed hf-libero
SUFFIXES = (".pruned_init", ".init")


def read(source: str, suite: str, tasks: Mapping[int, Task]) -> dict[int, np.ndarray]:
    """Read the recorded initial states of some tasks.

    Args:
      source: a file of one task, a folder of files that are called as their tasks, or
        "libero".
      suite: name of the suite; folders may have a folder for each suite.
      tasks: by their row in the suite.

    Returns:
      float64 [S, 1 + nq' + nv'] by task, time first, in LIBERO's order of joints.

    Raises:
      FileNotFoundError: a task has no file, or hf-libero is not installed.
      ValueError: a file holds no states, or one file is given for several tasks.
    """
    if source == LIBERO:
        return {
            row: libero_files.initial_states(suite, task.name)
            for row, task in tasks.items()
        }
    path = Path(source).expanduser()
    if not path.is_dir():
        if len(tasks) > 1:
            raise ValueError(
                f"{path} holds the states of one task, but there are {len(tasks)}: "
                "choose one by --tasks, or name a folder of files."
            )
        return {row: state_files.read(path) for row in tasks}
    states = {}
    for row, task in tasks.items():
        candidates = [
            folder / f"{task.name}{suffix}"
            for folder in (path, path / Path(suite).name)
            for suffix in SUFFIXES
        ]
        existing = [candidate for candidate in candidates if candidate.is_file()]
        if not existing:
            raise FileNotFoundError(
                f"{path} holds no initial states of task {row}: neither "
                f"{task.name}{SUFFIXES[0]} nor {task.name}{SUFFIXES[1]}."
            )
        states[row] = state_files.read(existing[0])
    return states


def take_turns(
    states: Mapping[int, np.ndarray], num_episodes: int | None
) -> list[tuple[int, int]]:
    """The task and the number of the state of each episode.

    Args:
      states: of each task.
      num_episodes: N; None: every state once.

    Returns:
      N pairs: the first state of every task, then the second of every task, ...

    Raises:
      ValueError: there are fewer states.
    """
    longest = max(map(len, states.values()))
    pairs = [
        (task, number)
        for number in range(longest)
        for task, rows in states.items()
        if number < len(rows)
    ]
    if num_episodes is not None and num_episodes > len(pairs):
        raise ValueError(
            f"--episodes={num_episodes}, but there are {len(pairs)} recorded initial "
            "states: ask for fewer."
        )
    return pairs[:num_episodes]


def to_scene(
    scene: Scene,
    states: Mapping[int, np.ndarray],
    episodes: Sequence[tuple[int, int]],
) -> dict[str, jax.Array]:
    """Positions and velocities of the scene at the start of every episode.

    Args:
      scene: holds all tasks.
      states: of each task, as `read` returns them.
      episodes: N pairs of `take_turns`.

    Returns:
      "qpos" float32 [N, nq] and "qvel" float32 [N, nv].

    Raises:
      ValueError: the states have another width than LIBERO's of their task.
    """
    by_task = {}
    for task, rows in states.items():
        qpos, qvel = recorded_states.split_rows(scene, task, rows)
        by_task[task] = recorded_states.to_scene(
            scene,
            jnp.full(len(rows), task, jnp.int32),
            jnp.asarray(qpos, jnp.float32),
            jnp.asarray(qvel, jnp.float32),
        )
    return {
        name: jnp.stack([by_task[task][part][number] for task, number in episodes])
        for part, name in enumerate(("qpos", "qvel"))
    }


def restore(
    scene: Scene, task: jax.Array, states: PyTree, change: Any = None
) -> EnvState:
    """Episodes at recorded states, before the waiting steps; `change` has no effect."""
    del change  # of sampled layouts
    return env.restore(scene, task, states["qpos"], states["qvel"])


def restoring(environment: Environment, scene: Scene) -> Environment:
    """The simulator with a `reset` that takes recorded states instead of keys.

    Objects settle for LIBERO's ten waiting steps; the files hold no poses of fixtures,
    which stand at the centres of their regions.
    """

    def reset(task: jax.Array, states: PyTree) -> EnvState:
        return env.settle(scene, restore(scene, task, states))

    return environment._replace(reset=reset)
