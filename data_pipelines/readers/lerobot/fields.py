"""Checks single values of a LeRobot dataset's metadata; errors are one line."""

import math
from pathlib import Path
from typing import Any


def count(value: Any, name: str, where: str) -> int:
    """A whole number from 0 on; pandas makes whole numbers floats where one is missing.

    Args:
      value: as the file has it.
      name: of the field.
      where: the file, and the row where it is one.

    Raises ValueError where it is something else.
    """
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or value < 0 or value != value // 1:
        raise ValueError(
            f"{where}: {name} is {value!r:.40}, not a whole number from 0 on: get the "
            "file again."
        )
    return int(value)


def seconds(value: Any, name: str, where: str) -> float:
    """A finite number; arguments and errors as of `count`."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value):
        raise ValueError(
            f"{where}: {name} is {value!r:.40}, not a number: get the file again."
        )
    return float(value)


def instruction(value: Any, where: str) -> str:
    """The words of a task; arguments and errors as of `count`."""
    if not isinstance(value, str) or not value.strip():
        raise ValueError(
            f"{where}: the task is {value!r:.40}, no text: get the file again."
        )
    return value


def place(root: Path, template: Any, name: str, where: str, **numbers: Any) -> Path:
    """A file below `root` by the template `name` of info.json.

    Raises ValueError where it is no template of these numbers.
    """
    try:
        return root / template.format(**numbers)
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise ValueError(
            f"{where}: {name} is {template!r:.80}, which makes no path of "
            f"{', '.join(numbers)}: get the file again."
        ) from error
