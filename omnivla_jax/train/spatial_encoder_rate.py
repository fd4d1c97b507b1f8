"""A learning rate of the spatial encoder's own, which stage I has trained before."""

from typing import Any

import jax

from omnivla_jax.core.types import PyTree

PLACE = ("spatial", "encoder")  # in the parameter tree


def trained_mask(trained: PyTree, rate: float) -> PyTree:
    """What is trained, without the spatial encoder where its rate is 0.

    Args:
      trained: a tree of bools like the parameters.
      rate: of the encoder, relative to the others'.
    """
    if rate:
        return trained
    return jax.tree.map_with_path(lambda path, on: on and not _inside(path), trained)


def scale(updates: PyTree, rate: float) -> PyTree:
    """The updates at the encoder's rate: AdamW's are proportional to it.

    Args:
      updates: of the optimizer, a tree like the parameters.
      rate: of the encoder, relative to the others'.
    """
    if rate in (0.0, 1.0):  # frozen by its mask, or as all others
        return updates
    return jax.tree.map_with_path(
        lambda path, x: rate * x if _inside(path) else x, updates
    )


def _inside(path: tuple[Any, ...]) -> bool:
    return tuple(entry.key for entry in path[: len(PLACE)]) == PLACE
