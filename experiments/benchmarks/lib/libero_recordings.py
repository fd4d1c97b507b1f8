"""Recordings of the real LIBERO that the simulator's benchmarks are held against.

Recorded with the unmodified benchmark (LIBERO, MIT): robosuite 1.4.0, MuJoCo 3.3.7,
hf-libero 0.1.4. Axes: T control steps, F fixtures.
"""

import json
from pathlib import Path
from typing import Any, Iterator, NamedTuple

import numpy as np

FOLDER = Path(__file__).parents[1] / "libero"


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
    """Where the objects of one initial state lay after the ten waiting steps."""

    suite: str
    task: int
    state: np.ndarray  # float64 [1 + nq + nv]: time, qpos, qvel
    fixtures: dict[str, tuple[np.ndarray, np.ndarray]]
    objects: dict[str, tuple[np.ndarray, np.ndarray]]  # position, quaternion wxyz


def episodes(folder: Path = FOLDER / "trajectories") -> Iterator[Episode]:
    """Every episode of every `{suite}_{task}.npz` in `folder`."""
    for path in sorted(folder.glob("*.npz")):
        suite, _, task = path.stem.rpartition("_")
        with np.load(path) as file:
            for trial in range(len(file["success_steps"])):
                yield _episode(file, suite, int(task), trial)


def hand_path(episode: Episode, folder: Path = FOLDER / "trajectories") -> np.ndarray:
    """float32 [T + 1, 3]: where LIBERO's grip site was, the initial state first."""
    with np.load(folder / f"{episode.suite}_{episode.task}.npz") as file:
        return file[f"t{episode.trial}_eef_pos"]


def rest_states(folder: Path = FOLDER) -> Iterator[RestState]:
    """The twenty recorded rest states."""
    table = json.loads((folder / "rest_states.json").read_text())
    with np.load(folder / "rest_states.npz") as states:
        for key, row in table.items():
            suite, task = key.split("/")
            yield RestState(
                suite,
                int(task),
                states[f"{suite}_{task}"],
                {name: _pose(*pose) for name, pose in row["fixtures"].items()},
                {
                    name: _pose(position, np.roll(quaternion, 1))
                    for name, (position, quaternion) in row["objects_after10"].items()
                },
            )


def osc_responses(folder: Path = FOLDER) -> dict[str, np.ndarray]:
    """`NAME_0` eef position [21, 3], `NAME_1` quaternion, `grip_0` fingers [41, 2]."""
    with np.load(folder / "osc_step_response.npz") as file:
        return {name: file[name] for name in file.files}


def _episode(file: Any, suite: str, task: int, trial: int) -> Episode:
    names = [str(name) for name in file["fixture_names"]]
    positions = file[f"t{trial}_fixture_pos"]
    quaternions = file[f"t{trial}_fixture_quat"]
    return Episode(
        suite,
        task,
        trial,
        file[f"t{trial}_actions"],
        file[f"t{trial}_qpos_init"],
        {n: _pose(*pose) for n, *pose in zip(names, positions, quaternions)},
        int(file["success_steps"][trial]),
    )


def _pose(position: Any, quaternion: Any) -> tuple[np.ndarray, np.ndarray]:
    return np.asarray(position, float), np.asarray(quaternion, float)
