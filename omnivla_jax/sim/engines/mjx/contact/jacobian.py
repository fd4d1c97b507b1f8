"""Products with the Jacobian of a batch's contacts, as matrix products of XLA's.

Contacts between boxes have dense rows over all degrees of freedom. Contacts of a free
body with the ground move with its six alone, so their share of every product is a block
of 6 x 6. Matrices lead with the batch, as libraries of matrix products want it.
Axes: B environments; V degrees of freedom, the last 6 S of which are those of the free
bodies in S object slots; K contacts between boxes, then 4 of each free body with the
ground: K + 4 S; 4 rows a contact, as in `constraint`.
"""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np

from omnivla_jax.sim.engines.mjx.contact.constraint import ContactRows, MotionAxes

FREE_DOFS = 6  # degrees of freedom of a free body
GROUND_POINTS = 4  # contacts of a free body with the ground


class Jacobian(NamedTuple):
    """Derivatives of contact motion by velocities; rows of padding are 0."""

    # Rows and contacts on one axis: XLA's CPU compiler copies what it sums over two of.
    box: jax.Array  # [B, 4 K, V]
    ground: jax.Array  # [B * S, 4 * 4, 6]


def contact_jacobian(
    rows: ContactRows, motion: MotionAxes, moves: np.ndarray, slots: int
) -> Jacobian:
    """Return the Jacobian.

    Args:
      rows: of all contacts, [K + 4 S, B].
      motion: of the degrees of freedom [V, B], those of the slots last.
      moves: bool [C, V], which degrees of freedom move which body.
      slots: S.
    """
    count = rows.wrenches.shape[2] - GROUND_POINTS * slots
    axes = jnp.concatenate([motion.angular, motion.linear]).transpose(2, 0, 1)
    box, ground = jnp.split(rows.wrenches.transpose(3, 1, 2, 0), [count], axis=2)
    batch = len(axes)  # of axes [B, 6, V] and wrenches [B, 4, K, 6]

    # Contacts between boxes: dense rows, of the second body less the first.
    first, second = rows.bodies[:, :count].swapaxes(1, 2)
    table = jnp.asarray(moves, jnp.float32)
    sign = jnp.tile(table[second] - table[first], (1, 4, 1))  # [B, 4 K, V]
    dense = box.reshape(batch, -1, 6) @ axes

    # Contacts of the slots with the ground: the last degrees of freedom, body by body.
    ground = ground.reshape(batch, 4, slots, GROUND_POINTS, 6).swapaxes(1, 2)
    slot_axes = axes[..., axes.shape[-1] - slots * FREE_DOFS :]
    slot_axes = slot_axes.reshape(batch, 6, slots, FREE_DOFS).swapaxes(1, 2)
    blocks = ground.reshape(batch * slots, 4 * GROUND_POINTS, 6) @ slot_axes.reshape(
        batch * slots, 6, FREE_DOFS
    )
    return Jacobian(dense * sign, blocks)


def jac_mul(jacobian: Jacobian, velocity: jax.Array) -> jax.Array:
    """Return J v, [4, K + 4 S, B], of `velocity` v [V, B].

    Args:
      jacobian: of B environments.
      velocity: [V, B], or an acceleration.

    Returns:
      The motion of each row, boxes' contacts before those with the ground.
    """
    size, batch = velocity.shape
    chex.assert_axis_dimension(jacobian.box, 2, size)
    slots = len(jacobian.ground) // batch
    velocity = velocity.T
    free = velocity[:, size - slots * FREE_DOFS :].reshape(-1, FREE_DOFS)
    box = jnp.einsum("bkv,bv->bk", jacobian.box, velocity)
    ground = jnp.einsum("ckv,cv->ck", jacobian.ground, free)
    ground = ground.reshape(batch, slots, 4, GROUND_POINTS).swapaxes(1, 2)
    parts = box.reshape(batch, 4, -1), ground.reshape(batch, 4, slots * GROUND_POINTS)
    return jnp.concatenate(parts, axis=-1).transpose(1, 2, 0)


def jac_t_mul(jacobian: Jacobian, force: jax.Array) -> jax.Array:
    """Return J' f, [V, B], of `force` f [4, K + 4 S, B].

    Args:
      jacobian: of B environments.
      force: [4, K + 4 S, B] in N and, of the spin, N m.

    Returns:
      Forces on the degrees of freedom in N or N m.
    """
    box, ground = _split(jacobian, force.transpose(2, 0, 1))
    box, ground = box.reshape(len(box), -1), ground.reshape(
        len(ground), 4 * GROUND_POINTS
    )
    total = jnp.einsum("bk,bkv->bv", box, jacobian.box)
    free = jnp.einsum("ck,ckv->cv", ground, jacobian.ground)
    free = free.reshape(len(total), free.size // len(total))
    front = total.shape[1] - free.shape[1]
    return (total + jnp.pad(free, ((0, 0), (front, 0)))).T


def jac_gram(jacobian: Jacobian, weight: jax.Array) -> jax.Array:
    """Return J' W J, [B, V, V], of symmetric weights W [4, 4, K + 4 S, B].

    Args:
      jacobian: of B environments.
      weight: [4, 4, K + 4 S, B], symmetric.

    Returns:
      Symmetric matrices [V, V, B].
    """
    box, ground = _split(jacobian, weight.transpose(3, 0, 1, 2))
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
