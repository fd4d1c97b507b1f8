"""What the real LIBERO does from its recorded initial states, kept in a folder.

Resets keep the compiled model, which saves half a second each and changes nothing but
the order of random numbers: fixtures stand elsewhere in their regions.
What lies in the folder is not simulated again, so that our side alone can be run after
a change, also where no real LIBERO is installed:

    starts/SUITE_TASK.npz        initial states, poses of fixtures, rest poses
    actions_PRESET/SUITE_TASK.npz  episodes, as `replay --folder` reads them
    travel/SUITE_TASK.npz        moves of the hand

Axes: N initial states, F fixtures, T control steps after the ten of waiting, nq' and
nv' of LIBERO's model of the task.
"""

import json
import os
from itertools import zip_longest
from pathlib import Path
from typing import Any, Callable, NamedTuple, Sequence

import numpy as np

from experiments.benchmarks.lib.libero_recordings import NEVER
from experiments.benchmarks.lib.real_libero import differences
from experiments.benchmarks.lib.real_libero.differences import Pair, Touches
from experiments.real_libero import episodes
from experiments.real_libero.remote import RealLibero, RealObservation
from omnivla_jax.sim.libero import state_files
from omnivla_jax.sim.libero.task_types import Task

Fixtures = dict[str, tuple[np.ndarray, np.ndarray]]  # positions, quaternions wxyz


class Starts(NamedTuple):
    """Initial states of one task and where everything is after the ten waiting steps.

    The files of initial states hold no poses of fixtures: those are the ones of a reset
    seeded with the state's number.
    """

    states: np.ndarray  # float64 [N, 1 + nq' + nv'], time first
    fixtures: Fixtures  # float64 [N, 3] and [N, 4]
    rest: np.ndarray  # float64 [N, nq']
    touches: tuple[tuple[Pair, ...], ...]  # N times, at rest

    def qpos(self) -> np.ndarray:
        """The initial positions, float64 [N, nq']."""
        return self.states[:, 1 : 1 + self.rest.shape[1]]

    def qvel(self) -> np.ndarray:
        """The initial velocities, float64 [N, nv']."""
        return self.states[:, 1 + self.rest.shape[1] :]

    def first(self, count: int) -> "Starts":
        """The first `count` of them."""
        fixtures = {n: (p[:count], q[:count]) for n, (p, q) in self.fixtures.items()}
        return Starts(
            self.states[:count], fixtures, self.rest[:count], self.touches[:count]
        )


class Trajectory(NamedTuple):
    """One episode after the waiting steps, until its first success."""

    actions: np.ndarray  # float32 [T, 7]
    qpos: np.ndarray  # float64 [T' + 1, nq'], T' <= T; the first one at rest
    success_step: int  # from 1; NEVER
    touches: Touches  # by step, 0 at rest


class Recorder:
    """The real simulator, started when the folder lacks something."""

    def __init__(self, folder: Path, python: str) -> None:
        """Prepare.

        Args:
          folder: of recordings; made when the first is written.
          python: interpreter of the environment that `make libero-env` built.
        """
        self._folder, self._python = folder, python
        self._real: RealLibero | None = None
        self._opened: tuple[str, str] | None = None
        self._states = Path()

    def __enter__(self) -> "Recorder":
        return self

    def __exit__(self, *_: object) -> None:
        if self._real is not None:
            self._real.close()

    def starts(self, suite: str, row: int, task: Task, count: int) -> Starts:
        """The first `count` initial states of a task, settled.

        Raises:
          ValueError: LIBERO recorded fewer, or nothing is installed to settle them.
        """
        path = self._folder / "starts" / f"{suite}_{row}.npz"
        if path.exists():
            known = _read_starts(path)
            if len(known.states) >= count:
                return known.first(count)
        real = self.open(suite, task)
        table = state_files.read(self._states)
        if len(table) < count:
            raise ValueError(
                f"{self._states} holds {len(table)} initial states, not {count}: "
                "lower --episodes."
            )
        settled = [self._settle(real, n, table[n]) for n in range(count)]
        _write(path, _pack_starts(table[:count], settled))
        return _read_starts(path)

    def episodes(
        self,
        suite: str,
        row: int,
        task: Task,
        starts: Starts,
        actions: Sequence[np.ndarray],
        *,
        name: str,
    ) -> list[Trajectory]:
        """Play N sequences of actions open loop, one from each initial state.

        Args:
          suite: of the task.
          row: of the suite.
          task: the task.
          starts: N of them.
          actions: N times float32 [T, 7].
          name: folder of the recordings.

        Returns:
          N trajectories.
        """
        path = self._folder / name / f"{suite}_{row}.npz"
        known, count = read_episodes(path) if path.exists() else [], len(actions)
        played = []
        for number, sequence in enumerate(actions):
            old = known[number] if number < len(known) else None
            if old is None or not np.array_equal(old.actions, sequence):
                old = self._play(self.open(suite, task), starts, number, sequence)
            played.append(old)
        if any(old is not new for old, new in zip_longest(known[:count], played)):
            _write(path, _pack_episodes(starts, played))
        return played

    def recorded(self, suite: str, row: int, *, name: str) -> list[Trajectory]:
        """The episodes that `episodes` has written.

        Raises:
          ValueError: there are none.
        """
        path = self._folder / name / f"{suite}_{row}.npz"
        if not path.exists():
            raise ValueError(
                f"There is no {path}: record it with --actions=expert, or name another "
                "folder by --cache."
            )
        return read_episodes(path)

    def cached(
        self, file: str, make: Callable[[], dict[str, np.ndarray]]
    ) -> dict[str, np.ndarray]:
        """The arrays of `file` in the folder, made and written if they are missing."""
        path = self._folder / file
        if not path.exists():
            _write(path, make())
        with np.load(path) as arrays:
            return dict(arrays)

    def open(self, suite: str, task: Task) -> RealLibero:
        """The real simulator with `task` loaded, without cameras."""
        if self._real is None:
            self._real = RealLibero(self._python)
        if self._opened != (suite, task.name):
            self._states = self._real.open(
                suite,
                task.name,
                camera_size=0,
                seed=episodes.SEED,
                hard_reset=False,
            )
            self._opened = (suite, task.name)
        return self._real

    def _settle(
        self, real: RealLibero, number: int, state: np.ndarray
    ) -> tuple[RealObservation, list[Pair]]:
        """Reset to initial state `number` and wait."""
        real.seed(episodes.SEED + number)
        real.reset(state)
        for _ in range(episodes.WAIT_STEPS):
            observation = real.step(episodes.WAIT_ACTION)
        return observation, real.contacts()

    def _play(
        self, real: RealLibero, starts: Starts, number: int, actions: np.ndarray
    ) -> Trajectory:
        """Play one episode until its first success."""
        observation, pairs = self._settle(real, number, starts.states[number])
        for name, (positions, _) in starts.fixtures.items():
            if not np.allclose(observation.fixtures[name][0], positions[number]):
                raise RuntimeError(
                    f"{name} stands elsewhere than in {self._folder}/starts, recorded "
                    "with another LIBERO: name another folder by --cache."
                )
        qpos, touches, success_step = [observation.qpos], [pairs], NEVER
        for step, action in enumerate(actions):
            observation = real.step(action)
            qpos.append(observation.qpos)
            touches.append(real.contacts())
            if observation.success:
                success_step = step + 1
                break
        spans = differences.spans_of(touches)
        return Trajectory(actions, np.stack(qpos), success_step, spans)


def read_episodes(path: Path) -> list[Trajectory]:
    """The episodes of one task that `Recorder.episodes` wrote."""
    with np.load(path) as file:
        arrays = dict(file)
    return [
        Trajectory(
            arrays[f"t{n}_actions"][episodes.WAIT_STEPS :],
            arrays[f"t{n}_qpos"],
            NEVER if step == NEVER else int(step) - episodes.WAIT_STEPS,
            {(a, b): spans for a, b, spans in json.loads(str(arrays[f"t{n}_touch"]))},
        )
        for n, step in enumerate(arrays["success_steps"])
    ]


def _pack_episodes(starts: Starts, played: Sequence[Trajectory]) -> dict[str, Any]:
    """Arrays in the layout of `libero_recordings.episodes`, waiting steps included."""
    wait = episodes.WAIT_STEPS
    waiting = np.tile(np.array(episodes.WAIT_ACTION, np.float32), (wait, 1))
    arrays: dict[str, Any] = {
        "fixture_names": np.array(list(starts.fixtures)),
        "success_steps": np.array(
            [e.success_step + wait * (e.success_step != NEVER) for e in played]
        ),
    }
    for n, episode in enumerate(played):
        touches = [[*pair, spans] for pair, spans in episode.touches.items()]
        poses = list(starts.fixtures.values())
        arrays |= {
            f"t{n}_actions": np.concatenate([waiting, episode.actions]),
            f"t{n}_qpos": episode.qpos,
            f"t{n}_qpos_init": starts.qpos()[n],
            f"t{n}_fixture_pos": np.array([p[n] for p, _ in poses]).reshape(-1, 3),
            f"t{n}_fixture_quat": np.array([q[n] for _, q in poses]).reshape(-1, 4),
            f"t{n}_touch": np.array(json.dumps(touches)),
        }
    return arrays


def _read_starts(path: Path) -> Starts:
    with np.load(path) as file:
        arrays = dict(file)
    names = [str(name) for name in arrays["fixture_names"]]
    columns = zip(arrays["fixture_pos"], arrays["fixture_quat"])
    touches = [json.loads(str(pairs)) for pairs in arrays["touches"]]
    return Starts(
        arrays["states"],
        dict(zip(names, columns)),
        arrays["rest"],
        tuple(tuple((a, b) for a, b in pairs) for pairs in touches),
    )


def _pack_starts(
    states: np.ndarray, settled: Sequence[tuple[RealObservation, list[Pair]]]
) -> dict[str, Any]:
    names = list(settled[0][0].fixtures)
    count = len(settled)
    poses = [[seen.fixtures[name] for seen, _ in settled] for name in names]
    return {
        "states": states,
        "fixture_names": np.array(names, str),
        "fixture_pos": np.array([[p for p, _ in of_name] for of_name in poses]).reshape(
            -1, count, 3
        ),
        "fixture_quat": np.array(
            [[q for _, q in of_name] for of_name in poses]
        ).reshape(-1, count, 4),
        "rest": np.stack([seen.qpos for seen, _ in settled]),
        "touches": np.array([json.dumps(pairs) for _, pairs in settled]),
    }


def _write(path: Path, arrays: dict[str, Any]) -> None:
    """Write whole or not at all: an interrupted run leaves nothing half written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".{os.getpid()}.part")
    with open(partial, "wb") as file:
        np.savez_compressed(file, **arrays)
    os.replace(partial, path)
