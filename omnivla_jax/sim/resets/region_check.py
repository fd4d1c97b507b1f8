"""Refuses tasks whose objects never find a place without overlap.

Draws layouts with NumPy as `region_sampler` does with JAX, so that making a scene
compiles nothing; a task that fits passes in the first draws.

Axes: N layouts drawn together, M objects, F posed bodies, J fixture joints, K tries.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from omnivla_jax.sim import rotation
from omnivla_jax.sim.libero.tasks import Task
from omnivla_jax.sim.resets import region_sampler
from omnivla_jax.sim.resets.region_tables import (
    SHARED,
    Layout,
    ObjectTable,
    PosedBodyTable,
    layout,
)
from omnivla_jax.sim.state import Scene

LAYOUTS = 4096  # drawn before a task is refused
_TOGETHER = 64  # N
_SEED = 0


class _Drawn(NamedTuple):
    """What stands where in N layouts; a negative radius is no obstacle."""

    xy: np.ndarray  # [N, M + F, 2]
    extent: np.ndarray  # [N, M + F, 2]: from the lowest to the highest z
    radius: np.ndarray  # [M + F]
    joints: np.ndarray  # [N, J]
    position: np.ndarray  # [N, F, 3]
    quaternion: np.ndarray  # [N, F, 4]


def check(scene: Scene) -> None:
    """Refuse a scene with tasks in which some object never finds a free place.

    Raises:
      ValueError: naming the files, objects and regions.
    """
    messages = infeasible_tasks(scene)
    if messages:
        raise ValueError(" ".join(messages.values()))


def infeasible_tasks(scene: Scene) -> dict[int, str]:
    """What is wrong with each task that never fits, by its row."""
    messages = {}
    for row in scene.task_ids:
        task = scene.tasks[row]
        message = _shared_top(task) or _no_room(scene, row)
        if message:
            messages[row] = f"{_file(scene, task)}: {message}"
    return messages


def _shared_top(task: Task) -> str:
    """The message about two objects that start at one point on a third, or ""."""
    names = {start.name for start in task.objects}
    held: dict[str, str] = {}
    for start in task.objects:
        if start.ranges or start.reference not in names:
            continue
        if start.reference in held:
            return (
                f"{held[start.reference]} and {start.name} both start on "
                f"{start.reference}, at its one place: start one of them elsewhere."
            )
        held[start.reference] = start.name
    return ""


def _no_room(scene: Scene, row: int) -> str:
    """The message about objects without a free place in all layouts, or ""."""
    tables = layout(scene)
    shared = {name: getattr(tables.objects, name) for name in SHARED}
    columns = zip(ObjectTable._fields, tables.objects, strict=True)
    per_task = {name: table[row] for name, table in columns if name not in SHARED}
    objects = ObjectTable(**per_task, **shared)
    rng = np.random.default_rng(_SEED)
    unplaced = np.zeros(len(objects.present), bool)
    blocking = np.zeros(len(objects.present) + len(scene.posed_bodies), bool)
    for _ in range(LAYOUTS // _TOGETHER):
        failed, blocked_by = _draw_layouts(objects, tables, row, rng)
        if not failed.any(axis=1).all():
            return ""
        unplaced |= failed.any(axis=0)
        blocking |= blocked_by
    return _describe(scene, scene.tasks[row], unplaced, blocking)


def _draw_layouts(
    objects: ObjectTable, tables: Layout, row: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """bool [N, M]: objects without a free place; bool [M + F]: what was in the way."""
    count = len(objects.present)
    drawn = _fixtures(tables, row, rng)
    failed = np.zeros((_TOGETHER, count), bool)
    blocking = np.zeros(len(drawn.radius), bool)
    on_object = (objects.reference >= 0) & (objects.reference < count)
    for index in map(int, np.flatnonzero(objects.present & ~on_object)):
        base = _base(objects, index, drawn)
        shape = (_TOGETHER, region_sampler.TRIES)
        which = rng.integers(0, objects.choices[index], shape)
        corners = objects.rectangles[index][which]  # [N, K, 4]
        spots = _between(rng, corners[..., :2], corners[..., 2:]) + base[:, None, :2]
        gaps = np.linalg.norm(spots[:, :, None] - drawn.xy[:, None], axis=-1)
        span = base[:, 2:] + objects.extent[index]
        level = (drawn.extent[..., 0] <= span[:, 1:]) & (
            drawn.extent[..., 1] >= span[:, :1]
        )
        level &= drawn.radius >= 0
        level &= np.arange(len(drawn.radius)) != objects.reference[index]
        overlaps = (gaps <= drawn.radius + objects.radius[index]) & level[:, None]
        free = ~overlaps.any(axis=-1)  # [N, K]
        failed[:, index] = ~free.any(axis=-1)
        blocking |= overlaps[failed[:, index]].any(axis=(0, 1))
        drawn.xy[:, index] = spots[np.arange(_TOGETHER), free.argmax(axis=-1)]
        drawn.extent[:, index] = span
        drawn.radius[index] = objects.radius[index]
    return failed, blocking


def _fixtures(tables: Layout, row: int, rng: np.random.Generator) -> _Drawn:
    """N layouts before any movable is placed."""
    posed_bodies = PosedBodyTable(*(column[row] for column in tables.posed_bodies))
    count, size = tables.objects.present.shape[1], (_TOGETHER, 1)
    position = _between(rng, np.tile(posed_bodies.low, (*size, 1)), posed_bodies.high)
    yaw = _between(rng, np.tile(posed_bodies.yaw[:, 0], size), posed_bodies.yaw[:, 1])
    low, high = tables.joint_low[row], tables.joint_high[row]
    unknown = np.zeros((_TOGETHER, count, 2))
    return _Drawn(
        xy=np.concatenate([unknown, position[..., :2]], axis=1),
        extent=np.concatenate(
            [unknown, position[..., 2:] + posed_bodies.extent], axis=1
        ),
        radius=np.append(
            np.full(count, region_sampler.NO_OBSTACLE), posed_bodies.radius
        ),
        joints=_between(rng, np.tile(low, size), high),
        position=position,
        quaternion=rotation.turn_about_z(posed_bodies.quaternion, yaw, np),
    )


def _base(objects: ObjectTable, index: int, drawn: _Drawn) -> np.ndarray:
    """The points [N, 3] from which an object's rectangle is measured."""
    height = np.array([0.0, 0.0, objects.z[index]])
    fixture = objects.reference[index] - len(objects.present)
    if fixture < 0:
        return np.tile(height, (_TOGETHER, 1))
    moved = np.tile(objects.offset[index], (_TOGETHER, 1))
    joint = objects.slide_joint[index]
    if joint >= 0:
        moved = moved + objects.slide_axis[index] * drawn.joints[:, joint, None]
    turned = rotation.rotate(drawn.quaternion[:, fixture], moved, np)
    return drawn.position[:, fixture] + turned + height


def _between(rng: np.random.Generator, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    return low + (high - low) * rng.random(low.shape)


def _describe(
    scene: Scene, task: Task, unplaced: np.ndarray, blocking: np.ndarray
) -> str:
    inits = {init.name: init for init in task.objects}
    names = (*scene.assets.objects, *scene.posed_bodies)
    unplaced_names = [names[index] for index in np.flatnonzero(unplaced)]
    others = [
        names[i] for i in np.flatnonzero(blocking) if names[i] not in unplaced_names
    ]
    # A region is named as its file writes it.
    regions = dict.fromkeys(
        init.region if init.ranges else f"{init.reference}_{init.region}"
        for init in (inits[name] for name in unplaced_names)
    )
    beside = f" beside {', '.join(others)}" if others else ""
    return (
        f"no room for {', '.join(unplaced_names)} in {', '.join(regions)}{beside}: "
        f"none of {LAYOUTS} random layouts kept them apart; widen the :ranges or start "
        "some of them elsewhere."
    )


def _file(scene: Scene, task: Task) -> str:
    """The task's file, or its name where the suite is one of LIBERO's."""
    given = Path(scene.suite.name).expanduser()
    inside = given / f"{task.name}.bddl"
    paths = [path for path in (given, inside) if path.is_file()]
    return str(paths[0]) if paths else f"{scene.suite.name}, task {task.name!r}"
