"""Compacts a scene of many tasks to the bodies of each environment's task.

A scene that mixes tasks holds many objects, each of its tasks a few. MJX steps
a subset of the bodies: the robot, the fixtures' joints and as many object slots as the
fullest task needs. Tasks that need the same objects share a subset; what a subset lacks
stays as it is.
Axes: B environments, T tasks of the suite, P subsets, M objects, S object slots; nq,
nv and N positions, degrees of freedom and bodies of the scene, Q, V and C of a subset,
J of which are the robot's and the fixtures', before those of the slots.
"""

import dataclasses
import functools
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np

from omnivla_jax.sim.assets.arenas import ARENAS, table_body
from omnivla_jax.sim.engines.mjx.contact.candidates import BodySubset, select_rows
from omnivla_jax.sim.engines.mjx.contact.jacobian import FREE_DOFS
from omnivla_jax.sim.libero.tasks import Task
from omnivla_jax.sim.rotation import Array
from omnivla_jax.sim.state import PhysicsState, Scene

FREE_QPOS = 7  # entries of qpos of a free body
EMPTY_SLOT_POSE = (0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0)


class Jointed(NamedTuple):
    """The robot and the fixtures."""

    bodies: np.ndarray  # int [J]: of N
    positions: np.ndarray  # int [J]: of nq
    velocities: np.ndarray  # int [J]: of nv


class ActiveBodies(NamedTuple):
    """Rows of each subset's parts in the scene, and the other way round."""

    of_task: np.ndarray  # int [T]: the subset of each task
    jointed: Jointed
    slot_objects: np.ndarray  # int [P, S]: of the scene's; M in an empty slot
    present: np.ndarray  # bool [P, N]: bodies that take part
    positions: np.ndarray  # int [P, Q]: of nq, beyond which lies EMPTY_SLOT_POSE
    velocities: np.ndarray  # int [P, V]: of nv, beyond which lies 0
    bodies: np.ndarray  # int [P, N]: of C, beyond which lie the poses in qpos [M]
    positions_back: np.ndarray  # int [P, nq]: of Q, beyond which lies the scene's qpos
    velocities_back: np.ndarray  # int [P, nv]: of V, beyond which lies the scene's
    poses: np.ndarray  # int [M, 7]: of nq, each object's pose

    @property
    def size(self) -> int:
        """C."""
        return len(self.jointed.bodies) + self.slot_objects.shape[1]


class ActiveState(NamedTuple):
    """The state of each environment's subset, the batch last."""

    qpos: jax.Array  # [Q, B]
    qvel: jax.Array  # [V, B]
    warmstart: jax.Array  # [V, B]


@functools.lru_cache(maxsize=8)
def active_bodies(scene: Scene) -> ActiveBodies:
    """Return the subsets of `scene`; tasks that it does not hold get the first."""
    of_task = {row: _task_bodies(scene, scene.tasks[row]) for row in scene.task_ids}
    kinds = list(dict.fromkeys(of_task.values()))
    names, jointed, model = tuple(scene.assets.objects), _jointed(scene), scene.model
    slots = max([1, *(len(objects) for objects, _ in kinds)])
    slot_objects = np.full((len(kinds), slots), len(names))
    present = np.ones((len(kinds), model.nbody), bool)
    for row, (objects, absent) in enumerate(kinds):
        slot_objects[row, : len(objects)] = [names.index(name) for name in objects]
        present[row, [scene.bodies[name] for name in absent]] = False
        present[row] &= present[row, model.body_rootid]

    # Rows of qpos and of qvel: the jointed ones, then those of the slots.
    starts = np.array([scene.joints[f"{name}_joint0"] for name in names], int)
    starts = np.concatenate([starts.reshape(-1, 2), [[model.nq, model.nv]]])
    starts = starts[slot_objects]  # [P, S, 2]
    qpos_rows = starts[..., :1] + np.arange(FREE_QPOS)
    qvel_rows = np.minimum(starts[..., 1:] + np.arange(FREE_DOFS), model.nv)
    positions, velocities = (
        np.concatenate(
            [np.tile(rows, (len(kinds), 1)), in_slots.reshape(len(kinds), -1)], axis=1
        )
        for rows, in_slots in (
            (jointed.positions, qpos_rows),
            (jointed.velocities, qvel_rows),
        )
    )

    # The row of every body of the scene; an object in no slot has its pose in qpos.
    bodies = np.zeros((len(kinds), model.nbody), int)
    bodies[:, jointed.bodies] = np.arange(len(jointed.bodies))
    for row, name in enumerate(names):
        slot = np.where(slot_objects == row, np.arange(slots), slots + row).min(axis=1)
        bodies[:, scene.bodies[name]] = len(jointed.bodies) + slot
    return ActiveBodies(
        of_task=np.array(
            [kinds.index(of_task.get(row, kinds[0])) for row in range(len(scene.tasks))]
        ),
        jointed=jointed,
        slot_objects=slot_objects,
        present=present,
        positions=positions,
        velocities=velocities,
        bodies=bodies,
        positions_back=_inverse(positions, model.nq),
        velocities_back=_inverse(velocities, model.nv),
        poses=np.array(
            [
                scene.joints[f"{name}_joint0"][0] + np.arange(FREE_QPOS)
                for name in names
            ],
            int,
        ).reshape(-1, FREE_QPOS),
    )


def gather(
    tables: ActiveBodies, subset: jax.Array, physics: PhysicsState
) -> ActiveState:
    """Return the state of subsets [B] in a batch.

    Args:
      tables: of the scene.
      subset: int32 [B], of P.
      physics: the batch with all bodies of the scene.

    Returns:
      `qpos`, `qvel` and `warmstart` of the subsets; empty slots rest at the origin.
    """
    chex.assert_equal_shape_prefix([subset, physics.qpos], 1)
    empty = jnp.tile(jnp.array(EMPTY_SLOT_POSE), (len(subset), 1))
    still = jnp.zeros((len(subset), 1))
    return ActiveState(
        _take(subset, tables.positions, physics.qpos, empty).T,
        _take(subset, tables.velocities, physics.qvel, still).T,
        _take(subset, tables.velocities, physics.warmstart, still).T,
    )


def scatter(
    tables: ActiveBodies,
    subset: jax.Array,
    physics: PhysicsState,
    state: ActiveState,
    xpos: jax.Array,
    xquat: jax.Array,
) -> PhysicsState:
    """Return the batch with the state of its subsets; other bodies stay as they are.

    Args:
      tables: of the scene.
      subset: int32 [B].
      physics: the batch before.
      state: of the subsets, after.
      xpos: [3, C, B] m, of the subsets' bodies.
      xquat: [4, C, B] wxyz.

    Returns:
      The batch after.
    """
    chex.assert_shape([xpos, xquat], [(3, tables.size, None), (4, tables.size, None)])
    inactive = physics.qpos[:, tables.poses]  # [B, M, 7]
    velocities = tables.velocities_back
    return dataclasses.replace(
        physics,
        qpos=_take(subset, tables.positions_back, state.qpos.T, physics.qpos),
        qvel=_take(subset, velocities, state.qvel.T, physics.qvel),
        warmstart=_take(subset, velocities, state.warmstart.T, physics.warmstart),
        xpos=_take(subset, tables.bodies, xpos.T, inactive[..., :3]),
        xquat=_take(subset, tables.bodies, xquat.T, inactive[..., 3:]),
    )


def body_subsets(tables: ActiveBodies) -> list[BodySubset]:
    """Return the subsets in the form that the contact tables are built from."""
    slots = tables.slot_objects.shape[1]
    rows = zip(tables.present, tables.bodies, tables.velocities)
    return [
        BodySubset(np.where(there, bodies, 0), there, dofs, tables.size, slots)
        for there, bodies, dofs in rows
    ]


def select_last(subset: jax.Array, table: np.ndarray) -> Array:
    """Return rows of a table of slots, the batch last.

    Args:
      subset: int32 [B].
      table: [..., P, S].

    Returns:
      [..., S, B], or NumPy's [..., S, 1] where P is 1.
    """
    if table.shape[-2] == 1:
        return table[..., 0, :, None].astype(np.float32)
    return jnp.asarray(table, jnp.float32)[..., subset, :].swapaxes(-1, -2)


def _take(
    subset: jax.Array, rows: np.ndarray, values: jax.Array, beyond: jax.Array
) -> jax.Array:
    """Entries `rows` [P, n] of `values` [B, m, ...] with `beyond` [B, k, ...] after."""
    every = jnp.concatenate([values, beyond], axis=1)
    index = select_rows(subset, rows)
    index = index.reshape(index.shape + (1,) * (every.ndim - 2))
    return jnp.take_along_axis(every, index, axis=1, mode="clip")


def _task_bodies(scene: Scene, task: Task) -> tuple[tuple[str, ...], frozenset[str]]:
    """The objects of a task and the scene's extras, and the bodies that it lacks."""
    objects = (*(start.name for start in task.objects), *scene.extras)
    fixtures = {start.name for start in task.fixtures if start.ranges}
    tables = {name for name in scene.assets.arenas if ARENAS[name].table}
    absent = set(scene.assets.objects).difference(objects)
    absent |= set(scene.assets.fixtures) - fixtures
    absent |= {table_body(name) for name in tables - {task.arena}}
    return objects, frozenset(absent)


def _jointed(scene: Scene) -> Jointed:
    """All rows of the scene but the objects'."""
    model = scene.model
    sizes = (1, FREE_QPOS, FREE_DOFS)
    masks = [np.ones(count, bool) for count in (model.nbody, model.nq, model.nv)]
    for name in scene.assets.objects:
        starts = (scene.bodies[name], *scene.joints[f"{name}_joint0"])
        for mask, start, size in zip(masks, starts, sizes):
            mask[start : start + size] = False
    return Jointed(*(np.flatnonzero(mask) for mask in masks))


def _inverse(rows: np.ndarray, count: int) -> np.ndarray:
    """int [P, count]: where in its subset each entry is; beyond, where it is not."""
    back = np.tile(rows.shape[1] + np.arange(count), (len(rows), 1))
    for subset, row in enumerate(rows):
        there = row < count
        back[subset, row[there]] = np.flatnonzero(there)
    return back
