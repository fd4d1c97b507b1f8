"""Which part of a mixed scene each task plays with: what MJX steps of it.

A scene that mixes tasks holds many objects, each of its tasks a few. MJX steps a play:
the robot, the fixtures' joints and as many slots for objects as the fullest task
needs. Tasks that need the same things share a play; what a play lacks stays as it is.
Axes: B environments, T tasks of the suite, P plays, M objects, S slots; nq, nv and N
positions, degrees of freedom and bodies of the scene, Q, V and C of a play, J of which
are the robot's and the fixtures', before those of the slots.
"""

import dataclasses
import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from omnivla_jax.sim.assets.arenas import ARENAS, table_body
from omnivla_jax.sim.engines.mjx.contact.candidates import BodySubset, of
from omnivla_jax.sim.libero.tasks import Task
from omnivla_jax.sim.state import PhysicsState, Scene

POSE, FREE = 7, 6  # entries of qpos and of qvel of a free body
NOWHERE = (0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0)  # the pose in an empty slot


class Jointed(NamedTuple):
    """What the scene has beside objects."""

    bodies: np.ndarray  # int [J]: of N
    positions: np.ndarray  # int [J]: of nq
    velocities: np.ndarray  # int [J]: of nv


class ActiveBodies(NamedTuple):
    """Where each play's parts are in the scene, and the other way round."""

    of_task: np.ndarray  # int [T]
    jointed: Jointed
    movable: np.ndarray  # int [P, S]: of the scene's; M in an empty slot
    present: np.ndarray  # bool [P, N]: which bodies take part
    positions: np.ndarray  # int [P, Q]: of nq, beyond which lies NOWHERE
    velocities: np.ndarray  # int [P, V]: of nv, beyond which lies 0
    bodies: np.ndarray  # int [P, N]: of C, beyond which lie the poses in qpos [M]
    positions_back: np.ndarray  # int [P, nq]: of Q, beyond which lies the scene's qpos
    velocities_back: np.ndarray  # int [P, nv]: of V, beyond which lies the scene's
    poses: np.ndarray  # int [M, 7]: of nq, each movable's pose


@functools.lru_cache(maxsize=8)
def plays(scene: Scene) -> ActiveBodies:
    """The plays of `scene`; tasks that it does not hold get the first."""
    body_subsets = {row: _cast(scene, scene.tasks[row]) for row in scene.task_ids}
    kinds = list(dict.fromkeys(body_subsets.values()))
    names, jointed = tuple(scene.assets.objects), _jointed(scene)
    slots = max([1, *(len(objects) for objects, _ in kinds)])
    movable = np.full((len(kinds), slots), len(names))
    present = np.ones((len(kinds), scene.model.nbody), bool)
    for play, (objects, absent) in enumerate(kinds):
        movable[play, : len(objects)] = [names.index(name) for name in objects]
        present[play, [scene.bodies[name] for name in absent]] = False
        present[play] &= present[play, scene.model.body_rootid]
    positions = _rows(scene, jointed.positions, movable, POSE)
    velocities = _rows(scene, jointed.velocities, movable, FREE)
    return ActiveBodies(
        of_task=np.array(
            [
                kinds.index(body_subsets.get(row, kinds[0]))
                for row in range(scene.num_tasks)
            ]
        ),
        jointed=jointed,
        movable=movable,
        present=present,
        positions=positions,
        velocities=velocities,
        bodies=_bodies(scene, jointed, movable),
        positions_back=_inverse(positions, scene.model.nq),
        velocities_back=_inverse(velocities, scene.model.nv),
        poses=np.array(
            [scene.joints[f"{name}_joint0"][0] + np.arange(POSE) for name in names], int
        ).reshape(-1, POSE),
    )


class State(NamedTuple):
    """What a play changes from substep to substep."""

    qpos: jax.Array  # [B, Q]
    qvel: jax.Array  # [B, V]
    warmstart: jax.Array  # [B, V]


def enter(tables: ActiveBodies, play: jax.Array, physics: PhysicsState) -> State:
    """The state of plays [B] in a batch."""
    nowhere = jnp.tile(jnp.array(NOWHERE), (len(play), 1))
    still = jnp.zeros((len(play), 1))
    return State(
        _gather(play, tables.positions, physics.qpos, nowhere),
        _gather(play, tables.velocities, physics.qvel, still),
        _gather(play, tables.velocities, physics.warmstart, still),
    )


def leave(
    tables: ActiveBodies,
    play: jax.Array,
    physics: PhysicsState,
    state: State,
    xpos: jax.Array,
    xquat: jax.Array,
) -> PhysicsState:
    """The batch after its plays came to `state`, their bodies to `xpos`, `xquat`.

    Args:
      tables: of the scene.
      play: int32 [B].
      physics: the batch before.
      state: of the plays.
      xpos: [B, C, 3].
      xquat: [B, C, 4].
    """
    parked = physics.qpos[:, tables.poses]  # [B, M, 7]
    velocities = tables.velocities_back
    return dataclasses.replace(
        physics,
        qpos=_gather(play, tables.positions_back, state.qpos, physics.qpos),
        qvel=_gather(play, velocities, state.qvel, physics.qvel),
        warmstart=_gather(play, velocities, state.warmstart, physics.warmstart),
        xpos=_gather(play, tables.bodies, xpos, parked[..., :3]),
        xquat=_gather(play, tables.bodies, xquat, parked[..., 3:]),
    )


def body_subsets(tables: ActiveBodies) -> list[BodySubset]:
    """The plays as the contact search wants them."""
    slots = tables.movable.shape[1]
    size = len(tables.jointed.bodies) + slots
    return [
        BodySubset(np.where(there, bodies, 0), there, dofs, size, slots)
        for there, bodies, dofs in zip(tables.present, tables.bodies, tables.velocities)
    ]


def _gather(
    play: jax.Array, rows: np.ndarray, values: jax.Array, beyond: jax.Array
) -> jax.Array:
    """Entries `rows` [P, n] of `values` [B, m, ...] with `beyond` [B, k, ...] after."""
    every = jnp.concatenate([values, beyond], axis=1)
    index = of(play, rows)
    index = index.reshape(index.shape + (1,) * (every.ndim - 2))
    return jnp.take_along_axis(every, index, axis=1, mode="clip")


def _cast(scene: Scene, task: Task) -> tuple[tuple[str, ...], frozenset[str]]:
    """The objects of a task, and the bodies that it lacks."""
    objects = tuple(start.name for start in task.objects)
    fixtures = {start.name for start in task.fixtures if start.ranges}
    tables = {name for name in scene.assets.arenas if ARENAS[name].table}
    absent = set(scene.assets.objects).difference(objects)
    absent |= set(scene.assets.fixtures) - fixtures
    absent |= {table_body(name) for name in tables - {task.arena}}
    return objects, frozenset(absent)


def _jointed(scene: Scene) -> Jointed:
    model = scene.model
    bodies, positions, velocities = range(model.nbody), range(model.nq), range(model.nv)
    gone: tuple[set[int], ...] = (set(), set(), set())
    for name in scene.assets.objects:
        starts = (scene.bodies[name], *scene.joints[f"{name}_joint0"])
        for taken, start, size in zip(gone, starts, (1, POSE, FREE)):
            taken.update(range(start, start + size))
    every = zip((bodies, positions, velocities), gone)
    return Jointed(*(np.array([k for k in one if k not in out]) for one, out in every))


def _rows(
    scene: Scene, jointed: np.ndarray, movable: np.ndarray, size: int
) -> np.ndarray:
    """int [P, Q] or [P, V]: what the state of a play is made of."""
    column, beyond = (0, scene.model.nq) if size == POSE else (1, scene.model.nv)
    starts = [scene.joints[f"{name}_joint0"][column] for name in scene.assets.objects]
    first = np.array([*starts, beyond])[movable]
    slots = (first[:, :, None] + np.arange(size)).reshape(len(movable), -1)
    if size == FREE:
        slots = np.minimum(slots, beyond)
    return np.concatenate([np.tile(jointed, (len(movable), 1)), slots], axis=1)


def _inverse(rows: np.ndarray, count: int) -> np.ndarray:
    """int [P, count]: where in its play each entry is; beyond, where it is not."""
    back = np.tile(rows.shape[1] + np.arange(count), (len(rows), 1))
    for play, row in enumerate(rows):
        there = row < count
        back[play, row[there]] = np.flatnonzero(there)
    return back


def _bodies(scene: Scene, jointed: Jointed, movable: np.ndarray) -> np.ndarray:
    count, slots = len(jointed.bodies), movable.shape[1]
    table = np.zeros((len(movable), scene.model.nbody), int)
    table[:, jointed.bodies] = np.arange(count)
    for row, name in enumerate(scene.assets.objects):
        slot = np.where(movable == row, np.arange(slots), slots + row).min(axis=1)
        table[:, scene.bodies[name]] = count + slot
    return table
