"""The real LIBERO over a pipe: starts `worker.py` under LIBERO's own interpreter."""

import multiprocessing
import subprocess
import tempfile
from pathlib import Path
from typing import Any, Iterable, NamedTuple

import numpy as np

WORKER = Path(__file__).with_name("worker.py")


class RealObservation(NamedTuple):
    """What the real simulator shows after a reset or a control step."""

    qpos: np.ndarray  # float64 [nq], LIBERO's order of joints
    qvel: np.ndarray  # float64 [nv]
    fixtures: dict[str, tuple[np.ndarray, np.ndarray]]  # position, quaternion wxyz
    eef_position: np.ndarray  # float64 [3], m
    eef_quaternion: np.ndarray  # float64 [4], xyzw as robosuite gives it
    fingers: np.ndarray  # float64 [2], m
    images: np.ndarray | None  # uint8 [2, S, S, 3] as LIBERO renders: upside down
    success: bool


class RealLibero:
    """One environment of the real LIBERO; a context manager that ends its process.

    Its methods raise a ChildProcessError of one line where LIBERO fails.
    """

    def __init__(self, python: str | Path) -> None:
        """Start the worker.

        Args:
          python: interpreter of the environment that `make libero-env` built.

        Raises:
          ValueError: there is no such interpreter.
        """
        python = Path(python).expanduser()
        if not python.is_file():
            raise ValueError(
                f"There is no {python}: build the real LIBERO's environment by "
                "`make libero-env`, or name its interpreter by --libero_python."
            )
        self._stderr = tempfile.TemporaryFile()
        self._connection, theirs = multiprocessing.Pipe()
        with theirs:
            self._process = subprocess.Popen(
                [str(python), str(WORKER), str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._stderr,
                pass_fds=(theirs.fileno(),),
            )

    def __enter__(self) -> "RealLibero":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the worker; a second call does nothing."""
        if self._process.poll() is None:
            try:
                self._connection.send(("close",))
                self._process.wait(timeout=10)
            except (BrokenPipeError, subprocess.TimeoutExpired):
                self._process.kill()
        self._connection.close()
        self._stderr.close()

    def kill(self) -> None:
        """End the process in whatever it does; the call under way raises."""
        self._process.kill()

    def open(
        self,
        suite: str,
        task: str,
        *,
        camera_size: int,
        seed: int,
        hard_reset: bool = True,
        every_step: bool = True,
    ) -> Path:
        """Make the environment of a task, seeded once as openpi's evaluator does.

        Args:
          suite: such as libero_goal.
          task: name of the BDDL file without its ending.
          camera_size: pixels of LIBERO's own pictures; 0 renders nothing.
          seed: of LIBERO's placement of fixtures.
          hard_reset: compile the model anew in every reset, as evaluators do.
          every_step: LIBERO renders after every control step, and observations hold
            pictures; else `render` alone does.

        Returns:
          The file of LIBERO's recorded initial states of the task.
        """
        file = f"{suite}/{task}"
        reply = self._call("open", file, camera_size, seed, hard_reset, every_step)
        return Path(reply["init_states"])

    def reset(self, state: np.ndarray) -> RealObservation:
        """Reset, then set a recorded state float64 [1 + nq + nv] (time first)."""
        state = np.ascontiguousarray(state, np.float64)
        return _observation(self._call("reset", state.tobytes()))

    def step(self, action: Iterable[float]) -> RealObservation:
        """Take one control step of 50 ms; `action` has 7 numbers."""
        return _observation(self._call("step", [float(x) for x in action]))

    def render(self) -> np.ndarray:
        """LIBERO's pictures of now, uint8 [2, S, S, 3]: upside down."""
        return _pictures(self._call("render"))

    def seed(self, seed: int) -> None:
        """Seed where the next resets put fixtures, which no initial state holds."""
        self._call("seed", seed)

    def contacts(self) -> list[tuple[str, str]]:
        """Names of the bodies that touch, in sorted pairs, as of the last substep."""
        return [(first, second) for first, second in self._call("contacts")["pairs"]]

    def cpu_seconds(self) -> float:
        """Processor time that the worker has used so far."""
        return float(self._call("cpu_seconds")["seconds"])

    def _call(self, *request: Any) -> dict[str, Any]:
        try:
            self._connection.send(request)
            reply = self._connection.recv()
        except (EOFError, BrokenPipeError, ConnectionResetError):
            self._process.wait(timeout=60)  # its last words are written as it ends
            self._stderr.seek(0)
            lines = self._stderr.read().decode(errors="replace").split("\n")
            last = next((x for x in reversed(lines) if x.strip()), "without a word")
            raise ChildProcessError(
                f"The real LIBERO's process ended: {last}"
            ) from None
        if "error" in reply:
            last = reply["error"].strip().splitlines()[-1]
            raise ChildProcessError(f"The real LIBERO failed on {request[0]!r}: {last}")
        return reply


def _pictures(reply: dict[str, Any]) -> np.ndarray:
    """The pictures of a reply, agent view first."""
    views = (reply["agentview_image"], reply["wrist_image"])
    return np.stack(
        [np.frombuffer(x, dtype).reshape(shape) for dtype, shape, x in views]
    )


def _observation(reply: dict[str, Any]) -> RealObservation:
    """A reply of Python's own types as arrays."""
    return RealObservation(
        qpos=np.asarray(reply["qpos"]),
        qvel=np.asarray(reply["qvel"]),
        fixtures={
            name: (np.asarray(position), np.asarray(quaternion))
            for name, (position, quaternion) in reply["fixtures"].items()
        },
        eef_position=np.asarray(reply["eef_pos"]),
        eef_quaternion=np.asarray(reply["eef_quat"]),
        fingers=np.asarray(reply["gripper_qpos"]),
        images=_pictures(reply) if "agentview_image" in reply else None,
        success=reply["success"],
    )
