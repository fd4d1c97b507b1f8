"""Recordings of the real LIBERO that the simulator is compared with.

Recorded with the unmodified benchmark (LIBERO, MIT): robosuite 1.4.0, MuJoCo 3.3.7,
hf-libero 0.1.4. Axes: T control steps, F fixtures.
"""

import json
from pathlib import Path
from typing import Iterator, NamedTuple

import numpy as np

FOLDER = Path(__file__).parents[1] / "libero"
NEVER = -1  # in place of a step
# Columns of the standard step responses' commands.
COMMANDS = {"x": 0, "y": 1, "z": 2, "rx": 3, "ry": 4, "rz": 5, "grip": 6}
PULSE = 5  # control steps of a full command


class Episode(NamedTuple):
    """One recorded episode, ten waiting steps included."""

    suite: str
    task: int
    trial: int
    actions: np.ndarray  # float32 [T, 7]
    qpos: np.ndarray  # float64 [nq], LIBERO's order
    fixtures: dict[str, tuple[np.ndarray, np.ndarray]]
    success_step: int  # control steps until the goal first held; -1: never


class RestState(NamedTuple):
    """Poses of the objects of one initial state after the ten waiting steps."""

    suite: str
    task: int
    state: np.ndarray  # float64 [1 + nq + nv]: time, qpos, qvel
    fixtures: dict[str, tuple[np.ndarray, np.ndarray]]
    objects: dict[str, tuple[np.ndarray, np.ndarray]]  # position, quaternion wxyz


class StepResponse(NamedTuple):
    """How the hand or, without quaternions, the fingers answer T commands."""

    actions: np.ndarray  # float32 [T, 7]
    positions: np.ndarray  # float64 [T + 1, 3], or [T + 1, 2] of the fingers
    quaternions: np.ndarray | None  # float64 [T + 1, 4] xyzw


class StepResponses(NamedTuple):
    """Responses by name, all from one initial state after the ten waiting steps."""

    suite: str
    task: int
    state: np.ndarray  # float64 [1 + nq + nv]: time, qpos, qvel
    responses: dict[str, StepResponse]


def episodes(folder: Path = FOLDER / "trajectories") -> Iterator[Episode]:
    """Every episode of every `{suite}_{task}.npz` in `folder`.

    Raises:
      ValueError: it holds none.
    """
    paths = sorted(folder.glob("*.npz"))
    if not paths:
        raise ValueError(f"{folder} holds no recordings (SUITE_TASK.npz).")
    for path in paths:
        suite, _, task = path.stem.rpartition("_")
        with np.load(path) as file:
            names = [str(name) for name in file["fixture_names"]]
            for trial, success_step in enumerate(file["success_steps"]):
                positions = np.asarray(file[f"t{trial}_fixture_pos"], float)
                quaternions = np.asarray(file[f"t{trial}_fixture_quat"], float)
                poses = zip(positions, quaternions)
                yield Episode(
                    suite,
                    int(task),
                    trial,
                    file[f"t{trial}_actions"],
                    file[f"t{trial}_qpos_init"],
                    dict(zip(names, poses)),
                    int(success_step),
                )


def step_responses(folder: Path = FOLDER) -> StepResponses:
    """The controller's step responses of `osc_step_response.npz`.

    NAME_0 holds positions of the hand [T + 1, 3] and NAME_1 its quaternions, or NAME_0
    alone those of the fingers [T + 1, 2]; NAME_actions [T, 7] the commands, or NAME is
    one of `COMMANDS`. `state` [1 + nq + nv] is the one before the ten waiting steps,
    else the task's first of the rest states, there or committed; `suite` and `task` say
    whose, else libero_goal's task 0.

    Raises:
      ValueError: the file is missing, or the commands or the state of a response are.
    """
    path = folder / "osc_step_response.npz"
    if not path.exists():
        raise ValueError(f"{folder} has no {path.name}.")
    with np.load(path) as file:
        arrays = dict(file)
    responses = {}
    for name in [key.removesuffix("_0") for key in arrays if key.endswith("_0")]:
        first = arrays[f"{name}_0"]
        actions = arrays.get(f"{name}_actions")
        if actions is None and name not in COMMANDS:
            raise ValueError(f"{path} has no {name}_actions, the commands of {name}_0.")
        if actions is None:
            actions = standard_commands(name, len(first) - 1)
        responses[name] = StepResponse(actions, first, arrays.get(f"{name}_1"))
    suite, task = str(arrays.get("suite", "libero_goal")), int(arrays.get("task", 0))
    state = arrays.get("state")
    if state is None:
        there = folder if (folder / "rest_states.json").exists() else FOLDER
        rests = [r for r in rest_states(there) if (r.suite, r.task) == (suite, task)]
        if not rests:
            raise ValueError(f"{path} has no `state` that {suite}/{task} starts from.")
        state = rests[0].state
    return StepResponses(suite, task, state, responses)


def standard_commands(name: str, steps: int) -> np.ndarray:
    """float32 [T, 7]: a full command for `PULSE` steps; half closed, half open.

    Args:
      name: a key of `COMMANDS`; "grip" closes and opens the fingers.
      steps: T.
    """
    actions = np.zeros((steps, 7), np.float32)
    actions[:, 6] = -1.0
    column = COMMANDS[name]
    actions[: steps // 2 if name == "grip" else PULSE, column] = 1.0
    return actions


def rest_states(folder: Path = FOLDER) -> Iterator[RestState]:
    """Every rest state of `rest_states.json`, with its initial state in the `.npz`.

    They are called SUITE/TASK or, where a task has several, SUITE/TASK/NUMBER, and the
    initial states the same with underscores.

    Raises:
      ValueError: a file or an initial state is missing.
    """
    paths = folder / "rest_states.json", folder / "rest_states.npz"
    missing = [path.name for path in paths if not path.exists()]
    if missing:
        raise ValueError(f"{folder} has no {' and no '.join(missing)}: record both.")
    table = json.loads(paths[0].read_text("utf-8"))
    with np.load(paths[1]) as states:
        for key, row in table.items():
            name = key.replace("/", "_")
            if name not in states:
                raise ValueError(f"{paths[1]} has no {name}, which {paths[0]} lists.")
            suite, task = key.split("/")[:2]
            yield RestState(
                suite,
                int(task),
                states[name],
                {
                    name: (np.array(position, float), np.array(quaternion, float))
                    for name, (position, quaternion) in row["fixtures"].items()
                },
                {
                    name: (
                        np.array(position, float),
                        np.roll(np.array(quaternion, float), 1),
                    )
                    for name, (position, quaternion) in row["objects_after10"].items()
                },
            )
