"""Which degrees of freedom a batch is solved for: those of what touches something.

What touches nothing accelerates as it would without contacts. A scene that mixes tasks
holds many movables, each of its tasks a few: only so many can touch anything at a time.
Axes: B environments, K contacts, N bodies, V degrees of freedom, M movables, S slots
for movables, R degrees of freedom always solved for, A = R + 6 S solved for.
"""

from typing import NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import mujoco
import numpy as np

from omnivla_jax.sim.contact.search import Contacts
from omnivla_jax.sim.contact.tables import ContactTables

FREE = 6  # degrees of freedom of a movable
Tree = TypeVar("Tree")


class Slots(NamedTuple):
    """What the choice knows before it starts."""

    always: np.ndarray  # [R]
    starts: np.ndarray  # [M]: each movable's first degree of freedom
    movable: np.ndarray  # [N]: which movable a body is, -1 for none
    owner: np.ndarray  # [V]: which movable's it is, -1 for none
    column: np.ndarray  # [V]: its place within its movable, or else among R
    room: int  # S


class Active(NamedTuple):
    """One choice; None in place of one stands for all degrees of freedom."""

    dofs: jax.Array  # int32 [B, A]
    column: jax.Array  # int32 [B, V]: each one's place in A; A where it has none


def slots(model: mujoco.MjModel, room: int) -> Slots | None:
    """The tables of `model` for `room` movables at a time; None: they all fit."""
    free = np.flatnonzero(model.jnt_type == int(mujoco.mjtJoint.mjJNT_FREE))
    if len(free) <= room:
        return None
    starts = model.jnt_dofadr[free]
    movable = np.full(model.nbody, -1)
    movable[model.jnt_bodyid[free]] = np.arange(len(free))
    owner = movable[model.dof_bodyid]
    always = np.flatnonzero(owner < 0)
    column = np.arange(model.nv) - starts[owner]
    column[always] = np.arange(len(always))
    return Slots(always, starts, movable, owner, column, room)


def choose(
    static: Slots | None, tables: ContactTables, found: Contacts
) -> Active | None:
    """The degrees of freedom of what touches something, filled up with others'.

    Args:
      static: of the model.
      tables: of the model.
      found: the batch's contacts, of at most S movables.
    """
    if static is None:
        return None
    touches = _touching(static, tables, found)  # [B, M]
    order = jnp.argsort(~touches, axis=-1, stable=True)
    slot = jnp.argsort(order, axis=-1)  # [B, M]: the inverse permutation
    chosen = jnp.asarray(static.starts)[order[:, : static.room]]
    theirs = (chosen[:, :, None] + jnp.arange(FREE)).reshape(len(chosen), -1)
    always = jnp.broadcast_to(static.always, (len(chosen), len(static.always)))
    dofs = jnp.concatenate([always, theirs], axis=-1)
    return Active(dofs, _columns(static, slot, dofs.shape[1]))


def take(active: Active | None, values: Tree) -> Tree:
    """The chosen rows [B, A, ...] of arrays [B, V, ...]."""
    if active is None:
        return values

    def one(rows: jax.Array) -> jax.Array:
        index = active.dofs.reshape(active.dofs.shape + (1,) * (rows.ndim - 2))
        return jnp.take_along_axis(rows, index, axis=1, mode="clip")

    return jax.tree.map(one, values)


def take_square(active: Active | None, matrices: jax.Array) -> jax.Array:
    """The chosen rows and columns [B, A, A] of symmetric `matrices` [B, V, V]."""
    return matrices if active is None else take(active, take(active, matrices).mT)


def put(active: Active | None, chosen: jax.Array, others: jax.Array) -> jax.Array:
    """[B, V]: the `chosen` values [B, A], and the `others`' of [B, V]."""
    if active is None:
        return chosen
    taken = jnp.take_along_axis(chosen, active.column, axis=1, mode="clip")
    return jnp.where(active.column < chosen.shape[1], taken, others)


def _touching(static: Slots, tables: ContactTables, found: Contacts) -> jax.Array:
    """bool [B, M]: which movables have a contact."""
    bodies = jnp.asarray(tables.bodies)[:, found.entry]  # [2, B, K]
    movable = jnp.where(found.distance < 0, jnp.asarray(static.movable)[bodies], -1)
    every = jnp.arange(len(static.starts))
    return jnp.any(movable[..., None] == every, axis=(0, 2))


def _columns(static: Slots, slot: jax.Array, size: int) -> jax.Array:
    """int32 [B, V]: where each degree of freedom is among A = `size`."""
    place = len(static.always) + FREE * slot[:, static.owner] + static.column
    place = jnp.where(slot[:, static.owner] < static.room, place, size)
    return jnp.where(static.owner < 0, static.column, place)
