"""The kinds of perturbation by name, and which values are held out of training.

LIBERO-Plus has seven dimensions of 21 kinds. Ours are 23, which cover the 20 that its
descriptions name: language is split by the five forms of its files instead of three.
Axes: B environments, K kinds.
"""

from typing import Iterable

import chex
import jax
import jax.numpy as jnp
import numpy as np

from omnivla_jax.render.corruptions import CORRUPTIONS

DIMENSIONS: dict[str, tuple[str, ...]] = {
    "camera": ("azimuth", "elevation", "distance", "orientation"),
    "robot": ("initial_joints",),
    "language": ("synonyms", "periphrasis", "request", "context", "confirmation"),
    "light": ("diffuse", "direction", "specular", "shadow"),
    "background": ("theme", "surface"),
    "noise": CORRUPTIONS,
    "layout": ("distractors", "displacement"),
}
KINDS = tuple(f"{name}.{kind}" for name, kinds in DIMENSIONS.items() for kind in kinds)
NO_KIND = -1

# A third of every range is held out: the second of every three intervals. Severity cuts
# ranges off instead of scaling what was drawn, so that none draws what is held out.
SPLITS = ("all", "training", "held_out")


def rows(names: Iterable[str]) -> tuple[int, ...]:
    """The rows of `KINDS` that names stand for.

    Args:
      names: "all", dimensions and kinds such as "light.shadow".

    Returns:
      Each row once, in the order of `KINDS`.

    Raises:
      ValueError: an unknown name, or none at all.
    """
    chosen: set[int] = set()
    names = tuple(names)
    for name in names:
        members = [
            row
            for row, kind in enumerate(KINDS)
            if name in ("all", kind, kind.split(".")[0])
        ]
        if not members:
            known = ", ".join(("all", *DIMENSIONS))
            raise ValueError(
                f"Unknown perturbation {name!r}: write {known}, or one kind of a "
                f"dimension: {', '.join(KINDS)}."
            )
        chosen.update(members)
    if not chosen:
        raise ValueError(f"No perturbation is named in {names}: write all.")
    return tuple(sorted(chosen))


def columns(dimension: str) -> slice:
    """Where a dimension's kinds are among `KINDS`."""
    first = KINDS.index(f"{dimension}.{DIMENSIONS[dimension][0]}")
    return slice(first, first + len(DIMENSIONS[dimension]))


def one_hot(kind: jax.Array) -> jax.Array:
    """The mask of one kind each.

    Args:
      kind: int32 [B], rows of KINDS; NO_KIND is none.

    Returns:
      bool [B, K].
    """
    chex.assert_rank(kind, 1)
    return jnp.asarray(kind)[:, None] == jnp.arange(len(KINDS))


def allowed(count: int, split: str, *, width: int = 1) -> np.ndarray:
    """Which of `count` ordered values belong to a split, in intervals of `width`.

    Where the held-out interval is beyond the values, both splits have all of them.

    Args:
      count: of the values.
      split: one of SPLITS.
      width: values of an interval, of which every third is held out.

    Returns:
      int [M], the values in order, within [0, count).

    Raises:
      ValueError: an unknown split.
    """
    if split not in SPLITS:
        raise ValueError(f"Unknown split {split!r}: choose one of {SPLITS}.")
    values = np.arange(count)
    reserved = values // width % 3 == 1
    if split == "all" or not reserved.any():
        return values
    return values[reserved == (split == "held_out")]


def pick(
    key: jax.Array,
    count: int,
    split: str,
    *,
    width: int = 1,
    below: float | jax.Array = 1.0,
) -> jax.Array:
    """Draw one of `allowed`.

    Args:
      key: consumed.
      count, split, width: as of `allowed`.
      below: share of `count` in [0, 1], above which values are left out, but for the
        first allowed one.

    Returns:
      int32 [].
    """
    values = jnp.asarray(allowed(count, split, width=width))
    reached = jnp.maximum((values < below * count).sum(), 1)
    return values[jax.random.randint(key, (), 0, reached)]


def uniform(
    key: jax.Array,
    split: str,
    shape: tuple[int, ...] = (),
    *,
    intervals: int = 6,
    below: float | jax.Array = 1.0,
) -> jax.Array:
    """Draw numbers from a split's intervals of [0, 1).

    Args:
      key: consumed.
      split: one of SPLITS.
      shape: of the result.
      intervals: of the range, of which every third is held out.
      below: in [0, 1], above which nothing is drawn; where all of the split is above,
        its first number is.

    Returns:
      float32 of `shape`.
    """
    rows = jnp.asarray(allowed(intervals, split))
    reached = jnp.clip(intervals * below - rows, 0, 1).sum()
    drawn = reached * jax.random.uniform(key, shape)
    which = jnp.clip(drawn.astype(jnp.int32), 0, len(rows) - 1)
    return (rows[which] + drawn - which) / intervals


def signed(
    key: jax.Array,
    split: str,
    limit: float | jax.Array,
    shape: tuple[int, ...] = (),
) -> jax.Array:
    """Draw numbers of (-1, 1) with sizes below a limit, of which a third is held out.

    Args:
      key: consumed.
      split: one of SPLITS, which divides sizes, whatever the limit.
      limit: in [0, 1]; 0 gives zeros.
      shape: of the result.

    Returns:
      float32 of `shape`.
    """
    size_key, sign_key = jax.random.split(key)
    size = uniform(size_key, split, shape, intervals=3, below=limit)
    sign = jnp.where(jax.random.bernoulli(sign_key, shape=shape), 1.0, -1.0)
    return jnp.where(limit > 0, sign * size, 0.0)
