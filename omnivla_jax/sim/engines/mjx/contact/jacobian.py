"""How the contacts of a batch move with its degrees of freedom.

Boxes that meet may move with all of them; what stands on the ground moves alone, as a
free body of six, which makes its share of every product a small block.
Axes: B environments; V degrees of freedom, the last 6 S of which are those of S free
bodies; 4 rows a contact, as in `constraint`; K contacts of boxes, then 4 of each free
body with the ground: K + 4 S.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

FREE, FEET = 6, 4  # degrees of freedom of a free body, its contacts with the ground


class Jacobian(NamedTuple):
    """Empty places are 0."""

    # Rows and contacts on one axis: XLA's CPU compiler copies what it sums over two of.
    met: jax.Array  # [B, 4 K, V]
    stood: jax.Array  # [B * S, 4 * 4, 6]


def along(jacobian: Jacobian, velocity: jax.Array) -> jax.Array:
    """[B, 4, K + 4 S]: how contacts move where degrees of freedom do by [B, V]."""
    batch, size = velocity.shape
    slots = len(jacobian.stood) // batch
    free = velocity[:, size - slots * FREE :].reshape(-1, FREE)
    met = jnp.einsum("bkv,bv->bk", jacobian.met, velocity)
    stood = jnp.einsum("ckv,cv->ck", jacobian.stood, free)
    stood = stood.reshape(batch, slots, 4, FEET).swapaxes(1, 2)
    parts = met.reshape(batch, 4, -1), stood.reshape(batch, 4, slots * FEET)
    return jnp.concatenate(parts, axis=-1)


def back(jacobian: Jacobian, force: jax.Array) -> jax.Array:
    """[B, V]: what forces [B, 4, K + 4 S] of the rows do to degrees of freedom."""
    met, stood = _parts(jacobian, force)
    met, stood = met.reshape(len(met), -1), stood.reshape(len(stood), 4 * FEET)
    moved = jnp.einsum("bk,bkv->bv", met, jacobian.met)
    free = jnp.einsum("ck,ckv->cv", stood, jacobian.stood)
    free = free.reshape(len(force), free.size // len(force))
    return moved + jnp.pad(free, ((0, 0), (moved.shape[1] - free.shape[1], 0)))


def gram(jacobian: Jacobian, weight: jax.Array) -> jax.Array:
    """[B, V, V]: J' W J, `weight` [B, 4, 4, K + 4 S] symmetric for each contact."""
    met, stood = _parts(jacobian, weight)
    whole, blocks = (
        jnp.einsum("bkv,bkw->bvw", rows, _weighted(own, rows))
        for rows, own in ((jacobian.met, met), (jacobian.stood, stood))
    )
    blocks = blocks.reshape(len(whole), len(blocks) // len(whole), FREE, FREE)
    return whole + block_diagonal(blocks, whole.shape[1])


def block_diagonal(blocks: jax.Array, size: int) -> jax.Array:
    """[B, V, V], V = `size`, of blocks [B, S, v, v] that end where it ends."""
    batch, parts, width, _ = blocks.shape
    apart = blocks[:, :, :, None] * jnp.eye(parts)[:, None, :, None]
    front = size - parts * width
    square = apart.reshape(batch, parts * width, parts * width)
    return jnp.pad(square, ((0, 0), (front, 0), (front, 0)))


def _parts(jacobian: Jacobian, values: jax.Array) -> tuple[jax.Array, jax.Array]:
    """[B, ..., K] and [B * S, ..., 4] of `values` [B, ..., K + 4 S]."""
    met, stood = jnp.split(values, [jacobian.met.shape[1] // 4], axis=-1)
    batch, *middle, count = stood.shape
    bodies = stood.reshape(batch, *middle, count // FEET, FEET)
    bodies = jnp.moveaxis(bodies, -2, 1)
    return met, bodies.reshape(batch * (count // FEET), *middle, FEET)


def _weighted(weight: jax.Array, rows: jax.Array) -> jax.Array:
    """W J [b, 4 K, v], W [b, 4, 4, K] and J [b, 4 K, v]."""
    apart = rows.reshape(len(rows), 4, rows.shape[1] // 4, rows.shape[2])
    # v varies fastest, so that XLA computes a weight once and not for each of them.
    parts = [weight[:, :, j, :, None] * apart[:, j, None] for j in range(4)]
    return (parts[0] + parts[1] + parts[2] + parts[3]).reshape(rows.shape)
