"""Where two trajectories of the same task differ, and what touched there.

Axes: T states, nq' entries of LIBERO's `qpos` of the task.
"""

from typing import Iterable, Mapping, NamedTuple, Sequence

import mujoco
import numpy as np
from scipy.spatial.transform import Rotation

from omnivla_jax.sim.assets import panda
from omnivla_jax.sim.resets import recorded_states
from omnivla_jax.sim.state import Scene

TOLERANCE_MM, TOLERANCE_DEG = 10.0, 10.0  # from here on a pose differs
# Of an object at rest, from the one after the ten waiting steps.
REST_LIMITS = {"z_mm": 4.0, "xy_mm": 8.0, "tilt_deg": 5.0}
WINDOW = 5  # control steps before a difference in which a touch may have caused it
FREE = 7  # entries of a free joint
ROBOT = ("robot0", "gripper0", "mount0")  # how the robot's bodies begin
ARM_LINK = "robot0_link"
PALM = "gripper0_right_gripper"

Pair = tuple[str, str]  # two bodies that touch, sorted
Touches = Mapping[Pair, Sequence[tuple[int, int]]]  # first and last step of each touch


class Joint(NamedTuple):
    """A joint after the robot's, in LIBERO's `qpos`."""

    name: str  # of the object, or of the fixture's part
    instance: str  # the object or the fixture
    start: int
    size: int  # 7 of an object, 1 of a part
    hinge: bool


class Difference(NamedTuple):
    """The first state in which a pose differs by more than the tolerance."""

    name: str
    step: int  # control steps since the ten of waiting
    mm: float
    degrees: float
    touched_by: tuple[str, ...]  # the bodies that touched it shortly before


def joints(scene: Scene, task: int) -> tuple[Joint, ...]:
    """The joints of the objects and the fixtures of `task`, in LIBERO's order."""
    row, start, table = scene.tasks[task], panda.NUM_JOINTS + 2, []
    fixtures = [fixture.name for fixture in row.fixtures]
    for joint, size in recorded_states.recorded_joints(row).items():
        kind = scene.model.joint(joint).type[0]
        hinge = bool(kind == mujoco.mjtJoint.mjJNT_HINGE)
        name = joint.removesuffix("_joint0")
        instance = next((f for f in fixtures if belongs(name, f)), name)
        table.append(Joint(name, instance, start, size, hinge))
        start += size
    return tuple(table)


def pose_errors(
    joint: Joint, ours: np.ndarray, real: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """How far the poses of one joint are apart.

    Args:
      joint: which.
      ours, real: [T, nq'].

    Returns:
      Distances in mm [T] and angles in degrees [T].
    """
    part = slice(joint.start, joint.start + joint.size)
    ours, real = ours[:, part], real[:, part]
    zero = np.zeros(len(ours))
    if joint.size < FREE:
        apart = np.abs(ours - real)[:, 0]
        return (zero, np.degrees(apart)) if joint.hinge else (1e3 * apart, zero)
    turns = [Rotation.from_quat(np.roll(side[:, 3:], -1, 1)) for side in (ours, real)]
    angle = (turns[0] * turns[1].inv()).magnitude()
    return 1e3 * np.linalg.norm(ours[:, :3] - real[:, :3], axis=1), np.degrees(angle)


def rest_errors(
    position: np.ndarray,
    quaternion: np.ndarray,
    their_position: np.ndarray,
    their_quaternion: np.ndarray,
) -> dict[str, np.ndarray]:
    """How far objects rest apart, whatever their turn about the vertical.

    Args:
      position, their_position: [T, 3], m.
      quaternion, their_quaternion: [T, 4] wxyz.

    Returns:
      "z_mm", "xy_mm" and "tilt_deg", each [T].
    """
    moved = np.abs(position - their_position)
    ups = [
        Rotation.from_quat(np.roll(side, -1, 1)).inv().apply([0.0, 0.0, 1.0])
        for side in (quaternion, their_quaternion)
    ]
    cosine = np.clip(np.sum(ups[0] * ups[1], axis=1), -1, 1)
    return {
        "z_mm": 1e3 * moved[:, 2],
        "xy_mm": 1e3 * np.hypot(moved[:, 0], moved[:, 1]),
        "tilt_deg": np.degrees(np.arccos(cosine)),
    }


def first_difference(
    table: Iterable[Joint], ours: np.ndarray, real: np.ndarray, touches: Touches
) -> Difference | None:
    """The joint that leaves the tolerance first; of several the one that is farthest.

    Args:
      table: of the task.
      ours, real: [T, nq'], the same control steps from the end of the waiting; what is
        longer is cut.
      touches: of the real simulator.

    Returns:
      None where every pose stays within the tolerance.
    """
    length = min(len(ours), len(real))
    candidates = []
    for joint in table:
        mm, degrees = pose_errors(joint, ours[:length], real[:length])
        beyond = (mm > TOLERANCE_MM) | (degrees > TOLERANCE_DEG)
        if beyond.any():
            step = int(beyond.argmax())
            apart = float(mm[step]), float(degrees[step])
            candidates.append((step, -sum(apart), joint, apart))
    if not candidates:
        return None
    step, _, joint, apart = min(candidates)
    bodies = touching(joint.instance, touches, first=step - WINDOW, last=step)
    return Difference(joint.name, step, round(apart[0], 1), round(apart[1], 1), bodies)


def touching(name: str, touches: Touches, *, first: int, last: int) -> tuple[str, ...]:
    """The bodies that touch instance `name` at some step from `first` to `last`."""
    others = set()
    for pair, spans in touches.items():
        mine = [belongs(body, name) for body in pair]
        if mine[0] != mine[1] and any(a <= last and b >= first for a, b in spans):
            others.add(pair[mine.index(False)])
    return tuple(sorted(others))


def arm_touches(touches: Touches) -> tuple[tuple[int, str, str], ...]:
    """First step, link and body of all that the arm's links touch; the hand is none."""
    of_arm = []
    for pair, spans in touches.items():
        links = [body.startswith(ARM_LINK) for body in pair]
        robots = [body.startswith(ROBOT) for body in pair]
        if any(links) and not all(robots):
            link = pair[links.index(True)]
            of_arm.append((spans[0][0], link, pair[robots.index(False)]))
    return tuple(sorted(of_arm))


def palm_touches(touches: Touches) -> tuple[tuple[int, str], ...]:
    """How many steps the palm touched each body, the longest first.

    A palm that presses on what the fingers hold, or on a neighbour, moves both in a way
    that depends on small differences of shape.
    """
    of_palm = []
    for pair, spans in touches.items():
        if PALM in pair:
            other = pair[pair.index(PALM) - 1]
            of_palm.append((sum(last - first + 1 for first, last in spans), other))
    return tuple(sorted(of_palm, reverse=True))


def belongs(body: str, name: str) -> bool:
    """Whether `body` of LIBERO's model is instance `name` or a part of it."""
    return body == name or body.startswith(name + "_")


def spans_of(by_step: Sequence[Iterable[Pair]]) -> dict[Pair, list[tuple[int, int]]]:
    """The touches of every step as spans of steps."""
    spans: dict[Pair, list[tuple[int, int]]] = {}
    for step, pairs in enumerate(by_step):
        for pair in pairs:
            of_pair = spans.setdefault(pair, [])
            if of_pair and of_pair[-1][1] == step - 1:
                of_pair[-1] = (of_pair[-1][0], step)
            else:
                of_pair.append((step, step))
    return spans


def hand_positions(scene: Scene, arm: np.ndarray) -> np.ndarray:
    """Positions [T, 3] of the grip site under joint angles [T, 7].

    From the angles on both sides: what observations show is one substep old, and
    substeps differ in length.
    """
    data, positions = mujoco.MjData(scene.model), []
    for angles in arm:
        data.qpos[: panda.NUM_JOINTS] = angles
        mujoco.mj_kinematics(scene.model, data)
        positions.append(data.body(panda.EEF_BODY).xpos.copy())
    return np.asarray(positions)
