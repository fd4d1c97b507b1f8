"""Episodes of a dataset as the records of `reporting.watch`: what a dataset holds.

A dataset has pictures, the robot's state and perhaps its joints, but no poses of
objects: the arm is drawn, or the hand alone, beside the recorded pictures.
Axes: T frames, N bodies, K pictures, V camera views, S image side.
"""

import itertools
import math
from pathlib import Path
from typing import Iterator

import mujoco
import numpy as np
from scipy.spatial.transform import Rotation

from data_pipelines.readers import READERS, detect
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
MAX_PICTURES = 40  # of an episode
ROBOT_SUITE, ROBOT_TASK = "libero_goal", 7  # any scene has the same robot
WORLD = 0  # MuJoCo's first body, on which the ground lies
GROUND_BELOW = 0.02  # m below the hand's lowest point
NOTE = (
    "From {name}, read as {reader}. A dataset holds no poses of objects: {drawn} drawn "
    "from the recorded state, and the ground lies just below the hand's lowest point."
)


def write(path: Path, dataset: Path, count: int) -> None:
    """Write the first episodes of a dataset as one page.

    Args:
      path: the HTML file, written whole or not at all.
      dataset: in a layout that a reader recognizes.
      count: how many episodes.

    Raises:
      ValueError: the dataset cannot be read, or its state is not LIBERO's.
    """
    reader = detect(dataset)
    robot = scenes.make(ROBOT_SUITE, tasks=(ROBOT_TASK,), engine="mujoco")
    first = list(itertools.islice(READERS[reader](dataset), count))
    records = [_record(robot, number, one) for number, one in enumerate(first)]
    if not records:
        raise ValueError(f"{dataset} holds no episodes.")
    has_joints = np.isfinite(np.asarray(first[0].joint_state)).all()
    ground = min(float(record.hand[:, 2].min()) for record in records) - GROUND_BELOW
    watch.write(
        path,
        _robot_visuals(robot, ground, whole=bool(has_joints)),
        records,
        title=f"Episodes of {dataset.name}",
        pictures_title="Recorded pictures",
        note=NOTE.format(
            name=dataset.name,
            reader=reader,
            drawn="the arm is" if has_joints else "the hand is",
        ),
    )


def _record(robot: Scene, number: int, episode: Demonstration) -> watch.EpisodeRecord:
    state = np.asarray(episode.state, np.float32)
    if state.ndim != 2 or state.shape[1] != STATE_SIZE:
        raise ValueError(
            f"Episode {number} has a state of {state.shape[1:]} numbers: only LIBERO's "
            f"{STATE_SIZE} (grip site, axis-angle, fingers) can be drawn."
        )
    if not np.isfinite(state).all():
        frame = int(np.flatnonzero(~np.isfinite(state).all(axis=1))[0])
        raise ValueError(
            f"Episode {number} has a state that is not finite at frame {frame}: leave "
            "it out, or repair the dataset."
        )
    length, action = len(state), np.asarray(episode.action, np.float32)
    shown = range(0, length, math.ceil(length / MAX_PICTURES))
    poses = list(_robot_poses(robot, state, np.asarray(episode.joint_state)))
    return watch.EpisodeRecord(
        title=episode.instruction,
        label=f"episode {number + 1}, {length} frames",
        outcome="",
        success=None,
        position=np.stack([position for position, _ in poses]),
        quaternion=np.stack([quaternion for _, quaternion in poses]),
        hand=state[:, :3],
        decisions=(),
        curves={"gripper closing": np.clip((action[:, -1] + 1) / 2, 0.0, 1.0)},
        pictures=np.stack([np.asarray(episode.images[frame]) for frame in shown]),
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
        position[WORLD], quaternion[WORLD] = 0.0, (1.0, 0.0, 0.0, 0.0)
        yield position.astype(np.float32), quaternion.astype(np.float32)


def _robot_visuals(robot: Scene, ground: float, *, whole: bool) -> VisualScene:
    """The looks of the arm, or of its hand alone, above a ground at a height in m."""
    model, visuals = robot.visual_model, visual_scene.make(robot)
    root = robot.bodies["robot_base" if whole else HAND_BODY]
    drawn = []
    for body in range(model.nbody):
        above = body
        while above not in (0, root):
            above = int(model.body_parentid[above])
        if above == root:
            drawn.append(body)
    groups = {}
    for kind, group in visuals.shapes._asdict().items():
        rows = np.flatnonzero(np.isin(group.body, drawn))
        groups[kind] = types.PrimitiveGroup(*(np.asarray(leaf)[rows] for leaf in group))
    floor = visuals.shapes.plane
    below = np.array([[0.0, 0.0, ground]], np.float32)
    groups["plane"] = floor._replace(position=below)
    return visuals._replace(shapes=types.Shapes(**groups), cameras=())
