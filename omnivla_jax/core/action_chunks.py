"""Action chunks cut from a demonstration, and four rules for its end.

A chunk of frame t holds the H actions t, t + 1, ..., t + H - 1. The last H - 1 frames
of a demonstration have fewer, which a named rule makes up for:

    hold    the arm stands still and the gripper keeps its last command
    clamp   the last action is repeated and trained on (openpi)
    mask    the last action is repeated, and left out of the loss (LeRobot)
    drop    those frames are not trained on (OpenVLA)

Axes: T frames, F <= T frames that are trained on, H chunk length, D action dimensions.
"""

from typing import Sequence

import chex
import numpy as np

PADDINGS = ("hold", "clamp", "mask", "drop")
GRIPPER = -1  # the last action dimension is a command, not a motion


def chunk_targets(
    actions: np.ndarray, horizon: int, padding: str = "hold"
) -> np.ndarray:
    """Cut the chunk of every frame.

    Args:
      actions: float [T, D], T >= 1.
      horizon: H >= 1.
      padding: one of `PADDINGS`.

    Returns:
      float32 [F, H, D], a view of the padded actions; F is T, or max(T - H + 1, 0)
      where `padding` is "drop".
    """
    chex.assert_rank(actions, 2)
    check_padding(padding)
    last = np.array(actions[-1:])
    if padding == "hold":
        last[:, np.arange(last.shape[1]) != last.shape[1] + GRIPPER] = 0
    missing = 0 if padding == "drop" else horizon - 1
    padded = np.concatenate([actions, np.repeat(last, missing, axis=0)])
    padded = padded.astype(np.float32)
    if len(padded) < horizon:
        return np.zeros((0, horizon, padded.shape[1]), np.float32)
    windows = np.lib.stride_tricks.sliding_window_view(padded, horizon, axis=0)
    return windows.swapaxes(1, 2)


def loss_mask(length: int, horizon: int, padding: str) -> np.ndarray | None:
    """Which actions of `chunk_targets` are in the loss; None where all are.

    Args:
      length: T.
      horizon: H.
      padding: one of `PADDINGS`.

    Returns:
      bool [T, H] where `padding` is "mask": True within the demonstration.
    """
    if padding != "mask":
        return None
    return np.arange(length)[:, None] + np.arange(horizon) < length


def of_demonstrations(
    actions: Sequence[np.ndarray], horizon: int, padding: str
) -> tuple[list[np.ndarray], list[np.ndarray | None]]:
    """The chunks and the loss masks of several demonstrations.

    Args:
      actions: float [T, D] of each.
      horizon: H.
      padding: one of `PADDINGS`.

    Returns:
      `chunk_targets` and `loss_mask` of each.

    Raises:
      ValueError: `padding` leaves no frame to train on.
    """
    chunks = [chunk_targets(action, horizon, padding) for action in actions]
    if not any(map(len, chunks)):
        raise ValueError(
            f"No demonstration has {horizon} steps, and data.padding={padding!r} "
            "leaves no frame of shorter ones: choose another."
        )
    return chunks, [loss_mask(len(action), horizon, padding) for action in actions]


def check_padding(padding: str) -> None:
    """Raise a ValueError unless `padding` is one of `PADDINGS`."""
    if padding not in PADDINGS:
        raise ValueError(
            f"data.padding={padding!r} is unknown: choose one of {', '.join(PADDINGS)}."
        )
