"""Samples initial states as LIBERO's placement sampler does; lengths in m.

An object goes to the first of a few candidates that overlaps nothing placed before it.
Where none is free the whole layout is sampled again, as in LIBERO, up to `MAX_DRAWS`
times; what is unplaced then is counted. Objects of one rectangle, which LIBERO's tasks
do not have, are kept apart by their shapes.

Axes: B environments, M objects, F posed bodies, J fixture joints, K tries, R regions.
"""

import functools
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np

from omnivla_jax.sim import rotation
from omnivla_jax.sim.assets import panda
from omnivla_jax.sim.resets.region_tables import (
    INACTIVE_X,
    SHARED,
    Layout,
    ObjectTable,
    PosedBodyTable,
    layout,
)
from omnivla_jax.sim.rotation import Array
from omnivla_jax.sim.state import Scene, choose

ARM_NOISE = 0.02  # rad, standard deviation of the recorded initial states
NO_OBSTACLE = -1.0
TRIES = 16  # candidates per object for a place that overlaps no other
MAX_DRAWS = 256  # layouts drawn at most: as many tries per object as robosuite's 5,000
SPACIOUS_DRAWS = 32  # of them keep the shapes apart where they can
_UNPLACED = 1000  # the cost of an unplaced object, in cramped ones


class _FixedBodies(NamedTuple):
    """What stands before the objects are placed."""

    position: jax.Array  # [F, 3]
    quaternion: jax.Array  # [F, 4]
    radius: jax.Array  # [F]
    extent: jax.Array  # [F, 2]
    joints: jax.Array  # [J]


class _Obstacles(NamedTuple):
    """Everything that later objects keep clear of; a negative radius is nothing."""

    xy: jax.Array  # [M + F, 2]
    radius: jax.Array  # [M + F]
    extent: jax.Array  # [M + F, 2]: from the lowest to the highest z


class LayoutChange(NamedTuple):
    """How layouts differ from those of their tasks; zeros and False change nothing."""

    objects: jax.Array  # [B, M, 2]: moves the rectangles that are on the workspace
    fixtures: jax.Array  # [B, F, 2]: moves the regions of posed bodies
    extras: jax.Array  # bool [B, M]: of `Scene.extras`, those that stand there, too


class Sample(NamedTuple):
    """Initial states of a batch."""

    qpos: jax.Array  # float32 [B, nq]
    fixture_pos: jax.Array  # [B, F, 3]
    fixture_quat: jax.Array  # [B, F, 4]
    failures: jax.Array  # int32 [B]: objects without a free place, which are parked


class _Draw(NamedTuple):
    """What one draw gave; a cost of 0 cannot be improved."""

    sample: Sample
    cost: jax.Array  # int32 [B]


def sample(
    scene: Scene,
    task: jax.Array,
    keys: jax.Array,
    change: LayoutChange | None = None,
) -> Sample:
    """Draw initial states, each from its key alone.

    Args:
      scene: the static tables.
      task: int32 [B], rows of the suite's task table that the scene holds.
      keys: typed keys [B]; consumed.
      change: of the layouts; None: none. An extra without a free place is parked and
        is no failure.

    Returns:
      The states, and how many objects have no free place in each.
    """
    chex.assert_rank(task, 1)
    chex.assert_equal_shape([task, keys])
    draw = jax.vmap(functools.partial(_sample_one, scene), in_axes=(0, 0, None, 0))

    def going(draws: jax.Array, cost: jax.Array) -> jax.Array:
        limit = jnp.where(cost >= _UNPLACED, MAX_DRAWS, SPACIOUS_DRAWS)
        return (cost > 0) & (draws < limit)

    def redraw(carry: tuple[jax.Array, _Draw]) -> tuple[jax.Array, _Draw]:
        draws, best = carry
        folded = jax.vmap(jax.random.fold_in, in_axes=(0, None))(keys, draws)
        used = jnp.where(draws == 0, keys, folded)
        drawn = draw(task, used, draws < SPACIOUS_DRAWS, change)
        # Its own cost alone decides: a batch's other environments go on for longer.
        better = going(draws, best.cost) & (drawn.cost < best.cost)
        best = choose(better, drawn, best)
        return draws + 1, best

    # One traced copy of the sampler serves all draws: it takes long to compile.
    shapes = jax.eval_shape(draw, task, keys, True, change)
    blank = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
    worst = jnp.full(task.shape, jnp.iinfo(jnp.int32).max)
    start = (jnp.int32(0), blank._replace(cost=worst))
    _, best = jax.lax.while_loop(
        lambda carry: jnp.any(going(carry[0], carry[1].cost)), redraw, start
    )
    return best.sample


def centers(scene: Scene, task: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Where posed bodies stand on average.

    Args:
      scene: the static tables.
      task: int32 [B], rows of the suite's task table.

    Returns:
      Positions [B, F, 3] in m and quaternions [B, F, 4].
    """
    chex.assert_rank(task, 1)
    posed_bodies = _row(layout(scene).posed_bodies, task)
    middle = (posed_bodies.low + posed_bodies.high) / 2
    return middle, rotation.turn_about_z(
        posed_bodies.quaternion, posed_bodies.yaw.mean(-1), jnp
    )


def reset_inactive(
    scene: Scene, task: jax.Array, qpos: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Put the objects that a task lacks where its scene parks them.

    Args:
      scene: the static tables.
      task: int32 [B], rows of the suite's task table.
      qpos: float32 [B, nq].

    Returns:
      The new `qpos`, and which entries are those objects': bool [B, nq].
    """
    chex.assert_shape(qpos, (len(task), scene.model.nq))
    tables = layout(scene)
    absent = np.zeros((len(scene.tasks), scene.model.nq), bool)
    inactive_pose = np.zeros(scene.model.nq, np.float32)
    for index, name in enumerate(scene.assets.objects):
        start = scene.joints[f"{name}_joint0"][0]
        absent[:, start : start + 7] = ~tables.objects.present[:, index, None]
        inactive_pose[start : start + 7] = tables.inactive_pose[index]
    gone = jnp.asarray(absent)[task]
    for name in scene.extras:  # those that were placed stay where they are
        start = scene.joints[f"{name}_joint0"][0]
        inactive = qpos[:, start] > INACTIVE_X / 2
        entries = slice(start, start + 7)
        gone = gone.at[:, entries].set(gone[:, entries] & inactive[:, None])
    return jnp.where(gone, jnp.asarray(inactive_pose), qpos), gone


def _sample_one(
    scene: Scene,
    task: jax.Array,
    key: jax.Array,
    spacious: jax.Array,
    change: LayoutChange | None,
) -> _Draw:
    """One environment's draw; no leaf has the batch's axis."""
    tables: Layout = layout(scene)
    objects = _row(tables.objects, task, shared=SHARED)
    posed_bodies = _row(tables.posed_bodies, task)
    required = objects.present
    if change is not None:
        objects, posed_bodies = _changed(objects, posed_bodies, change)
    joint_low, joint_high = (
        jnp.asarray(end)[task] for end in (tables.joint_low, tables.joint_high)
    )
    arm_key, posed_key, yaw_key, joint_key, key = jax.random.split(key, 5)
    arm = jnp.asarray(panda.HOME) + ARM_NOISE * jax.random.normal(
        arm_key, (panda.NUM_JOINTS,)
    )
    position = _between(posed_key, posed_bodies.low, posed_bodies.high)
    yaws = _between(yaw_key, posed_bodies.yaw[:, 0], posed_bodies.yaw[:, 1])
    quaternion = rotation.turn_about_z(posed_bodies.quaternion, yaws, jnp)
    joints = _between(joint_key, joint_low, joint_high)
    fixed_bodies = _FixedBodies(
        position, quaternion, posed_bodies.radius, posed_bodies.extent, joints
    )
    spacing = jnp.where(spacious, objects.spacing, NO_OBSTACLE)
    objects = objects._replace(spacing=spacing)
    poses, placed, cramped = _movables(objects, fixed_bodies, key)
    stands = objects.present & placed
    poses = jnp.where(stands[:, None], poses, jnp.asarray(tables.inactive_pose))
    drawn = [arm, jnp.asarray(panda.FINGERS_AT_RESET), poses.ravel(), joints]
    qpos = jnp.concatenate([part.astype(jnp.float32) for part in drawn])
    failures = jnp.sum(required & ~placed, dtype=jnp.int32)
    drawn_state = Sample(qpos[_qpos_order(scene)], position, quaternion, failures)
    cost = _UNPLACED * failures + jnp.sum(objects.present & cramped, dtype=jnp.int32)
    return _Draw(drawn_state, cost)


def _changed(
    objects: ObjectTable, posed_bodies: PosedBodyTable, change: LayoutChange
) -> tuple[ObjectTable, PosedBodyTable]:
    """One environment's tables with other regions and more objects."""
    on_workspace = (objects.reference < 0)[:, None]
    shift = jnp.where(on_workspace, change.objects, 0.0)  # [M, 2]
    corners = jnp.tile(shift, (1, 2))[:, None]
    level = jnp.pad(change.fixtures, ((0, 0), (0, 1)))
    return (
        objects._replace(
            rectangles=objects.rectangles + corners,
            present=objects.present | change.extras,
        ),
        posed_bodies._replace(
            low=posed_bodies.low + level, high=posed_bodies.high + level
        ),
    )


def _qpos_order(scene: Scene) -> np.ndarray:
    """int [nq]: where in (arm, fingers, objects, fixture joints) each entry is."""
    order = np.arange(scene.model.nq)
    first = panda.NUM_JOINTS + len(panda.FINGERS_AT_RESET)
    for index, name in enumerate(scene.assets.objects):
        start = scene.joints[f"{name}_joint0"][0]
        order[start : start + 7] = first + 7 * index + np.arange(7)
    first += 7 * len(scene.assets.objects)
    for index, name in enumerate(layout(scene).joint_names):
        order[scene.joints[name][0]] = first + index
    return order


def _movables(
    rows: ObjectTable, fixed_bodies: _FixedBodies, key: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Poses [M, 7]: first what stands on the workspace or a fixture, then the rest.

    And bool [M] twice: whether a free place was found, by the object itself or by what
    it starts on; and whether another is closer than the spacing.
    """
    count = rows.present.shape[0]
    on_object = (rows.reference >= 0) & (rows.reference < count)
    obstacles = rows.present & ~on_object
    spot_key, yaw_key = jax.random.split(key)

    def place(
        taken: _Obstacles, row: tuple[jax.Array, ObjectTable, jax.Array, jax.Array]
    ) -> tuple[_Obstacles, tuple[jax.Array, jax.Array, jax.Array]]:
        index, movable, is_obstacle, object_key = row
        base = _base(movable, count, fixed_bodies)
        placement, free, cramped = _clear_spot(movable, base, taken, object_key)
        origin = base + placement
        radius = jnp.where(is_obstacle, movable.radius, NO_OBSTACLE)
        after = _Obstacles(
            taken.xy.at[index].set(origin[:2]),
            taken.radius.at[index].set(radius),
            taken.extent.at[index].set(origin[2] + movable.extent),
        )
        return after, (origin, free, cramped)

    nothing = jnp.full(count, NO_OBSTACLE)
    height = fixed_bodies.position[:, 2:] + fixed_bodies.extent
    fixed = _Obstacles(
        jnp.concatenate([jnp.zeros((count, 2)), fixed_bodies.position[:, :2]]),
        jnp.concatenate([nothing, fixed_bodies.radius]),
        jnp.concatenate([jnp.zeros((count, 2)), height]),
    )
    keys = jax.random.split(spot_key, count)
    scanned = (jnp.arange(count), rows, obstacles, keys)
    _, (origins, placed, cramped) = jax.lax.scan(place, fixed, scanned)
    below = jnp.clip(rows.reference, 0, count - 1)
    on_top = origins[below].at[:, 2].add(rows.z)
    origins = jnp.where(on_object[:, None], on_top, origins)
    placed = jnp.where(on_object, placed[below], placed)
    yaw = _between(yaw_key, rows.yaw[:, 0], rows.yaw[:, 1])
    turned = rotation.turn_about_z(rows.orientation, yaw, jnp)
    return jnp.concatenate([origins, turned], axis=-1), placed, cramped & ~on_object


def _base(movable: ObjectTable, count: int, fixed_bodies: _FixedBodies) -> jax.Array:
    """The point [3] from which an object's rectangle is measured."""
    fixture = jnp.maximum(movable.reference - count, 0)
    moved = movable.offset
    if fixed_bodies.joints.shape[0]:
        joint = jnp.maximum(movable.slide_joint, 0)
        drawn = jnp.where(movable.slide_joint >= 0, fixed_bodies.joints[joint], 0.0)
        moved = moved + movable.slide_axis * drawn
    turned = rotation.rotate(fixed_bodies.quaternion[fixture], moved, jnp)
    placement = jnp.where(
        movable.reference >= count, fixed_bodies.position[fixture] + turned, 0.0
    )
    return placement.at[2].add(movable.z)


def _clear_spot(
    movable: ObjectTable, base: jax.Array, taken: _Obstacles, key: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """A displacement [3] in the rectangle that keeps clear of what is placed.

    And two bools: whether it does, and whether it is closer to something than the
    spacing. Best is a candidate beyond the spacing; then one whose disc meets no other;
    then one that is above, below, on or in whatever its disc meets.
    """
    which_key, key = jax.random.split(key)
    which = jax.random.randint(which_key, (TRIES,), 0, movable.choices)
    corners = movable.rectangles[which]  # [K, 4]
    spots = _between(key, corners[:, :2], corners[:, 2:])
    gaps = jnp.linalg.norm(base[:2] + spots[:, None] - taken.xy, axis=-1)
    absent = taken.radius < 0
    clear = (gaps > taken.radius + movable.radius) | absent
    span = base[2] + movable.extent
    elsewhere = (taken.extent[:, 0] > span[1]) | (taken.extent[:, 1] < span[0])
    elsewhere |= jnp.arange(taken.radius.size) == movable.reference
    spacious = jnp.all((gaps > movable.spacing) | absent, axis=-1)
    alone = jnp.all(clear, axis=-1)
    free = jnp.all(clear | elsewhere, axis=-1)
    rank = 4 * (free & spacious & alone) + 2 * alone + free
    best = jnp.argmax(rank)  # the first of them
    return jnp.append(spots[best], 0.0), free[best], ~spacious[best]


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
