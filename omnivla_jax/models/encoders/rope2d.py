"""Rotary positions on a grid: rows turn half of a head's channels, columns half.

Axes: B batch, T tokens, N heads, C channels of a head, P = grid * grid patches.
As in VGGT and DUSt3R; `layers.rope` is the one-dimensional turn inside.
"""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from omnivla_jax.models.layers import Rotation, rope

FREQUENCY = 100.0  # VGGT's base; the text experts' is 10,000


class PlanarRotation(NamedTuple):
    """Angles of every token's row and column, shared by all layers and heads."""

    rows: Rotation  # float32 [1, T, C / 4]
    columns: Rotation  # float32 [1, T, C / 4]


def planar_rotation(grid: int, channels: int, *, special: int) -> PlanarRotation:
    """Angles of `special` tokens at (0, 0), then patches at (1 + row, 1 + column)."""
    if channels % 4:
        raise ValueError(
            f"2-D RoPE turns channel pairs of two halves: {channels=} must be a "
            "multiple of 4, so change the width or the number of heads."
        )
    places = 1 + jnp.stack(jnp.divmod(jnp.arange(grid**2), grid))
    places = jnp.pad(places, ((0, 0), (special, 0)))
    quarter = channels // 4
    timescale = FREQUENCY ** (jnp.arange(quarter, dtype=jnp.float32) / quarter)
    rows, columns = places[..., None] / timescale
    turns = (Rotation(jnp.sin(a)[None], jnp.cos(a)[None]) for a in (rows, columns))
    return PlanarRotation(*turns)


def rope2d(x: jax.Array, turn: PlanarRotation) -> jax.Array:
    """Rotate x [B, T, N, C]: channels [0, C / 2) by rows, the others by columns."""
    chex.assert_rank(x, 4)
    first, second = jnp.split(x, 2, axis=-1)
    turned = [rope(first, turn.rows), rope(second, turn.columns)]
    return jnp.concatenate(turned, axis=-1)
