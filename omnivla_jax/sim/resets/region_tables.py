"""Tables for the region sampler: where objects and fixtures start in each task.

Source: LIBERO, `libero/envs/regions` and `bddl_base_domain.py`.
Axes: T tasks of the suite, M objects, F posed bodies, J joints of fixtures,
R rectangles; lengths in m, angles in rad.
"""

import functools
from typing import NamedTuple

import numpy as np

from omnivla_jax.sim.assets import primitives
from omnivla_jax.sim.assets.arenas import (
    ARENAS,
    BASE_BODY,
    CAMERA_BODY,
    table_body,
)
from omnivla_jax.sim.assets.category import UPRIGHT, Quaternion, Vector
from omnivla_jax.sim.assets.objects import CATEGORIES
from omnivla_jax.sim.libero.task_types import Rectangle
from omnivla_jax.sim.libero.tasks import ObjectInit, Task
from omnivla_jax.sim.state import Scene, goal_joints

DROP = 0.01  # m above the resting height of the sampler's bottom site
INACTIVE_X, INACTIVE_Z, SPACING = 20.0, 3.0, 1.0  # m: objects of other tasks
# Where a scene's extras may stand: the areas of LIBERO-Plus' added objects.
EXTRA_AREAS: dict[str, Rectangle] = {
    "tabletop": (-0.40, -0.15, 0.25, 0.40),
    "floor": (-0.30, -0.25, 0.30, 0.25),
    "kitchen": (-0.45, -0.30, 0.20, 0.30),
    "living_room": (-0.45, -0.30, 0.20, 0.30),
    "study": (-0.45, -0.30, 0.20, 0.30),
}


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
    inactive_pose: np.ndarray  # [M, 7]: the pose of an object that a task lacks


@functools.lru_cache(maxsize=16)
def layout(scene: Scene) -> Layout:
    """Make the tables of `scene`, NumPy arrays with a row for each task of the suite.

    Args:
      scene: the static tables; rows of tasks that it does not hold repeat its first.
    """
    tasks = [
        scene.tasks[row if row in scene.task_ids else scene.task_ids[0]]
        for row in range(len(scene.tasks))
    ]
    names = tuple(
        f"{name}_{part.name}"
        for name, category in scene.assets.fixtures.items()
        for part in CATEGORIES[category].parts
        if part.joint
    )
    joints = np.array([_joint_ranges(scene, task, names) for task in tasks])
    joints = joints.reshape(len(tasks), len(names), 2)
    bodies = [
        [_posed_body(scene, task, name) for name in scene.posed_bodies]
        for task in tasks
    ]
    inactive_pose = [
        (INACTIVE_X + SPACING * m, INACTIVE_X, INACTIVE_Z, *UPRIGHT)
        for m in range(len(scene.assets.objects))
    ]
    return Layout(
        objects=_object_table(scene, tasks, names),
        posed_bodies=PosedBodyTable(
            *(
                np.array([[body[column] for body in row] for row in bodies])
                for column in range(len(PosedBodyTable._fields))
            )
        ),
        joint_names=names,
        joint_low=joints[..., 0],
        joint_high=joints[..., 1],
        inactive_pose=np.array(inactive_pose),
    )


def _joint_ranges(
    scene: Scene, task: Task, names: tuple[str, ...]
) -> list[tuple[float, float]]:
    """The range from which each joint of the scene's fixtures starts in `task`."""
    ranges = {name: (0.0, 0.0) for name in names}
    for row in task.joints:
        for joint in goal_joints(scene, row):
            fixture = next(f for f in scene.assets.fixtures if joint.startswith(f))
            articulation = CATEGORIES[scene.assets.fixtures[fixture]].articulation
            low_high = getattr(articulation, row.predicate)
            assert low_high is not None, f"{fixture} cannot start {row.predicate!r}"
            ranges[joint] = low_high
    return [ranges[name] for name in names]


class _ObjectRow(NamedTuple):
    """How one object starts in one task: a cell of the first columns of the table."""

    present: bool
    rectangles: np.ndarray
    choices: int
    z: float = 0.0
    reference: int = -1
    offset: Vector = (0.0, 0.0, 0.0)
    slide_joint: int = -1
    slide_axis: Vector = (0.0, 0.0, 0.0)


def _object_table(
    scene: Scene, tasks: list[Task], joints: tuple[str, ...]
) -> ObjectTable:
    """The table of the scene's objects; `joints` are those of its fixtures."""
    most = max((len(s.ranges) for task in tasks for s in task.objects), default=1)
    rows = []
    for task in tasks:
        inits = {init.name: init for init in task.objects}
        inits |= {name: _extra_init(scene, task, name) for name in scene.extras}
        absent = _ObjectRow(False, np.zeros((max(most, 1), 4)), 1)
        rows.append(
            [
                (
                    _object_row(scene, task, inits[name], joints, max(most, 1))
                    if name in inits
                    else absent
                )
                for name in scene.assets.objects
            ]
        )
    categories = [CATEGORIES[category] for category in scene.assets.objects.values()]
    columns = {
        name: np.array([[cell[column] for cell in row] for row in rows])
        for column, name in enumerate(_ObjectRow._fields)
    }
    is_extra = np.array([name in scene.extras for name in scene.assets.objects], bool)
    columns["present"] = columns["present"] & ~is_extra
    return ObjectTable(
        **columns,
        spacing=np.array([_spacing(scene, row) for row in rows]),
        orientation=np.array([one.init_rotation.quaternion for one in categories]),
        yaw=np.array([one.init_rotation.yaw for one in categories]),
        radius=np.array([one.radius for one in categories]),
        extent=np.array([(one.bottom, one.top) for one in categories]).reshape(-1, 2),
    )


def _extra_init(scene: Scene, task: Task, name: str) -> ObjectInit:
    """Where an extra stands in those layouts of a task that have it."""
    area = EXTRA_AREAS[task.arena]
    return ObjectInit(name, scene.assets.objects[name], (area,), region="extras")


def _object_row(
    scene: Scene, task: Task, init: ObjectInit, joints: tuple[str, ...], most: int
) -> _ObjectRow:
    """LIBERO's samplers: of rectangles on the workspace, of objects, and of sites."""
    arena, category = ARENAS[task.arena], CATEGORIES[init.category]
    if init.ranges:
        # Where LIBERO shrinks, a rectangle smaller than the object turns inside out,
        # and its uniform sampler then draws between the swapped ends.
        inset = category.radius if arena.shrinks else 0.0
        x, y, _ = arena.offset
        shift = np.array([x + inset, y + inset, x - inset, y - inset])
        rectangles = [np.array(row) + shift for row in init.ranges]
        z = arena.offset[2] + DROP - category.bottom
        return _ObjectRow(
            True, np.array((rectangles * most)[:most]), len(init.ranges), z
        )
    objects = tuple(scene.assets.objects)
    if init.reference in objects:
        top = CATEGORIES[scene.assets.objects[init.reference]].top
        return _ObjectRow(
            True,
            np.tile((0, 0, 0, 0), (most, 1)),
            1,
            z=top + DROP - category.bottom,
            reference=objects.index(init.reference),
            offset=(0, 0, 0),
            slide_axis=(0, 0, 0),
        )
    fixture = CATEGORIES[scene.assets.fixtures[init.reference]]
    part = next(part for part in fixture.parts if init.region in part.regions)
    site = part.regions[init.region]
    on = init.relation == "on"
    half_x, half_y = ((h / 2 - category.radius) * on for h in site.half_size[:2])
    x, y, z = np.add(part.position, site.position)
    slides = part.joint is not None and part.joint.kind == "slide"
    return _ObjectRow(
        True,
        np.tile((-half_x, -half_y, half_x, half_y), (most, 1)),
        1,
        z=float(z) + fixture.top * on - category.bottom,
        reference=len(objects) + scene.posed_bodies.index(init.reference),
        offset=(float(x), float(y), 0.0),
        slide_joint=joints.index(f"{init.reference}_{part.name}") if slides else -1,
        slide_axis=part.joint.axis if part.joint and slides else (0.0, 0.0, 0.0),
    )


def _spacing(scene: Scene, cells: list[_ObjectRow]) -> np.ndarray:
    """[M, M + F]: the distance to keep between objects whose rectangles overlap.

    LIBERO's radii are smaller than its shapes, which does no harm where every object
    has a rectangle of its own, as in its forty tasks: elsewhere this is -1. It is the
    sum of the circles about the origins that hold the collision shapes at the start.
    """
    radii = []
    for name in scene.assets.objects.values():
        category = CATEGORIES[name]
        corners = primitives.corners(
            category.parts[0].collision, category.init_rotation.quaternion
        )
        radii.append(float(np.linalg.norm(corners[:, :2], axis=-1).max()))
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


def _posed_body(
    scene: Scene, task: Task, name: str
) -> tuple[Vector, Vector, Quaternion, tuple[float, float], float, tuple[float, float]]:
    """The fields of `PosedBodyTable` for one body in one task."""
    arena, still = ARENAS[task.arena], (0.0, 0.0)
    fixed: dict[str, tuple[Vector, Quaternion]] = {
        BASE_BODY: (arena.robot_base, UPRIGHT),
        CAMERA_BODY: (arena.camera_position, arena.camera_quaternion),
        table_body(task.arena): ((0.0, 0.0, 0.0), UPRIGHT),
    }
    if name in fixed:
        position, quaternion = fixed[name]
        return position, position, quaternion, still, -1.0, still
    init = next((row for row in task.fixtures if row.name == name), None)
    if init is None or not init.ranges:
        away = -INACTIVE_X - 4 * SPACING * scene.posed_bodies.index(name)
        inactive = (away, INACTIVE_X, -INACTIVE_X)
        return inactive, inactive, UPRIGHT, still, -1.0, still
    category = CATEGORIES[init.category]
    x0, y0, x1, y1 = init.ranges[0]
    x, y, z = arena.offset
    if category.pinned:
        z = (arena.table.high[2] if arena.table else 0.0) - category.bottom
    else:
        z += arena.fixture_lift - category.bottom
    low, high = (x0 + x, y0 + y, z), (x1 + x, y1 + y, z)
    extent = (category.bottom, category.top)
    return low, high, UPRIGHT, init.yaw, category.radius, extent
