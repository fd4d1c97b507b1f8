"""Checks numbers that choose rows of a table, before they gather.

A gather out of range does not fail in JAX: it clamps, wraps around or fills in, which
looks like an answer. Values that are known are refused by their callers; traced ones
cannot be, and are made harmless where they gather.
"""

from typing import Any, Collection

import jax
import numpy as np


def unknown(values: Any, valid: Collection[int], *, name: str) -> list[int]:
    """The values that are none of `valid`, each once; [] while they are traced.

    Args:
      values: integers: a list, a NumPy array, a JAX array or a tracer.
      valid: the numbers that exist.
      name: what one of them is called, for the error.

    Raises:
      ValueError: the values are no integers.
    """
    known = _concrete(values)
    dtype = values.dtype if known is None else known.dtype
    if not np.issubdtype(dtype, np.integer):
        shown = "" if known is None else f" {known.tolist()}"
        raise ValueError(f"A {name} is an integer, but got{shown} ({dtype}).")
    if known is None:
        return []
    exist = {int(number) for number in valid}
    rows = (int(value) for value in known.ravel())
    return [row for row in dict.fromkeys(rows) if row not in exist]


def listed(valid: Collection[int]) -> str:
    """`valid` in words: "0 to 9" where none is missing in between."""
    rows = sorted({int(number) for number in valid})
    if len(rows) > 1 and rows == list(range(rows[0], rows[-1] + 1)):
        return f"{rows[0]} to {rows[-1]}"
    return ", ".join(map(str, rows))


def _concrete(values: Any) -> np.ndarray | None:
    """The values as NumPy; None while they are traced, or on other hosts."""
    if isinstance(values, jax.core.Tracer):
        return None
    if isinstance(values, jax.Array) and not values.is_fully_addressable:
        return None
    return np.asarray(values)
