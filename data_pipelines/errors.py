"""What readers check of a file's numbers, and say of other libraries' errors, alike."""

import numpy as np


def first_line(error: BaseException) -> str:
    """The first line of an error's message, or its type when it has none."""
    return next(iter(str(error).splitlines()), type(error).__name__)


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
