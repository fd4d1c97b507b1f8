"""LIBERO's goal predicates, exactly as its code evaluates them, for a batch.

Source: `libero/envs/predicates` and `object_states/base_object_states.py`.
Positions are body origins.
Axes: B environments, T tasks of the suite, G goals of a task.
"""

import chex
import jax
import jax.numpy as jnp

from omnivla_jax.sim import rotation
from omnivla_jax.sim.assets.category import Articulation
from omnivla_jax.sim.assets.objects import CATEGORIES
from omnivla_jax.sim.goals import task_ids
from omnivla_jax.sim.libero.tasks import Goal
from omnivla_jax.sim.state import PhysicsState, Scene, Site, goal_joints

CENTERED_WITHIN = 0.03  # m, On(object, object)
SITE_BELOW, SITE_ABOVE = 0.005, 0.10  # m, On(object, site)
IN_BELOW = 0.01  # m, In(object, site)
UP_FROM = 1.0  # m, Up(object)
# How LIBERO compares joints, with which end of its range, and of how many it asks that.
JOINT_PREDICATES = {
    "open": (jnp.less, 1, jnp.any),
    "close": (jnp.greater, 0, jnp.all),
    "turnon": (jnp.greater_equal, 0, jnp.any),
    "turnoff": (jnp.less, 1, jnp.all),
}


def success(scene: Scene, physics: PhysicsState, task: jax.Array) -> jax.Array:
    """Whether each environment's task is done.

    Args:
      scene: the static tables.
      physics: the batch's state.
      task: int32 [B], rows of the suite's table.

    Returns:
      bool [B].
    """
    return jnp.all(goals_satisfied(scene, physics, task), axis=-1)


def goals_satisfied(scene: Scene, physics: PhysicsState, task: jax.Array) -> jax.Array:
    """Which goals of its task hold in each environment.

    Tasks that the scene does not hold, and numbers of no task, are never done.

    Args:
      scene: the static tables.
      physics: the batch's state.
      task: int32 [B], rows of the suite's table.

    Returns:
      bool [B, G], G the most goals that a task has; those that a task lacks hold.
    """
    chex.assert_shape(task, physics.qpos.shape[:1])
    most = max(len(row.goal) for row in scene.tasks)
    columns = []
    for row, wanted in enumerate(scene.tasks):
        satisfied = [jnp.zeros_like(task, bool)] * most
        if row in scene.task_ids:
            satisfied = [goal_satisfied(scene, physics, goal) for goal in wanted.goal]
            satisfied += [jnp.ones_like(task, bool)] * (most - len(satisfied))
        columns.append(jnp.stack(satisfied, axis=-1))
    every = jnp.stack(columns, axis=1)  # [B, T, G]
    rows = task_ids.rows(scene, task)[:, None, None]
    held = jnp.take_along_axis(every, rows, axis=1)[:, 0]
    return held & task_ids.is_held(scene, task)[:, None]


def goal_satisfied(scene: Scene, physics: PhysicsState, goal: Goal) -> jax.Array:
    """Whether one goal holds.

    Args:
      scene: the static tables.
      physics: the batch's state.
      goal: one of a task that the scene holds.

    Returns:
      bool [B].
    """
    if goal.predicate in JOINT_PREDICATES:
        return _articulated(scene, physics, goal)
    if goal.predicate == "up":
        return physics.xpos[:, scene.bodies[goal.subject], 2] >= UP_FROM
    return (_on if goal.predicate == "on" else _inside)(scene, physics, goal)


def _on(scene: Scene, physics: PhysicsState, goal: Goal) -> jax.Array:
    """On(object, object) or On(object, region).

    A region of the workspace (`goal.zone`) needs no contact; a region of an instance
    needs one with the instance.
    """
    above = physics.xpos[:, scene.bodies[goal.subject]]
    if goal.zone is not None:
        offset = above - jnp.asarray(goal.zone.center)
        return _above(offset, jnp.asarray(goal.zone.half_size))
    site = scene.sites.get(goal.target)
    if site is not None:
        center, orientation = site_pose(physics, site)
        # LIBERO multiplies by R where the site frame would take R^T; kept.
        offset = jnp.einsum("bij,bj->bi", orientation, above - center)
        pair = scene.contact_pairs.index((goal.subject, site.instance))
        within = _above(offset, jnp.asarray(site.region.half_size))
        return within & physics.touching[:, pair]
    below = physics.xpos[:, scene.bodies[goal.target]]
    distance = jnp.linalg.norm(above[:, :2] - below[:, :2], axis=-1)
    pair = scene.contact_pairs.index((goal.subject, goal.target))
    touches = physics.touching[:, pair]
    return (below[:, 2] <= above[:, 2]) & touches & (distance < CENTERED_WITHIN)


def _inside(scene: Scene, physics: PhysicsState, goal: Goal) -> jax.Array:
    """In(object, region): the origin lies in the region's axis-aligned extent."""
    site = scene.sites[goal.target]
    center, orientation = site_pose(physics, site)
    half = jnp.asarray(site.region.half_size)
    extent = jnp.abs(jnp.einsum("bij,j->bi", orientation, half))
    position = physics.xpos[:, scene.bodies[goal.subject]]
    lower = center - extent - jnp.array([0.0, 0.0, IN_BELOW])
    return jnp.all((lower < position) & (position < center + extent), axis=-1)


def _articulated(scene: Scene, physics: PhysicsState, goal: Goal) -> jax.Array:
    """Open and Turnon ask for any joint of a fixture or region, the others for all."""
    low_high = getattr(articulation(scene, goal), goal.predicate)
    assert low_high is not None, f"{goal.subject} knows no {goal.predicate!r}"
    compare, end, combine = JOINT_PREDICATES[goal.predicate]
    joints = joint_positions(scene, physics, goal)
    return combine(compare(joints, low_high[end]), axis=-1)


def _above(offset: jax.Array, half: jax.Array) -> jax.Array:
    """bool [B]: whether `offset` [B, 3] from a region's centre counts as on it."""
    height = offset[:, 2] - half[2]
    within = jnp.all(jnp.abs(offset[:, :2]) < half[:2], axis=-1)
    return within & (height > -SITE_BELOW) & (height < SITE_ABOVE)


def site_pose(physics: PhysicsState, site: Site) -> tuple[jax.Array, jax.Array]:
    """Where a region is, in the world.

    Args:
      physics: the batch's state.
      site: the region, in its body's frame.

    Returns:
      Its centre [B, 3] in m, and its axes as rotation matrices [B, 3, 3].
    """
    position, quaternion = physics.xpos[:, site.body], physics.xquat[:, site.body]
    local = jnp.broadcast_to(jnp.asarray(site.region.position), position.shape)
    turn = jnp.broadcast_to(jnp.asarray(site.region.quaternion), quaternion.shape)
    turned = rotation.multiply(quaternion, turn, jnp)
    turned = turned / jnp.linalg.norm(turned, axis=-1, keepdims=True)
    center = position + rotation.rotate(quaternion, local, jnp)
    return center, rotation.matrix(turned, jnp)


def joint_positions(scene: Scene, physics: PhysicsState, goal: Goal) -> jax.Array:
    """Positions of the joints that a goal asks about.

    Args:
      scene: the static tables.
      physics: the batch's state.
      goal: an `open`, `close`, `turnon` or `turnoff` of the scene.

    Returns:
      float32 [B, n] of its n joints, m or rad.
    """
    rows = [scene.joints[name][0] for name in goal_joints(scene, goal)]
    return physics.qpos[:, jnp.array(rows)]


def articulation(scene: Scene, goal: Goal) -> Articulation:
    """LIBERO's ranges of the joints that a goal asks about."""
    site = scene.sites.get(goal.subject)
    fixture = scene.assets.fixtures[site.instance if site else goal.subject]
    ranges = CATEGORIES[fixture].articulation
    assert ranges is not None, f"{goal.subject} has no articulation"
    return ranges
