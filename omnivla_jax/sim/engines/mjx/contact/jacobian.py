"""Products with the Jacobian of a batch's contacts.

Contacts between boxes have dense rows over all degrees of freedom. Contacts of a free
body with the ground move with its six alone, so their share of every product is a block
of 6 x 6.
Axes: B environments; V degrees of freedom, the last 6 S of which are those of the free
bodies in S object slots; K contacts between boxes, then 4 of each free body with the
ground: K + 4 S; 4 rows a contact, as in `constraint`.
"""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

FREE_DOFS = 6  # degrees of freedom of a free body
GROUND_POINTS = 4  # contacts of a free body with the ground


class Jacobian(NamedTuple):
    """Derivatives of contact motion by velocities; rows of padding are 0."""

    # Rows and contacts on one axis: XLA's CPU compiler copies what it sums over two of.
    box: jax.Array  # [B, 4 K, V]
    ground: jax.Array  # [B * S, 4 * 4, 6]


def jac_mul(jacobian: Jacobian, velocity: jax.Array) -> jax.Array:
    """Return J v, [B, 4, K + 4 S], of `velocity` v [B, V].

    Args:
      jacobian: of B environments.
      velocity: [B, V], or an acceleration.

    Returns:
      The motion of each row, boxes' contacts before those with the ground.
    """
    batch, size = velocity.shape
    chex.assert_axis_dimension(jacobian.box, 2, size)
    slots = len(jacobian.ground) // batch
    free = velocity[:, size - slots * FREE_DOFS :].reshape(-1, FREE_DOFS)
    box = jnp.einsum("bkv,bv->bk", jacobian.box, velocity)
    ground = jnp.einsum("ckv,cv->ck", jacobian.ground, free)
    ground = ground.reshape(batch, slots, 4, GROUND_POINTS).swapaxes(1, 2)
    parts = box.reshape(batch, 4, -1), ground.reshape(batch, 4, slots * GROUND_POINTS)
    return jnp.concatenate(parts, axis=-1)


def jac_t_mul(jacobian: Jacobian, force: jax.Array) -> jax.Array:
    """Return J' f, [B, V], of `force` f [B, 4, K + 4 S].

    Args:
      jacobian: of B environments.
      force: [B, 4, K + 4 S] in N and, of the spin, N m.

    Returns:
      Forces on the degrees of freedom in N or N m.
    """
    box, ground = _split(jacobian, force)
    box, ground = box.reshape(len(box), -1), ground.reshape(
        len(ground), 4 * GROUND_POINTS
    )
    total = jnp.einsum("bk,bkv->bv", box, jacobian.box)
    free = jnp.einsum("ck,ckv->cv", ground, jacobian.ground)
    free = free.reshape(len(force), free.size // len(force))
    return total + jnp.pad(free, ((0, 0), (total.shape[1] - free.shape[1], 0)))


def jac_gram(jacobian: Jacobian, weight: jax.Array) -> jax.Array:
    """Return J' W J, [B, V, V], of symmetric weights W [B, 4, 4, K + 4 S].

    Args:
      jacobian: of B environments.
      weight: [B, 4, 4, K + 4 S], symmetric.

    Returns:
      Symmetric matrices [B, V, V].
    """
    box, ground = _split(jacobian, weight)
    dense, blocks = (
        jnp.einsum("bkv,bkw->bvw", rows, _weighted(part, rows))
        for rows, part in ((jacobian.box, box), (jacobian.ground, ground))
    )
    blocks = blocks.reshape(len(dense), len(blocks) // len(dense), FREE_DOFS, FREE_DOFS)
    return dense + block_diagonal(blocks, dense.shape[1])


def block_diagonal(blocks: jax.Array, size: int) -> jax.Array:
    """Return [B, size, size] with `blocks` [B, S, v, v] at the end of its diagonal.

    Args:
      blocks: [B, S, v, v].
      size: at least S v.

    Returns:
      Matrices that are 0 outside their blocks.
    """
    batch, parts, width, _ = blocks.shape
    spread = blocks[:, :, :, None] * jnp.eye(parts)[:, None, :, None]
    front = size - parts * width
    square = spread.reshape(batch, parts * width, parts * width)
    return jnp.pad(square, ((0, 0), (front, 0), (front, 0)))


def _split(jacobian: Jacobian, values: jax.Array) -> tuple[jax.Array, jax.Array]:
    """[B, ..., K] and [B * S, ..., 4] of `values` [B, ..., K + 4 S]."""
    box, ground = jnp.split(values, [jacobian.box.shape[1] // 4], axis=-1)
    batch, *middle, count = ground.shape
    bodies = ground.reshape(batch, *middle, count // GROUND_POINTS, GROUND_POINTS)
    bodies = jnp.moveaxis(bodies, -2, 1)
    shape = (batch * (count // GROUND_POINTS), *middle, GROUND_POINTS)
    return box, bodies.reshape(shape)


def _weighted(weight: jax.Array, rows: jax.Array) -> jax.Array:
    """W J [b, 4 K, v] of W [b, 4, 4, K] and J [b, 4 K, v]."""
    split = rows.reshape(len(rows), 4, rows.shape[1] // 4, rows.shape[2])
    # v varies fastest, so that XLA computes a weight once and not for each of them.
    parts = [weight[:, :, j, :, None] * split[:, j, None] for j in range(4)]
    return (parts[0] + parts[1] + parts[2] + parts[3]).reshape(rows.shape)
