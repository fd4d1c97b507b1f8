"""What readers and writers check of numbers, and say of other libraries."""

import importlib
from typing import Any

import numpy as np

from omnivla_jax.core.types import Demonstration


class PictureWarning(UserWarning):
    """How pictures lie, or what opens the gripper, was guessed from names."""


def first_line(error: BaseException) -> str:
    """The first line of an error's message, or its type when it has none."""
    return next(iter(str(error).splitlines()), type(error).__name__)


def optional_module(name: str, layout: str) -> Any:
    """Import a package of the extra `data`; a ModuleNotFoundError names the extra."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"{layout} need {error.name}: pip install 'omnivla-rl[data]'.",
            name=error.name,
        ) from error


def check_finite(array: np.ndarray, name: str, where: str, first: int = 0) -> None:
    """Refuse numbers that are not finite.

    Args:
      array: [T, N], a row a step.
      name: of the numbers.
      where: the file and what its rows are called, such as "a.hdf5, demo_1, step".
      first: the number of the array's first row in the file.

    Raises:
      ValueError: one line with the first such row.
    """
    is_finite = np.isfinite(array).all(axis=tuple(range(1, array.ndim)))
    if not is_finite.all():
        row = first + int(np.argmin(is_finite))
        raise ValueError(f"{where} {row}: {name} is not finite.")


def check_episode(episode: Demonstration, index: int, side: int) -> None:
    """Refuse what the layouts of LIBERO's datasets cannot hold.

    Args:
      episode: to be written.
      index: its number, to name in the error.
      side: of the pictures, in pixels.

    Raises:
      ValueError: an array has another shape or type than LIBERO's, or no step.
    """
    length = len(episode.action)
    layout = {
        "images": ((length, 2, side, side, 3), np.uint8),
        "state": ((length, 8), np.float32),
        "joint_state": ((length, 7), np.float32),
        "action": ((length, 7), np.float32),
    }
    for field, (shape, dtype) in layout.items():
        array = getattr(episode, field)
        if length == 0 or array.shape != shape or array.dtype != dtype:
            raise ValueError(
                f"Demonstration {index} has {field} {array.dtype}{array.shape}; "
                f"expected {np.dtype(dtype)}{shape} with at least one step."
            )
    rows = episode.simulator_state
    if rows is not None and (rows.ndim != 2 or len(rows) != length):
        raise ValueError(
            f"Demonstration {index} has simulator_state {rows.shape}; expected "
            f"({length}, 1 + nq + nv), or None."
        )
