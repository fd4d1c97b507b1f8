"""Where everything of a scene starts in each of its tasks, as tables for the sampler.

Source: LIBERO, `libero/envs/regions` and `bddl_base_domain.py`.
Axes: T tasks of the suite, M objects, F posed bodies, J joints of fixtures,
R rectangles; lengths in m, angles in rad.
"""

import functools
from typing import Any, NamedTuple

import numpy as np

from omnivla_jax.sim.assets import primitives
from omnivla_jax.sim.assets.arenas import (
    ARENAS,
    BASE_BODY,
    CAMERA_BODY,
    Arena,
    table_body,
)
from omnivla_jax.sim.assets.category import UPRIGHT, Quaternion, Vector
from omnivla_jax.sim.assets.objects import CATEGORIES
from omnivla_jax.sim.libero.tasks import ObjectInit, Task
from omnivla_jax.sim.state import Scene, goal_joints

DROP = 0.01  # m above the resting height of the sampler's bottom site
INACTIVE_X, INACTIVE_Z, SPACING = 20.0, 3.0, 1.0  # where what a task lacks waits


class ObjectTable(NamedTuple):
    """How each object starts in each task."""

    present: np.ndarray  # bool [T, M]
    rectangles: np.ndarray  # [T, M, R, 4], absolute; repeated rows fill R
    choices: np.ndarray  # int [T, M]: how many of R are real
    z: np.ndarray  # [T, M], absolute or above the reference's origin
    reference: np.ndarray  # int [T, M]: M of an object, M + F of a posed body, or -1
    offset: np.ndarray  # [T, M, 3] in the reference's frame
    slide_joint: np.ndarray  # int [T, M]: the joint J that carries the offset, or -1
    slide_axis: np.ndarray  # [T, M, 3] in the reference's frame
    spacing: np.ndarray  # [T, M, M + F]: between the shapes' circles, see `_spacing`
    orientation: np.ndarray  # [M, 4]
    yaw: np.ndarray  # [M, 2]
    radius: np.ndarray  # [M]
    extent: np.ndarray  # [M, 2]: from the bottom to the top, above the origin


SHARED = ("orientation", "yaw", "radius", "extent")  # by all tasks


class PosedBodyTable(NamedTuple):
    """How each posed body starts in each task."""

    low: np.ndarray  # [T, F, 3]
    high: np.ndarray  # [T, F, 3]
    quaternion: np.ndarray  # [T, F, 4], before the yaw
    yaw: np.ndarray  # [T, F, 2]
    radius: np.ndarray  # [T, F]; -1 where a body is no obstacle to the sampler
    extent: np.ndarray  # [T, F, 2]: from the bottom to the top, above the origin


class Layout(NamedTuple):
    """All tables of a scene."""

    objects: ObjectTable
    posed_bodies: PosedBodyTable
    joint_names: tuple[str, ...]  # J
    joint_low: np.ndarray  # [T, J]
    joint_high: np.ndarray  # [T, J]
    inactive_pose: np.ndarray  # [M, 7]: the pose of an absent movable


@functools.lru_cache(maxsize=16)
def layout(scene: Scene) -> Layout:
    """The tables of `scene`; other tasks repeat the first it holds."""
    rows = [row if row in scene.task_ids else scene.task_ids[0] for row in _all(scene)]
    tasks = [scene.tasks[row] for row in rows]
    names = _joint_names(scene)
    joints = np.array([_joint_ranges(scene, task, names) for task in tasks])
    joints = joints.reshape(len(tasks), len(names), 2)
    return Layout(
        objects=_movables(scene, tasks, names),
        posed_bodies=_posed(scene, tasks),
        joint_names=names,
        joint_low=joints[..., 0],
        joint_high=joints[..., 1],
        inactive_pose=np.array(
            [
                (INACTIVE_X + SPACING * m, INACTIVE_X, INACTIVE_Z, *UPRIGHT)
                for m in range(len(scene.assets.objects))
            ]
        ),
    )


def _all(scene: Scene) -> range:
    return range(scene.num_tasks)


def _joint_names(scene: Scene) -> tuple[str, ...]:
    return tuple(
        f"{name}_{part.name}"
        for name, category in scene.assets.fixtures.items()
        for part in CATEGORIES[category].parts
        if part.joint
    )


def _joint_ranges(
    scene: Scene, task: Task, names: tuple[str, ...]
) -> list[tuple[float, float]]:
    ranges = {name: (0.0, 0.0) for name in names}
    for row in task.joints:
        for joint in goal_joints(scene, row):
            fixture = next(f for f in scene.assets.fixtures if joint.startswith(f))
            words = CATEGORIES[scene.assets.fixtures[fixture]].articulation
            low_high = getattr(words, row.predicate)
            assert low_high is not None, f"{fixture} cannot start {row.predicate!r}"
            ranges[joint] = low_high
    return [ranges[name] for name in names]


class _ObjectRow(NamedTuple):
    """How one object starts in one task: a cell of the columns of `ObjectTable`."""

    present: bool
    rectangles: np.ndarray
    choices: int
    z: float = 0.0
    reference: int = -1
    offset: Vector = (0.0, 0.0, 0.0)
    slide_joint: int = -1
    slide_axis: Vector = (0.0, 0.0, 0.0)


def _movables(scene: Scene, tasks: list[Task], joints: tuple[str, ...]) -> ObjectTable:
    most = max((len(s.ranges) for task in tasks for s in task.objects), default=1)
    rows = [
        [_row(scene, task, name, joints, max(most, 1)) for name in scene.assets.objects]
        for task in tasks
    ]
    categories = tuple(scene.assets.objects.values())
    turns = [CATEGORIES[category].init_rotation for category in categories]
    columns = {name: _column(rows, i) for i, name in enumerate(_ObjectRow._fields)}
    return ObjectTable(
        **columns,
        spacing=np.array([_spacing(scene, cells) for cells in rows]),
        orientation=np.array([turn for turn, _ in turns]),
        yaw=np.array([yaw for _, yaw in turns]),
        radius=np.array([CATEGORIES[category].radius for category in categories]),
        extent=np.array(
            [(CATEGORIES[name].bottom, CATEGORIES[name].top) for name in categories]
        ).reshape(-1, 2),
    )


def _column(rows: list[list[Any]], index: int) -> np.ndarray:
    return np.array([[row[index] for row in task] for task in rows])


def _row(
    scene: Scene, task: Task, name: str, joints: tuple[str, ...], most: int
) -> _ObjectRow:
    inits = {start.name: start for start in task.objects}
    if name not in inits:
        return _ObjectRow(False, np.zeros((most, 4)), 1)
    start, arena = inits[name], ARENAS[task.arena]
    category = CATEGORIES[start.category]
    if start.ranges:
        rectangles = _rectangles(start, arena, category.radius, most)
        z = arena.offset[2] + DROP - category.bottom
        return _ObjectRow(True, rectangles, len(start.ranges), z)
    placement = _reference_placement(scene, start, joints)
    return _ObjectRow(
        True,
        np.tile(placement.rectangle, (most, 1)),
        1,
        placement.z - category.bottom,
        placement.reference,
        placement.offset,
        placement.joint,
        placement.axis,
    )


def _spacing(scene: Scene, cells: list[_ObjectRow]) -> np.ndarray:
    """[M, M + F]: how far apart objects whose rectangles overlap had better start.

    LIBERO's radii are smaller than its shapes, which does no harm where every object
    has a rectangle of its own, as in its forty tasks: elsewhere this is -1.
    """
    radii = [_shape_radius(category) for category in scene.assets.objects.values()]
    table = np.full((len(cells), len(cells) + len(scene.posed_bodies)), -1.0)
    for one, first in enumerate(cells):
        for other, second in enumerate(cells):
            if one != other and _overlap(first, second):
                table[one, other] = radii[one] + radii[other]
    return table


def _overlap(first: _ObjectRow, second: _ObjectRow) -> bool:
    """Whether two objects start in rectangles of one frame that meet."""
    if not (first.present and second.present) or first.reference != second.reference:
        return False
    if first.offset != second.offset:
        return False
    low, high = (
        np.array([end(row.rectangles[:, :2], row.rectangles[:, 2:]) for row in pair])
        for end, pair in ((np.minimum, (first, second)), (np.maximum, (first, second)))
    )  # [2, R, 2]: a shrunken rectangle may have turned inside out
    meets = (low[0][:, None] <= high[1]) & (low[1] <= high[0][:, None])
    return bool(meets.all(axis=-1).any())


def _shape_radius(category: str) -> float:
    """Of the circle about the origin that holds the boxes of an object at its start."""
    kind = CATEGORIES[category]
    corners = primitives.corners(kind.parts[0].collision, kind.init_rotation.quaternion)
    return float(np.linalg.norm(corners[:, :2], axis=-1).max())


class _ReferencePlacement(NamedTuple):
    """Where on or in a reference something starts."""

    reference: int
    rectangle: tuple[float, float, float, float]
    z: float  # above the reference's origin
    offset: Vector
    joint: int
    axis: Vector


def _reference_placement(
    scene: Scene, start: ObjectInit, joints: tuple[str, ...]
) -> _ReferencePlacement:
    """LIBERO's ObjectBasedSampler, SiteRegionRandomSampler or InSite...Sampler."""
    objects, instances = tuple(scene.assets.objects), scene.assets
    if start.reference in objects:
        top = CATEGORIES[instances.objects[start.reference]].top
        index = objects.index(start.reference)
        return _ReferencePlacement(
            index, (0, 0, 0, 0), top + DROP, (0, 0, 0), -1, (0, 0, 0)
        )
    category = CATEGORIES[instances.fixtures[start.reference]]
    part = next(part for part in category.parts if start.region in part.regions)
    site = part.regions[start.region]
    radius = CATEGORIES[start.category].radius
    on = start.relation == "on"
    half_x, half_y = ((h / 2 - radius) * on for h in site.half_size[:2])
    x, y, z = np.add(part.position, site.position)
    moves = part.joint is not None and part.joint.kind == "slide"
    return _ReferencePlacement(
        reference=len(objects) + scene.posed_bodies.index(start.reference),
        rectangle=(-half_x, -half_y, half_x, half_y),
        z=float(z) + category.top * on,
        offset=(float(x), float(y), 0.0),
        joint=joints.index(f"{start.reference}_{part.name}") if moves else -1,
        axis=part.joint.axis if part.joint and moves else (0.0, 0.0, 0.0),
    )


def _rectangles(
    start: ObjectInit, arena: Arena, radius: float, most: int
) -> np.ndarray:
    # Where LIBERO shrinks, a rectangle smaller than the object turns inside out, and
    # its uniform sampler then draws between the swapped ends.
    inset = radius if arena.shrinks else 0.0
    x, y, _ = arena.offset
    shift = np.array([x + inset, y + inset, x - inset, y - inset])
    rows = [np.array(row) + shift for row in start.ranges]
    return np.array((rows * most)[:most])


def _posed(scene: Scene, tasks: list[Task]) -> PosedBodyTable:
    rows = [
        [_posed_body(scene, task, name) for name in scene.posed_bodies]
        for task in tasks
    ]

    return PosedBodyTable(
        *(_column(rows, index) for index in range(len(PosedBodyTable._fields)))
    )


def _posed_body(
    scene: Scene, task: Task, name: str
) -> tuple[Vector, Vector, Quaternion, tuple[float, float], float, tuple[float, float]]:
    arena, still = ARENAS[task.arena], (0.0, 0.0)
    fixed: dict[str, tuple[Vector, Quaternion]] = {
        BASE_BODY: (arena.robot_base, UPRIGHT),
        CAMERA_BODY: (arena.camera_position, arena.camera_quaternion),
        table_body(task.arena): ((0.0, 0.0, 0.0), UPRIGHT),
    }
    if name in fixed:
        position, quaternion = fixed[name]
        return position, position, quaternion, still, -1.0, still
    start = next((row for row in task.fixtures if row.name == name), None)
    if start is None or not start.ranges:
        away = -INACTIVE_X - 4 * SPACING * scene.posed_bodies.index(name)
        inactive_pose = (away, INACTIVE_X, -INACTIVE_X)
        return inactive_pose, inactive_pose, UPRIGHT, still, -1.0, still
    category = CATEGORIES[start.category]
    x0, y0, x1, y1 = start.ranges[0]
    x, y, z = arena.offset
    if category.pinned:
        z = arena.surface_z - category.bottom
    else:
        z += arena.fixture_lift - category.bottom
    low, high = (x0 + x, y0 + y, z), (x1 + x, y1 + y, z)
    extent = (category.bottom, category.top)
    return low, high, UPRIGHT, start.yaw, category.radius, extent
