"""Recordings of the real LIBERO that the simulator is compared with.

Recorded with the unmodified benchmark (LIBERO, MIT): robosuite 1.4.0, MuJoCo 3.3.7,
hf-libero 0.1.4. Axes: T control steps, F fixtures.
"""

import json
from pathlib import Path
from typing import Iterator, NamedTuple

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
    """Poses of the objects of one initial state after the ten waiting steps."""

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
