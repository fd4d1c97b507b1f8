"""Rigid frames of numpy arrays: compose, and turn quaternions into matrices.

Lengths in m, quaternions wxyz.
"""

from typing import NamedTuple, Sequence

import mujoco
import numpy as np


class Frame(NamedTuple):
    """Where something stands in another frame."""

    position: np.ndarray  # [3]
    quaternion: np.ndarray  # [4], of length 1


IDENTITY = Frame(np.zeros(3), np.array([1.0, 0.0, 0.0, 0.0]))


def frame(
    position: Sequence[float],
    quaternion: Sequence[float],
    euler: Sequence[float] = (0.0, 0.0, 0.0),
) -> Frame:
    """A frame turned by `quaternion`, of any length, then by `euler` (xyz, rad)."""
    turn, both = np.zeros(4), np.zeros(4)
    mujoco.mju_euler2Quat(turn, np.asarray(euler, float), "xyz")
    first = np.asarray(quaternion, float)
    mujoco.mju_mulQuat(both, first / np.linalg.norm(first), turn)
    return Frame(np.asarray(position, float), both)


def compose(outer: Frame, inner: Frame) -> Frame:
    """`inner`, given in `outer`, seen from where `outer` is given."""
    quaternion = np.zeros(4)
    mujoco.mju_mulQuat(quaternion, outer.quaternion, inner.quaternion)
    return Frame(outer.position + matrix(outer.quaternion) @ inner.position, quaternion)


def matrix(quaternion: np.ndarray) -> np.ndarray:
    """The rotation matrix [3, 3] of a quaternion [4] of length 1."""
    result = np.zeros(9)
    mujoco.mju_quat2Mat(result, quaternion)
    return result.reshape(3, 3)


def quaternion(rotation: np.ndarray) -> np.ndarray:
    """The quaternion [4] of a rotation matrix [3, 3], with w >= 0."""
    result = np.zeros(4)
    mujoco.mju_mat2Quat(result, np.ascontiguousarray(rotation).reshape(9))
    return -result if result[0] < 0 else result
