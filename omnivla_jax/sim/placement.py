"""Samples initial states as LIBERO's placement sampler does.

Axes: M movables, F posed bodies, J fixture joints, K tries, R rectangles; lengths in m.
One environment at a time; `sample` maps over the batch.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from omnivla_jax.sim import panda, rotation
from omnivla_jax.sim.layout import Layout, Movables, layout
from omnivla_jax.sim.rotation import Array
from omnivla_jax.sim.scene import Scene

ARM_NOISE = 0.02  # rad, standard deviation of the recorded initial states
NO_OBSTACLE = -1.0
TRIES = 16  # candidates per object for a place that overlaps no other


class _Around(NamedTuple):
    """What stands before the movables are placed."""

    position: jax.Array  # [F, 3]
    quaternion: jax.Array  # [F, 4]
    radius: jax.Array  # [F]
    joints: jax.Array  # [J]


class _Obstacles(NamedTuple):
    """Everything that later objects keep clear of; a negative radius is nothing."""

    xy: jax.Array  # [M + F, 2]
    radius: jax.Array  # [M + F]


def sample(
    scene: Scene, task: jax.Array, keys: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Initial `qpos` [B, nq], posed bodies' positions [B, F, 3], quaternions [B, F, 4].

    Args:
      scene: the static tables.
      task: int32 [B], rows of the suite's task table.
      keys: typed keys [B]; consumed.
    """
    return jax.vmap(functools.partial(_sample_one, scene))(task, keys)


def centers(scene: Scene, task: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Where posed bodies stand on average: [B, F, 3] and quaternions [B, F, 4]."""
    posed = _row(layout(scene).posed, task)
    middle = (posed.low + posed.high) / 2
    return middle, _turned(posed.quaternion, posed.yaw.mean(-1))


def park(scene: Scene, task: jax.Array, qpos: jax.Array) -> tuple[jax.Array, jax.Array]:
    """`qpos` [B, nq] with absent movables at their parking, and where: bool [B, nq]."""
    tables = layout(scene)
    absent = np.zeros((scene.num_tasks, scene.model.nq), bool)
    parked = np.zeros(scene.model.nq, np.float32)
    for index, name in enumerate(scene.stock.movables):
        start = scene.joints[f"{name}_joint0"][0]
        absent[:, start : start + 7] = ~tables.movables.present[:, index, None]
        parked[start : start + 7] = tables.parked[index]
    gone = jnp.asarray(absent)[task]
    return jnp.where(gone, jnp.asarray(parked), qpos), gone


def _sample_one(
    scene: Scene, task: jax.Array, key: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    tables: Layout = layout(scene)
    movables = _row(tables.movables, task, shared=("orientation", "yaw", "radius"))
    posed = _row(tables.posed, task)
    joint_low, joint_high = (
        jnp.asarray(end)[task] for end in (tables.joint_low, tables.joint_high)
    )
    arm_key, posed_key, yaw_key, joint_key, key = jax.random.split(key, 5)
    arm = jnp.asarray(panda.HOME) + ARM_NOISE * jax.random.normal(
        arm_key, (panda.NUM_JOINTS,)
    )
    position = _between(posed_key, posed.low, posed.high)
    yaws = _between(yaw_key, posed.yaw[:, 0], posed.yaw[:, 1])
    quaternion = _turned(posed.quaternion, yaws)
    joints = _between(joint_key, joint_low, joint_high)
    around = _Around(position, quaternion, posed.radius, joints)
    poses = _movables(movables, around, key)
    poses = jnp.where(movables.present[:, None], poses, jnp.asarray(tables.parked))
    drawn = [arm, jnp.asarray(panda.FINGERS_AT_RESET), poses.ravel(), joints]
    qpos = jnp.concatenate([part.astype(jnp.float32) for part in drawn])
    return qpos[_qpos_order(scene)], position, quaternion


def _qpos_order(scene: Scene) -> np.ndarray:
    """int [nq]: where in (arm, fingers, movables, fixture joints) each entry is."""
    order = np.arange(scene.model.nq)
    first = panda.NUM_JOINTS + len(panda.FINGERS_AT_RESET)
    for index, name in enumerate(scene.stock.movables):
        start = scene.joints[f"{name}_joint0"][0]
        order[start : start + 7] = first + 7 * index + np.arange(7)
    first += 7 * len(scene.stock.movables)
    for index, name in enumerate(layout(scene).joint_names):
        order[scene.joints[name][0]] = first + index
    return order


def _movables(rows: Movables, around: _Around, key: jax.Array) -> jax.Array:
    """Poses [M, 7]: first what stands on the workspace or a fixture, then the rest."""
    count = rows.present.shape[0]
    on_object = (rows.reference >= 0) & (rows.reference < count)
    obstacles = rows.present & ~on_object
    spot_key, yaw_key = jax.random.split(key)

    def place(
        taken: _Obstacles, row: tuple[jax.Array, Movables, jax.Array, jax.Array]
    ) -> tuple[_Obstacles, jax.Array]:
        index, movable, is_obstacle, own_key = row
        base = _base(movable, count, around)
        origin = base + _clear_spot(movable, base, taken, own_key)
        radius = jnp.where(is_obstacle, movable.radius, NO_OBSTACLE)
        return (
            _Obstacles(
                taken.xy.at[index].set(origin[:2]), taken.radius.at[index].set(radius)
            ),
            origin,
        )

    free = jnp.full(count, NO_OBSTACLE)
    fixed = _Obstacles(
        jnp.concatenate([jnp.zeros((count, 2)), around.position[:, :2]]),
        jnp.concatenate([free, around.radius]),
    )
    keys = jax.random.split(spot_key, count)
    _, stood = jax.lax.scan(place, fixed, (jnp.arange(count), rows, obstacles, keys))
    below = jnp.clip(rows.reference, 0, count - 1)
    on_top = stood[below].at[:, 2].add(rows.z)
    stood = jnp.where(on_object[:, None], on_top, stood)
    yaw = _between(yaw_key, rows.yaw[:, 0], rows.yaw[:, 1])
    return jnp.concatenate([stood, _turned(rows.orientation, yaw)], axis=-1)


def _base(movable: Movables, count: int, around: _Around) -> jax.Array:
    """The point [3] from which an object's rectangle is measured."""
    fixture = jnp.maximum(movable.reference - count, 0)
    moved = movable.offset
    if around.joints.shape[0]:
        joint = jnp.maximum(movable.slide_joint, 0)
        drawn = jnp.where(movable.slide_joint >= 0, around.joints[joint], 0.0)
        moved = moved + movable.slide_axis * drawn
    turned = rotation.rotate(around.quaternion[fixture], moved, jnp)
    spot = jnp.where(movable.reference >= count, around.position[fixture] + turned, 0.0)
    return spot.at[2].add(movable.z)


def _clear_spot(
    movable: Movables, base: jax.Array, taken: _Obstacles, key: jax.Array
) -> jax.Array:
    """A displacement [3] in the rectangle that keeps clear of what is placed."""
    which_key, key = jax.random.split(key)
    which = jax.random.randint(which_key, (TRIES,), 0, movable.choices)
    corners = movable.rectangles[which]  # [K, 4]
    spots = _between(key, corners[:, :2], corners[:, 2:])
    gaps = jnp.linalg.norm(base[:2] + spots[:, None] - taken.xy, axis=-1)
    clear = (gaps > taken.radius + movable.radius) | (taken.radius < 0)
    first = jnp.argmax(jnp.all(clear, axis=-1))
    return jnp.append(spots[first], 0.0)


def _row(table: Any, task: jax.Array, shared: tuple[str, ...] = ()) -> Any:
    """The rows of `task` of every column; the shared ones have no task axis."""
    return type(table)(
        *(
            jnp.asarray(column) if name in shared else jnp.asarray(column)[task]
            for name, column in zip(table._fields, table)
        )
    )


def _between(key: jax.Array, low: Array, high: Array) -> jax.Array:
    return low + (high - low) * jax.random.uniform(key, low.shape)


def _turned(quaternion: Array, yaw: Array) -> jax.Array:
    """`quaternion` [..., 4] turned by `yaw` [...] about the vertical."""
    zero = jnp.zeros_like(yaw)
    turn = jnp.stack([jnp.cos(yaw / 2), zero, zero, jnp.sin(yaw / 2)], axis=-1)
    return rotation.multiply(turn, quaternion, jnp)
