"""Leaves out the steps of demonstrations in which the action moves nothing.

The rule is OpenVLA's for LIBERO: all entries but the gripper's are near zero, and the
gripper's command is that of the last step that was kept.

Axes: T steps of a demonstration, K <= T steps that are kept, D action dimensions.
"""

from typing import Iterable, Iterator

import numpy as np

from data_pipelines import lazy_images
from omnivla_jax.core.types import Demonstration

THRESHOLD = 1e-4  # of the norm of the motion
GRIPPER = -1  # the action's last entry


def kept_steps(action: np.ndarray) -> np.ndarray:
    """The steps int64 [K] that are no no-ops; `action` is [T, D] of relative motions.

    The first step has no gripper command before it: its motion alone counts.
    """
    moves = np.linalg.norm(action[:, :GRIPPER], axis=1) >= THRESHOLD
    kept: list[int] = []
    for step, gripper in enumerate(action[:, GRIPPER]):
        if moves[step] or (kept and gripper != action[kept[-1], GRIPPER]):
            kept.append(step)
    return np.asarray(kept, np.int64)


def removed(episodes: Iterable[Demonstration]) -> Iterator[Demonstration]:
    """Yield demonstrations without their no-ops, and none that has only such."""
    for episode in episodes:
        kept = kept_steps(np.asarray(episode.action))
        if len(kept) == len(episode.action):
            yield episode
        elif len(kept):
            rows = episode.simulator_state
            yield episode._replace(
                images=lazy_images.pick(episode.images, kept),
                state=episode.state[kept],
                joint_state=episode.joint_state[kept],
                action=episode.action[kept],
                simulator_state=None if rows is None else rows[kept],
            )
