"""Episodes of a dataset as the records of `reporting.watch`: what a dataset holds.

A dataset has pictures, the robot's state and perhaps its joints, but no poses of
objects: the arm is drawn, or the hand alone, beside the recorded pictures. Of a robot
whose state is not LIBERO's the pictures are shown alone.
Axes: T frames, N bodies, K pictures, V camera views, S image side.
"""

import itertools
import math
from pathlib import Path
from typing import Iterator

import mujoco
import numpy as np
from scipy.spatial.transform import Rotation

from data_pipelines import lazy_images
from data_pipelines.readers import READERS, detect
from data_pipelines.readers.options import ReadOptions
from experiments.reporting import watch
from omnivla_jax.core.types import Demonstration
from omnivla_jax.render import types
from omnivla_jax.sim import scene as scenes
from omnivla_jax.sim.assets import panda
from omnivla_jax.sim.scene import Scene
from omnivla_jax.world import visual_scene
from omnivla_jax.world.proprioception import HAND_BODY
from omnivla_jax.world.visual_scene import VisualScene

STATE_SIZE = 8  # of LIBERO's state: grip site, axis-angle, two finger positions
FINGER_RANGE = 0.1  # m: what moves further than this is no finger
MAX_PICTURES, MAX_SIDE = 40, 256  # of an episode; pixels
ROBOT_SUITE, ROBOT_TASK = "libero_goal", 7  # any scene has the same robot
UNTURNED = np.array([1, 0, 0, 0], np.float32)  # a quaternion
WORLD = 0  # MuJoCo's first body, on which the ground lies
GROUND_BELOW = 0.02  # m below the hand's lowest point
NOTE = (
    "From {name}, read as {reader}. A dataset holds no poses of objects: {drawn} drawn "
    "from the recorded state, and the ground lies just below the hand's lowest point."
)
PICTURES_NOTE = (
    "From {name}, read as {reader}. Its state is not LIBERO's (grip site, axis-angle, "
    "fingers): the pictures are shown alone."
)


def write(
    path: Path, dataset: Path, count: int, *, options: ReadOptions = ReadOptions()
) -> None:
    """Write the first episodes of a dataset as one page.

    Args:
      path: the HTML file, written whole or not at all.
      dataset: in a layout that a reader recognizes.
      count: how many episodes.
      options: of the reader.

    Raises:
      ValueError: the dataset cannot be read, or a state is not finite.
    """
    reader = detect(dataset)
    robot = scenes.make(ROBOT_SUITE, tasks=(ROBOT_TASK,), engine="mujoco")
    first = list(itertools.islice(READERS[reader](dataset, options=options), count))
    if not first:
        raise ValueError(f"{dataset} holds no episodes.")
    has_pose = all(_has_liberos_state(number, one) for number, one in enumerate(first))
    has_joints = np.isfinite(np.asarray(first[0].joint_state)).all()
    records = [
        _record(robot, number, one, has_pose=has_pose)
        for number, one in enumerate(first)
    ]
    ground = min(float(record.hand[:, 2].min()) for record in records) - GROUND_BELOW
    root = ("robot_base" if has_joints else HAND_BODY) if has_pose else None
    drawn = "the arm is" if has_joints else "the hand is"
    note = (NOTE if has_pose else PICTURES_NOTE).format(
        name=dataset.name, reader=reader, drawn=drawn
    )
    watch.write(
        path,
        _robot_visuals(robot, ground, root),
        records,
        title=f"Episodes of {dataset.name}",
        pictures_title="Recorded pictures",
        note=note,
    )


def _has_liberos_state(number: int, episode: Demonstration) -> bool:
    """Whether an episode's state has the hand's pose and two fingers.

    Raises a ValueError where a number is not finite.
    """
    state = np.asarray(episode.state, np.float32)
    is_finite = np.isfinite(state).all(axis=1)
    if not is_finite.all():
        raise ValueError(
            f"Episode {number} has a state that is not finite at frame "
            f"{int(np.argmin(is_finite))}: leave it out, or repair the dataset."
        )
    # Seven joints and a gripper are eight numbers, too.
    fingers = state[:, STATE_SIZE - 2 :]
    return state.shape[1] == STATE_SIZE and bool((abs(fingers) < FINGER_RANGE).all())


def _record(
    robot: Scene, number: int, episode: Demonstration, *, has_pose: bool
) -> watch.EpisodeRecord:
    """An episode; nothing is drawn where the pose of the hand is unknown."""
    length, action = len(episode.action), np.asarray(episode.action, np.float32)
    shown = range(0, length, math.ceil(length / MAX_PICTURES))
    side = min(max(episode.images.shape[2:4]), MAX_SIDE)
    pictures = lazy_images.resize(episode.images, side)
    bodies, hand = robot.visual_model.nbody, np.zeros((length, 3), np.float32)
    position = np.zeros((length, bodies, 3), np.float32)
    quaternion = np.zeros((length, bodies, 4), np.float32) + UNTURNED
    if has_pose:
        state = np.asarray(episode.state, np.float32)
        poses = _robot_poses(robot, state, np.asarray(episode.joint_state))
        position, quaternion = (np.stack(part) for part in zip(*poses))
        hand = state[:, :3]
    return watch.EpisodeRecord(
        title=episode.instruction,
        label=f"episode {number + 1}, {length} frames",
        outcome="",
        success=None,
        position=position,
        quaternion=quaternion,
        hand=hand,
        decisions=(),
        curves={"gripper closing": np.clip((action[:, -1] + 1) / 2, 0.0, 1.0)},
        pictures=np.stack([np.asarray(pictures[frame]) for frame in shown]),
        picture_frames=shown,
    )


def _robot_poses(
    robot: Scene, state: np.ndarray, joints: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Positions [N, 3] and quaternions [N, 4] of the bodies in each frame.

    The whole robot is moved so that its hand has the recorded pose: that finds the base
    where joints are recorded, and otherwise places the hand, which is then drawn alone.
    """
    model = robot.visual_model
    data = mujoco.MjData(model)
    hand, grip = robot.bodies[HAND_BODY], robot.bodies[panda.EEF_BODY]
    for now, angles in zip(state, joints):
        known = np.isfinite(angles).all()
        data.qpos[: panda.NUM_JOINTS] = angles if known else panda.HOME
        data.qpos[panda.NUM_JOINTS : panda.NUM_JOINTS + 2] = now[6:8]
        mujoco.mj_kinematics(model, data)
        turned = Rotation.from_quat(data.xquat, scalar_first=True)
        wanted = turned[hand] if known else Rotation.from_rotvec(now[3:6])
        turn = wanted * turned[hand].inv()
        position = now[:3] + turn.apply(data.xpos - data.xpos[grip])
        quaternion = (turn * turned).as_quat(scalar_first=True)
        position[WORLD], quaternion[WORLD] = 0.0, UNTURNED
        yield position.astype(np.float32), quaternion.astype(np.float32)


def _robot_visuals(robot: Scene, ground: float, root: str | None) -> VisualScene:
    """The looks of a body and all that hangs on it, above a ground at a height in m."""
    model, visuals = robot.visual_model, visual_scene.make(robot)
    drawn = []
    for body in range(model.nbody):
        above = body
        while root and above not in (0, robot.bodies[root]):
            above = int(model.body_parentid[above])
        if root and above == robot.bodies[root]:
            drawn.append(body)
    groups = {}
    for kind, group in visuals.shapes._asdict().items():
        rows = np.flatnonzero(np.isin(group.body, drawn))
        groups[kind] = types.PrimitiveGroup(*(np.asarray(leaf)[rows] for leaf in group))
    floor = visuals.shapes.plane
    below = np.array([[0.0, 0.0, ground]], np.float32)
    groups["plane"] = floor._replace(position=below)
    return visuals._replace(shapes=types.Shapes(**groups), cameras=())
