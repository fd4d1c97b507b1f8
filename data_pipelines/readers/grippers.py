"""What the last entry of an action tells the gripper, by the name of the data's rule.

    libero    -1 opens and 1 closes: LIBERO, robosuite, this project
    oxe       1 opens and 0 closes: Open X-Embodiment, and LIBERO's copies made with it

Axes: T steps of a demonstration, D action dimensions.
"""

import numpy as np

LIBERO, OXE = "libero", "oxe"
MEANINGS = {LIBERO: "-1 opens and 1 closes", OXE: "1 opens and 0 closes"}


def to_libero(action: np.ndarray, rule: str, where: str, first: int = 0) -> np.ndarray:
    """Actions by LIBERO's rule, where all commands are such as `rule` has.

    Args:
      action: float32 [T, D], the gripper's command last.
      rule: a key of `MEANINGS`.
      where: the file and what its rows are called, to name in errors.
      first: number of the first row.

    Returns:
      float32 [T, D].

    Raises:
      ValueError: a command is 0 under `libero`, or outside of [0, 1] under `oxe`.
    """
    command = action[:, -1]
    outside = (command < 0) | (command > 1)
    wrong, other = (command == 0, OXE) if rule == LIBERO else (outside, LIBERO)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise ValueError(
            f"{where} {first + row}: the gripper's command is {command[row]:g}, but "
            f"{MEANINGS[rule]} in such data: say --config.data.gripper={other} if "
            f"{MEANINGS[other]}, or ={rule} to take them as they are."
        )
    if rule == LIBERO:
        return action
    return np.concatenate([action[:, :-1], 1 - 2 * command[:, None]], axis=1)
