"""LIBERO's collision shapes, as recorded from its model files, part by part.

Lengths in m, quaternions wxyz. Axes: N boxes, M capsules of a part.
"""

import json
from typing import Any, Iterator, NamedTuple

import mujoco
import numpy as np

from experiments.benchmarks.lib.libero_recordings import FOLDER
from omnivla_jax.sim import rotation

Body = dict[str, Any]


class Frame(NamedTuple):
    """Where something stands in its part."""

    position: np.ndarray  # [3]
    quaternion: np.ndarray  # [4], of length 1


ORIGIN = Frame(np.zeros(3), np.array([1.0, 0.0, 0.0, 0.0]))


class Part(NamedTuple):
    """The shapes that move together, in the frame of their joint."""

    boxes: np.ndarray  # [N, 10]: centre (3), quaternion (4), half sizes (3)
    capsules: np.ndarray  # [M, 9]: centre (3), quaternion (4), radius, half length


def read() -> dict[str, list[Part]]:
    """The parts of every recorded category by its name: the root, then its joints'."""
    objects: dict[str, Any] = {}
    for file in sorted(FOLDER.glob("collision_geometry*.json")):
        objects |= json.loads(file.read_text())["objects"]
    return {
        name: list(_parts(one["bodies"][0]))
        for name, (one, *_) in sorted(objects.items())
    }


def _parts(body: Body) -> Iterator[Part]:
    """The part that starts at `body`, then the moving parts under it."""
    rows: dict[str, list[list[float]]] = {"box": [], "capsule": []}
    welded = list(_welded(body, ORIGIN))
    for member, frame in welded:
        for geom in member.get("geoms", ()):
            # Group 1 repeats some of them to be seen.
            if geom.get("group", 0) == 0 and geom["type"] in rows:
                position, quaternion = _placed(geom, frame)
                rows[geom["type"]].append([*position, *quaternion, *geom["size"]])
    # The microwave's handle is listed twice: to be met and to be seen.
    capsules = np.unique(np.reshape(rows["capsule"], (-1, 9)), axis=0)
    yield Part(np.reshape(rows["box"], (-1, 10)), capsules)
    for member, _ in welded:
        for child in member.get("bodies", ()):
            if child.get("joints"):
                yield from _parts(child)


def _welded(body: Body, frame: Frame) -> Iterator[tuple[Body, Frame]]:
    """`body` and all that hangs on it without a joint, with their frames."""
    yield body, frame
    for child in body.get("bodies", ()):
        if not child.get("joints"):
            yield from _welded(child, _placed(child, frame))


def _placed(entry: Body, parent: Frame) -> Frame:
    """The frame of an `entry` in `parent`, turned by its `quat`, then its `euler`."""
    turn = np.zeros(4)
    mujoco.mju_euler2Quat(turn, np.array(entry.get("euler", (0.0, 0.0, 0.0))), "xyz")
    quaternion = np.array(entry.get("quat", (1.0, 0.0, 0.0, 0.0)), float)
    local = rotation.multiply(quaternion / np.linalg.norm(quaternion), turn, np)
    position = np.array(entry.get("pos", (0.0, 0.0, 0.0)), float)
    return Frame(
        parent.position + rotation.rotate(parent.quaternion, position, np),
        rotation.multiply(parent.quaternion, local, np),
    )
